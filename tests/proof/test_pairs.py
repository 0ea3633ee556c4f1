"""Killed, and killed again while recovering: still nothing paid twice, nothing lost, nothing left over."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.proof.enumeration import Tally, distinct, kill_twice, second_seams, seed, thinned

if TYPE_CHECKING:
    from tests.proof.cases import Worlds

PARTS = 6
"""Tests that share the full enumeration, so that it runs on several workers."""


def first_seams(worlds: Worlds, config: pytest.Config) -> list[str]:
    """Return one seam for each state in which a first kill can leave the world, or with `--every-pair` all of them."""
    seams = worlds.seams("image")
    return list(seams) if config.getoption("--every-pair") else distinct(seams)


def sampled_pairs(worlds: Worlds, name: str, number: int) -> list[tuple[str, str]]:
    """Return some pairs of any seam and any seam of the recovery from it."""
    chance = random.Random(seed())
    firsts = chance.sample(thinned(worlds.seams(name), chance), number)
    return [(first, chance.choice(second_seams(worlds, name, first))) for first in firsts]


@pytest.mark.timeout(120)
def test_killed_again_at_some_seams(worlds: Worlds) -> None:
    """A cut of the proof that runs with every test run."""
    tally = Tally("image in a folder")
    kill_twice(worlds, "image", sampled_pairs(worlds, "image", 20), tally)
    print(tally)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_again_at_every_seam(worlds: Worlds, part: int, pytestconfig: pytest.Config) -> None:
    """An image into a folder: every state in which the first kill can leave the world, and every seam of its recovery."""
    firsts = first_seams(worlds, pytestconfig)[part::PARTS]
    pairs = [(first, second) for first in firsts for second in second_seams(worlds, "image", first)]
    tally = Tally(f"image in a folder, first kills {firsts}")
    kill_twice(worlds, "image", pairs, tally)
    print(tally)
    assert tally["pairs"] > tally["not reached"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(PARTS))
def test_killed_again_at_every_seam_with_s3(s3_worlds: Worlds, part: int, pytestconfig: pytest.Config) -> None:
    """The same into a bucket."""
    firsts = first_seams(s3_worlds, pytestconfig)[part::PARTS]
    pairs = [(first, second) for first in firsts for second in second_seams(s3_worlds, "image", first)]
    tally = Tally(f"image in S3, first kills {firsts}")
    kill_twice(s3_worlds, "image", pairs, tally)
    print(tally)
    assert tally["pairs"] > tally["not reached"]


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["two images", "film", "chat", "videos"])
def test_killed_again_at_sampled_seams(worlds: Worlds, name: str) -> None:
    """The other kinds of job: a sample whose seed is printed."""
    tally = Tally(f"{name} in a folder")
    kill_twice(worlds, name, sampled_pairs(worlds, name, 30), tally)
    print(tally)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_again_while_storing_in_parts(s3_worlds: Worlds) -> None:
    """A film of 33 MiB into a bucket, in parts: a sample."""
    tally = Tally("film in S3 in parts")
    kill_twice(s3_worlds, "long film", sampled_pairs(s3_worlds, "long film", 20), tally)
    print(tally)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_again_with_postgres(postgres_worlds: Worlds) -> None:
    """An image recorded in PostgreSQL: a sample."""
    tally = Tally("image in a folder, recorded in PostgreSQL")
    kill_twice(postgres_worlds, "image", sampled_pairs(postgres_worlds, "image", 40), tally)
    print(tally)
