"""Killed with SIGKILL wherever a process touches the world, and recovered: nothing paid twice, nothing paid lost, nothing left over.

Counted from the emulator's books and from what lies in the storage; see `balance.py`.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from tests.proof.cases import HAS_NO_LIST
from tests.proof.enumeration import Tally, kill_at_each, seed, thinned

if TYPE_CHECKING:
    from tests.proof.cases import Worlds


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["image", "film", "chat"])
def test_killed_at_some_seams(worlds: Worlds, name: str) -> None:
    """A cut of the proof that runs with every test run."""
    labels = worlds.seams(name)
    tally = Tally(f"{name} in a folder")
    kill_at_each(worlds, name, random.Random(seed()).sample(labels, 20), tally)
    print(tally)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["image", "two images", "film", "chat", "videos"])
def test_killed_at_every_seam(worlds: Worlds, name: str) -> None:
    """Each kind of job into a folder. Poe can neither be asked nor told twice: what it costs is known exactly."""
    labels = worlds.seams(name)
    print(name, *labels, sep="\n  ")
    tally = Tally(f"{name} in a folder")
    kill_at_each(worlds, name, labels, tally)
    print(tally)
    assert tally["kills"] >= len(labels) - 4
    if name in HAS_NO_LIST:
        sent = labels.index("provider.post.before#1")
        # From the intent's commit to the create: it cannot be told that nothing was sent. From then to the next commit: the
        # answer died with the process.
        intended = max(number for number in range(sent) if labels[number].startswith("ledger.commit.after"))
        answered = next(
            number for number in range(sent, len(labels)) if labels[number].startswith("ledger.commit.after")
        )
        assert (tally["in doubt"], tally["uncertain"]) == (sent + 1 - intended, answered - (sent + 1))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_while_storing_in_s3(s3_worlds: Worlds) -> None:
    """A film into a bucket, in one request."""
    labels = s3_worlds.seams("film")
    tally = Tally("film in S3")
    kill_at_each(s3_worlds, "film", labels, tally)
    print(tally)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", range(4))
def test_killed_while_storing_in_parts(s3_worlds: Worlds, part: int) -> None:
    """A film of 33 MiB into a bucket, in parts. Of the reads of its download a sample; everything else."""
    labels = s3_worlds.seams("long film")
    names = {label.partition("#")[0] for label in labels}
    assert {"storage.upload_part.before", "storage.complete_multipart_upload.after"} <= names
    chosen = thinned(labels, random.Random(seed()))[part::4]
    tally = Tally(f"film in S3 in parts, {len(chosen)} seams")
    kill_at_each(s3_worlds, "long film", chosen, tally)
    print(tally)
