"""Every claim about a provider and about the emulator names tests that exist, or says why there are none."""

from __future__ import annotations

from typing import get_args

import pytest
from tests import evidence

from aifs_media._registry import BUILT_IN_PROVIDERS
from aifs_media.testing.emulator.faults import Route

WHOLE, CALLS = evidence.tables()


def test_every_provider_has_its_row() -> None:
    """A built-in provider without a row, or with an empty cell, fails the build."""
    assert set(WHOLE) == set(BUILT_IN_PROVIDERS)
    for provider, cells in WHOLE.items():
        assert set(cells) == set(evidence.WHOLE), provider
        assert all(cells.values()), provider


def test_every_call_has_its_entry() -> None:
    """A call that the emulator answers without saying what backs it fails the build."""
    assert set(CALLS) == set(get_args(Route))
    for call, cells in CALLS.items():
        assert cells, call
        assert set(cells) <= set(evidence.BACKING), call
        assert all(cells.values()), call


@pytest.mark.parametrize(("test", "cell"), list(evidence.named_tests()), ids=str)
def test_what_is_named_exists(test: str, cell: str) -> None:
    """A test that was renamed or deleted leaves no claim behind."""
    file, _, name = test.partition("::")
    assert name in evidence.tests_of(file), f"{cell}: no test {test}"


def test_the_summary_follows_the_outcomes() -> None:
    """One failed test of a cell makes the cell fail."""
    first, second = WHOLE["replicate"]["submit"]
    shown = evidence.summary({first: {"passed"}, second: {"passed", "failed"}})
    assert "FAILED" in shown[1]
    assert "passed" in evidence.summary({first: {"passed"}})[1]
    assert "not run" in shown[1]
