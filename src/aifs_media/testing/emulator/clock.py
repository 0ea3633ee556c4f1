"""The emulator's own time: the real clock plus whatever a test has added."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import anyio

# How often a held request looks at the clock again, in real seconds: a test may advance it from another thread.
_LOOK_AGAIN = 0.01


class Clock:
    """Time that only moves forward: real monotonic time, started at the wall clock, plus an offset."""

    def __init__(self) -> None:
        """Start at the wall clock's present time."""
        self._start = time.time() - time.monotonic()
        self._offset = 0.0
        self._lock = threading.Lock()
        self.stopped = False

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return self._start + time.monotonic() + self._offset

    def advance(self, seconds: float) -> float:
        """Move time forward and return the new time.

        Args:
            seconds: How far, 0 or more.

        Raises:
            ValueError: If asked to go back.
        """
        if seconds < 0:
            message = f"The emulator's clock cannot go back, and {seconds!r} seconds would. Give 0 or more."
            raise ValueError(message)
        with self._lock:
            self._offset += seconds
        return self.now()

    async def sleep_until(self, moment: float) -> None:
        """Return once the clock has reached `moment`, or when the emulator stops."""
        while not self.stopped:
            remaining = moment - self.now()
            if remaining <= 0:
                return
            await anyio.sleep(min(remaining, _LOOK_AGAIN))


def stamp(moment: float, digits: int) -> str:
    """Write a time as RFC 3339 in UTC with a `Z` and this many fractional digits (Replicate uses 3 and 9)."""
    whole = datetime.fromtimestamp(int(moment), tz=UTC)
    fraction = f"{moment % 1:.9f}"[1 : 2 + digits] if digits else ""
    return f"{whole:%Y-%m-%dT%H:%M:%S}{fraction}Z"


def moment_of(text: str) -> float:
    """Read an ISO 8601 time; one without a zone is UTC.

    Raises:
        ValueError: If it is not such a time.
    """
    parsed = datetime.fromisoformat(text.replace("Z", "+00:00").replace(" ", "+"))
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=UTC)
    return (parsed - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(seconds=1)
