"""Clocks on which nobody waits: a sleep moves the time instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio.lowlevel

if TYPE_CHECKING:
    from aifs_media.testing.emulator import Emulator

BEGIN = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


class FakeClock:
    """Time that stands still until somebody sleeps or calls `advance`.

    Two tasks that sleep 5 s each move it by 10 s: every sleep returns at once, and none knows of another.

    Args:
        begin: the first present, with a time zone.

    Attributes:
        slept: the seconds of every sleep, in order.
    """

    def __init__(self, begin: datetime = BEGIN) -> None:
        self._begin = self._now = begin
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Return the clock's present in UTC."""
        return self._now.astimezone(UTC)

    def monotonic(self) -> float:
        """Return the seconds since the clock's begin."""
        return (self._now - self._begin).total_seconds()

    async def sleep(self, seconds: float) -> None:
        """Move the time and let other tasks run; a cancellation point."""
        self.slept.append(seconds)
        self.advance(seconds)
        await anyio.lowlevel.checkpoint()

    def advance(self, seconds: float) -> None:
        """Move the time forward. Raises ValueError if asked to go back."""
        if seconds < 0:
            raise ValueError(f"A clock cannot go back, and {seconds!r} seconds would. Give 0 or more.")
        self._now += timedelta(seconds=seconds)


class EmulatedClock:
    """The emulator's time as a generator's: a sleep moves it, so that provider and caller agree and nobody waits.

    Attributes:
        slept: the seconds of every sleep, in order.
    """

    def __init__(self, emulator: Emulator) -> None:
        self.emulator = emulator
        self.slept: list[float] = []

    def now(self) -> datetime:
        """Return the emulator's present in UTC."""
        return datetime.fromtimestamp(self.emulator.clock.now(), tz=UTC)

    def monotonic(self) -> float:
        """Return the emulator's present in seconds."""
        return self.emulator.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Move the emulator's clock and let other tasks run; a cancellation point."""
        self.slept.append(seconds)
        self.emulator.advance(seconds)
        await anyio.lowlevel.checkpoint()
