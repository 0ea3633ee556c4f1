"""Kills at seams, one or two of them, and what must be true after each."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING

from tests.proof.balance import lost_answers
from tests.proof.cases import HAS_NO_LIST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.proof.cases import Case, Worlds

BACKENDS = ("asyncio", "trio")

# What changes the world. Reads do not, and a call around such calls does nothing else: `test_completeness.py` looks after that.
EFFECTS = {
    "ledger.commit", "ledger.close", "provider.post",
    "storage.preflight", "storage.create", "storage.write", "storage.fsync", "storage.rename", "storage.unlink",
    "storage.put_object", "storage.create_multipart_upload", "storage.upload_part", "storage.complete_multipart_upload",
    "storage.abort_multipart_upload", "storage.delete_object",
}  # fmt: skip


def seed() -> int:
    """Return a seed that was printed, so that what chance chose can be chosen again."""
    chosen = random.SystemRandom().randrange(10**6)
    print(f"seed {chosen}")
    return chosen


class Tally:
    """What the kills of one test came to; printed at its end."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._counts: Counter[str] = Counter()

    def __str__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in sorted(self._counts.items()))
        return f"{self._what}: duplicate_creates=0 lost_assets=0 orphans=0; {counts}"

    def __getitem__(self, name: str) -> int:
        return self._counts[name]

    def count(self, name: str, number: int = 1) -> None:
        """Count something."""
        self._counts[name] += number


def verify(case: Case, name: str, where: str, tally: Tally, *, backend: str = "asyncio") -> None:
    """Recover, compare, and count."""
    balance = case.recover(backend=backend)
    words = f"{name} killed at {where}: {balance}\n{case.output}"
    assert balance.is_clean, words
    if name in HAS_NO_LIST:
        assert balance.uncertain == lost_answers(case.traces), words
    else:
        assert (balance.uncertain, balance.in_doubt) == (0, 0), words
    if not balance.uncertain and case.emulator.books().creates:
        assert [row["stage"] for row in case.rows] == ["stored"], words
    tally.count("uncertain", balance.uncertain)
    tally.count("in doubt", balance.in_doubt)


def kill_at_each(worlds: Worlds, name: str, labels: Sequence[str], tally: Tally) -> None:
    """Kill a job at each of these seams, and verify each time."""
    for number, label in enumerate(labels):
        with worlds.case(name) as case:
            killed = case.run("make", kill_at=label, backend=BACKENDS[number % 2])
            # A file does not come in the same number of chunks each time.
            tally.count("kills" if killed else "not reached", 1)
            verify(case, name, label, tally, backend=BACKENDS[number // 2 % 2])


def kill_twice(worlds: Worlds, name: str, pairs: Sequence[tuple[str, str]], tally: Tally) -> None:
    """Kill a job at a seam and its recovery at another, and verify each time."""
    for number, (first, second) in enumerate(pairs):
        with worlds.case(name) as case:
            backend = BACKENDS[number % 2]
            case.run("make", kill_at=first, backend=backend)
            case.pass_time()
            killed = case.run("recover", kill_at=second, backend=backend)
            tally.count("pairs" if killed else "not reached", 1)
            verify(case, name, f"{first}, then {second}", tally, backend=backend)


def second_seams(worlds: Worlds, name: str, first: str) -> list[str]:
    """Return the seams that the recovery from a kill passes."""
    with worlds.case(name) as case:
        case.run("make", kill_at=first)
        case.pass_time()
        case.run("recover")
        return case.traces[1]


def distinct(labels: Sequence[str]) -> list[str]:
    """Return one seam for each state in which a kill can leave the world: right before each change of it, and after the last.

    Between two changes nothing happens that a later process could see, so that a kill there is the same kill.
    """
    return [label for label in labels if _changes_the_world(label)] + [labels[-1]]


def _changes_the_world(label: str) -> bool:
    call, _, moment = label.partition("#")[0].rpartition(".")
    return moment == "before" and call in EFFECTS


def thinned(labels: Sequence[str], chance: random.Random, most: int = 12) -> list[str]:
    """Return all seams, but of the many reads of a long file only so many; which is chance."""
    reads = [label for label in labels if label.startswith("file.read.")]
    kept = set(chance.sample(reads, min(most, len(reads))))
    return [label for label in labels if label not in reads or label in kept]
