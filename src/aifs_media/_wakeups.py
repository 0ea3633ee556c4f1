"""Sleeps of waiting jobs that a webhook ends early. Within one process and one event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from aifs_media.protocols import Clock

    JobKey = tuple[str, str]

EARLY_KEPT = 1000
"""Wake-ups that are remembered although their job was not asleep, for example because it was asking at that very moment."""


class Wakeups:
    """Who sleeps for which job. A job is named by its namespace and its id."""

    def __init__(self) -> None:
        self._sleeping: dict[JobKey, set[anyio.Event]] = {}
        self._early: dict[JobKey, None] = {}

    async def sleep(self, key: JobKey, seconds: float, clock: Clock) -> None:
        """Sleep on a clock until the time is over or the job is woken. A wake-up that came before this counts once."""
        if key in self._early:
            del self._early[key]
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        self._sleeping.setdefault(key, set()).add(woken)
        try:
            await _sleep_or_event(seconds, clock, woken)
        finally:
            sleepers = self._sleeping[key]
            sleepers.discard(woken)
            if not sleepers:
                del self._sleeping[key]

    def wake(self, key: JobKey) -> None:
        """End the job's sleep, or its next one if it does not sleep now."""
        sleepers = self._sleeping.get(key)
        for woken in sleepers or ():
            woken.set()
        if not sleepers:
            self._early.pop(key, None)
            self._early[key] = None
            if len(self._early) > EARLY_KEPT:
                del self._early[next(iter(self._early))]


async def _sleep_or_event(seconds: float, clock: Clock, woken: anyio.Event) -> None:
    errors: list[Exception] = []

    async def end_when_woken() -> None:
        await woken.wait()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(end_when_woken)
        try:
            await clock.sleep(seconds)
        except Exception as error:
            # A host's own clock may raise anything; raised below, since out of the task group it would come as a group.
            errors.append(error)
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
