"""Does the event loop go on? Told by a task that beats beside the call, and by answers that are held back until it has."""

from __future__ import annotations

import contextlib
import functools
import time
from typing import TYPE_CHECKING, ParamSpec

import anyio

from aifs_media.testing.service import Hold

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aifs_media.testing.service import Service

P = ParamSpec("P")

BEAT = 0.005
LONGEST_STOP = 0.25
"""Seconds that one step of a coroutine may take."""
TRIES = 3
"""A busy machine stops any loop now and then, a call that blocks stops it every time: the best of some tries counts."""


class Stopwatch:
    """Measures for how long calls stop the event loop."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def longest_stop(
        self, call: Callable[P, Awaitable[object]], *arguments: P.args, **options: P.kwargs
    ) -> float:
        """Return the longest time in seconds for which a call stopped the loop; infinite if until its answer came."""
        best = float("inf")
        for _ in range(TRIES):
            best = min(best, await self._measure(functools.partial(call, *arguments, **options)))
            if best <= LONGEST_STOP or best == float("inf"):
                break
        return best

    def judge(self, what: str, seconds: float) -> None:
        """Fail if that is too long."""
        how_long = "until its answer came" if seconds == float("inf") else f"for {seconds:.2f} s"
        assert seconds <= LONGEST_STOP, (
            f"{what} stopped the event loop {how_long}. Use anyio.sleep and an asynchronous client (HttpProvider.call), or "
            "anyio.to_thread."
        )

    async def _measure(self, call: Callable[[], Awaitable[object]]) -> float:
        self._service.hold = hold = Hold()
        longest, last = 0.0, time.perf_counter()

        async def beat() -> None:
            nonlocal longest, last
            while True:
                await anyio.sleep(BEAT)
                longest, last = max(longest, time.perf_counter() - last - BEAT), time.perf_counter()
                if hold.arrived.is_set():
                    hold.let_go.set()

        async with anyio.create_task_group() as group:
            group.start_soon(beat)
            await anyio.sleep(BEAT)
            with contextlib.suppress(Exception):
                # How the call ends is another check's question.
                await call()
            group.cancel_scope.cancel()
        self._service.hold = None
        return float("inf") if hold.in_vain else max(longest, time.perf_counter() - last - BEAT)


async def stopped_by(
    hold: Hold, call: Callable[P, Awaitable[object]], *arguments: P.args, **options: P.kwargs
) -> object:
    """Cancel a call while its answer is held back; return "cancelled" if it ended by that, else what it returned or raised."""
    ended: list[object] = []

    async def when_arrived() -> None:
        while not hold.arrived.is_set():  # noqa: ASYNC110 - it is set by a thread of the server
            await anyio.sleep(BEAT)
        scope.cancel()

    async def run() -> None:
        try:
            ended.append(await call(*arguments, **options))
        except anyio.get_cancelled_exc_class():
            ended.append("cancelled")
            raise
        except Exception as error:
            # The check says what it should have been.
            ended.append(error)

    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(when_arrived)
            await run()
            group.cancel_scope.cancel()
    hold.let_go.set()
    return ended[0]
