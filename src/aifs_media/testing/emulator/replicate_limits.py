"""Replicate's request limits, counted on the emulator's clock."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aifs_media.testing.emulator.clock import Clock

_MINUTE = 60.0
# Requests a minute; polling has a limit of its own. The headers show one less than the limit, as recorded.
CREATES, OTHERS, POLLS = 600, 3000, 60_000
_SMALL_CREDIT = 5.0
_SMALL_CREDIT_WAIT = 10.0


class Limits:
    """Sliding minutes: one for each limit."""

    def __init__(self, clock: Clock) -> None:
        """Count on this clock."""
        self._clock = clock
        self._seen: dict[int, deque[float]] = {CREATES: deque(), OTHERS: deque(), POLLS: deque()}
        self._last_attempt = float("-inf")

    def wait(self, limit: int) -> float:
        """Count a request; return how many seconds it came too early, 0 if it may pass."""
        now = self._clock.now()
        seen = self._seen[limit]
        while seen and seen[0] <= now - _MINUTE:
            seen.popleft()
        if len(seen) >= limit:
            return seen[0] + _MINUTE - now
        seen.append(now)
        return 0.0

    def wait_small_credit(self, credit: float) -> float:
        """Count a create on an account with little credit: 6 a minute, one at a time, and refused attempts count."""
        if credit >= _SMALL_CREDIT:
            return 0.0
        now = self._clock.now()
        early = self._last_attempt + _SMALL_CREDIT_WAIT - now
        self._last_attempt = now
        return _SMALL_CREDIT_WAIT if early > 0 else 0.0
