"""What the proofs count is counted: each number rises when what it counts is there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
from tests.proof.balance import Stored, balance, lost_answers

from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING = Stored(frozenset(), frozenset())
KEPT = Stored(frozenset({"a.webp"}), frozenset())


def row(stage: str, **part: Any) -> dict[str, Any]:
    return {"stage": stage, "parts": [{"object_key": None, "output": None, "asset": None, **part}] if part else []}


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator that was asked for one image."""
    with Emulator() as running:
        create(running)
        yield running


def create(emulator: Emulator) -> None:
    answer = httpx.post(
        f"{emulator.replicate_url}/models/black-forest-labs/flux-schnell/predictions",
        headers={"authorization": f"Bearer {emulator.settings()['REPLICATE_API_KEY']}"},
        json={"input": {"prompt": "a fox"}},
        trust_env=False,
    )
    assert answer.status_code == 201


def test_stored_and_named_is_clean(emulator: Emulator) -> None:
    """One create, one object, one row that names it."""
    assert balance(emulator.books(), [row("stored", object_key="a.webp", asset={})], KEPT).is_clean


def test_duplicate_create_is_counted(emulator: Emulator) -> None:
    """A second create of the same job."""
    create(emulator)
    found = balance(emulator.books(), [row("stored", object_key="a.webp", asset={})], KEPT)
    assert (found.duplicate_creates, found.is_clean) == (1, False)


@pytest.mark.parametrize("rows", [[], [row("new")], [row("failed")], [row("stored", object_key="a.webp", asset={})]])
def test_lost_asset_is_counted(emulator: Emulator, rows: list[dict[str, Any]]) -> None:
    """Paid and made, and there is neither an object nor a row that leads to it; what a row says is stored must be there."""
    found = balance(emulator.books(), rows, NOTHING)
    assert (found.lost_assets, found.is_clean) == (1, False)


def test_named_asset_is_not_lost(emulator: Emulator) -> None:
    """A row with the output's address names it, and so does one that says that nobody can tell."""
    assert balance(emulator.books(), [row("storing", output={})], NOTHING).is_clean
    found = balance(emulator.books(), [row("uncertain")], NOTHING)
    assert (found.is_clean, found.uncertain, found.in_doubt) == (True, 1, 0)


def test_orphans_are_counted(emulator: Emulator) -> None:
    """An object that no row names, and what a broken write left."""
    rows = [row("stored", object_key="a.webp", asset={})]
    stored = Stored(frozenset({"a.webp", "b.webp"}), frozenset({"an open upload"}))
    found = balance(emulator.books(), rows, stored)
    assert (found.orphans, found.is_clean) == ({"b.webp", "an open upload"}, False)


def test_doubt_about_nothing_is_told_apart() -> None:
    """An uncertain row, and the books show no create."""
    with Emulator() as emulator:
        found = balance(emulator.books(), [row("uncertain")], NOTHING)
    assert (found.is_clean, found.uncertain, found.in_doubt) == (True, 0, 1)


def test_lost_answers_are_read_from_the_seams() -> None:
    """Between an answered create and the next commit; a create that was under way may have been accepted."""
    sent, answered, recorded = "provider.post.before#1", "provider.post.after#1", "ledger.commit.after#5"
    assert [lost_answers([[*run]]) for run in ([sent], [sent, answered], [sent, answered, recorded])] == [0, 1, 0]
    assert lost_answers([[sent], [sent, answered]], surely=False) == 2
