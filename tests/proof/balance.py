"""What a proof compares: the emulator's books against what lies in the storage, and the rows of the ledger that name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.testing.emulator.books import Books, PredictionRecord


@dataclass(frozen=True)
class Stored:
    """What lies in a storage: whole objects by their keys, and what a broken write left behind (partial files, open uploads)."""

    objects: frozenset[str]
    leftovers: frozenset[str]


@dataclass(frozen=True)
class Balance:
    """How one job stands after all recovery. The first three must be zero or empty.

    Attributes:
        duplicate_creates: accepted creates beyond the first.
        lost_assets: outputs that were paid for and made, and are neither stored nor named by a row.
        orphans: objects that no row names, and everything that a broken write left behind.
        uncertain: accepted creates whose row says that nobody can tell (their provider has neither a list nor idempotency keys).
        in_doubt: the same said of creates that never arrived.
    """

    duplicate_creates: int
    lost_assets: int
    orphans: frozenset[str]
    uncertain: int
    in_doubt: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing was paid twice, nothing paid was lost and nothing lies about."""
        return (self.duplicate_creates, self.lost_assets, self.orphans) == (0, 0, frozenset())


def balance(books: Books, rows: Sequence[dict[str, Any]], stored: Stored) -> Balance:
    """Compare. The emulator served one job, so that all its books are about the one row there may be."""
    paid = sum(outputs_of(record) for record in books.predictions if record.status == "succeeded")
    parts = [part for row in rows for part in row["parts"]]
    kept = {part["object_key"] for part in parts if part["asset"] is not None} & stored.objects
    uncertain = any(row["stage"] == "uncertain" for row in rows)
    # A row names an output that is not stored if it says how to get it, or that nobody can tell whether there is one.
    named = paid if uncertain else sum(part["output"] is not None and part["asset"] is None for part in parts)
    return Balance(
        duplicate_creates=max(books.creates - 1, 0),
        lost_assets=max(paid - len(kept) - named, 0),
        orphans=stored.objects - {part["object_key"] for part in parts} | stored.leftovers,
        uncertain=int(uncertain) if books.creates else 0,
        in_doubt=0 if books.creates else int(uncertain),
    )


def outputs_of(record: PredictionRecord) -> int:
    """How many files a create paid for."""
    number = record.input.get("num_outputs", 1)
    assert isinstance(number, int)
    return number


def lost_answers(traces: Sequence[Sequence[str]], *, surely: bool = True) -> int:
    """How many of the runs died after their create had been accepted and before its answer was recorded, by the seams they passed.

    A create leaves between `provider.post.before` and `.after`; what it answered is recorded by the next commit.

    Args:
        traces: the seams that each run passed.
        surely: count a run only if its create had been answered; else also one that died meanwhile.
    """
    left = f"provider.post.{'after' if surely else 'before'}"
    return sum(_died_unanswered([label.partition("#")[0] for label in trace], left) for trace in traces)


def _died_unanswered(names: Sequence[str], left: str) -> bool:
    return left in names and "ledger.commit.after" not in names[names.index(left) :]
