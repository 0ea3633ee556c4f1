"""When to ask again, and how much time is left. Pure arithmetic."""

from __future__ import annotations

from typing import NamedTuple

WAITS = (1.0, 2.0, 4.0, 5.0)
"""Seconds between status reads; the last one repeats."""

LONGEST_HINT = 60.0
CANCEL_MARGIN = 10.0
SHORTEST_LIFETIME = 5.0


def next_wait(reads: int, *, hint: float | None = None) -> float:
    """Return the seconds to wait before status read number `reads` (from 0).

    Args:
        reads: how many reads were made.
        hint: what the server asked for; it wins, within 0 and 60 s.
    """
    if hint is not None:
        return min(max(hint, 0.0), LONGEST_HINT)
    return WAITS[min(reads, len(WAITS) - 1)]


class Deadline(NamedTuple):
    """A moment on a clock that never goes back, in seconds."""

    at: float

    @classmethod
    def after(cls, now: float, seconds: float) -> Deadline:
        """Return the deadline `seconds` from `now`."""
        return cls(now + seconds)

    def remaining(self, now: float) -> float:
        """Return the seconds left, never below 0."""
        return max(self.at - now, 0.0)

    def clip(self, wait: float, now: float) -> float:
        """Return the wait, shortened to what is left."""
        return min(wait, self.remaining(now))


def lifetime(*, timeout: float, on_cancel: str, limit: float) -> float:
    """Return how long the job may exist at the provider, in seconds.

    A job that is cancelled with its caller gets the caller's timeout and a margin; a detached one the model's own limit.
    """
    wanted = limit if on_cancel == "detach" else timeout + CANCEL_MARGIN
    return max(min(wanted, limit), SHORTEST_LIFETIME)
