"""One time for everybody: the emulator's clock is also the generator's and the event loop's.

So a wait, a request's timeout, a lease and a generation at the provider are measured on one clock. A sleep of the generator moves
it at once. A silent peer is noticed after a moment without any event; from then on a tick of real time counts as seconds, until
something happens again.
"""

from __future__ import annotations

import asyncio  # noqa: TID251 - a loop's clock can only be given to it
import selectors
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aifs_media.testing.emulator import Emulator

T = TypeVar("T")

MOMENT = 0.15
TICK = 0.015
STEP = 5.0


class OneTime:
    """The clock of a generator, and event loops whose time it is."""

    def __init__(self, emulator: Emulator) -> None:
        self._emulator = emulator
        self._silent = False

    def now(self) -> datetime:
        """Return the emulator's present."""
        return datetime.fromtimestamp(self._emulator.clock.now(), tz=UTC)

    def monotonic(self) -> float:
        """Return the emulator's present in seconds."""
        return self._emulator.clock.now()

    async def sleep(self, seconds: float) -> None:
        """Move the emulator's clock instead of waiting."""
        self._emulator.advance(seconds)
        await anyio.lowlevel.checkpoint()

    def run(self, function: Callable[[], Awaitable[T]], backend: str) -> T:
        """Run on a fresh event loop of that backend, in this time."""
        options: dict[str, Any] = {"loop_factory": lambda: _Loop(self)}
        if backend == "trio":
            clock = _TrioClock(self)
            options = {"clock": clock, "instruments": [clock]}
        return anyio.run(function, backend=backend, backend_options=options)

    def patience(self, left: float) -> float:
        """Return the real seconds to wait for an event when the next deadline is `left` seconds away."""
        return min(left, TICK if self._silent else MOMENT)

    def after(self, left: float, *, quiet: bool) -> None:
        """Note how such a wait ended: if nothing happened, time goes on, at the latest until a deadline makes something happen."""
        self._silent = quiet and left > STEP
        if quiet:
            self._emulator.advance(max(min(left, STEP), 0.0))


class _Selector(selectors.DefaultSelector):
    def __init__(self, one_time: OneTime) -> None:
        super().__init__()
        self._one_time = one_time

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        patience = self._one_time.patience(timeout)
        events = super().select(patience)
        if patience < timeout:
            self._one_time.after(timeout - patience, quiet=not events)
        return events


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, one_time: OneTime) -> None:
        self._one_time = one_time
        super().__init__(_Selector(one_time))

    def time(self) -> float:
        return self._one_time.monotonic()


class _TrioClock(trio.abc.Clock, trio.abc.Instrument):
    def __init__(self, one_time: OneTime) -> None:
        self._one_time = one_time
        self._left = 0.0
        self._patience = 0.0
        self._began = 0.0

    def start_clock(self) -> None:
        pass

    def current_time(self) -> float:
        return self._one_time.monotonic()

    def deadline_to_sleep_time(self, deadline: float) -> float:
        left = deadline - self.current_time()
        if 0 < left < float("inf"):
            self._left, self._patience = left, self._one_time.patience(left)
            return self._patience
        return left

    def before_io_wait(self, timeout: float) -> None:
        self._began = time.monotonic()

    def after_io_wait(self, timeout: float) -> None:
        left, patience, self._left, self._patience = self._left, self._patience, 0.0, 0.0
        if patience < left:
            self._one_time.after(left - patience, quiet=time.monotonic() - self._began >= patience)
