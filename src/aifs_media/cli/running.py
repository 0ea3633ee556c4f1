"""Runs the library's coroutines for a command: with progress on stderr, and with signals that reach the provider."""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, TypeVar

import anyio

from aifs_media.cli.interrupted import Interrupted
from aifs_media.cli.progress import Progress
from aifs_media.errors import MediaError
from aifs_media.generator import MediaGenerator

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskStatus

    from aifs_media.records import Asset
    from aifs_media.settings import Settings

T = TypeVar("T")

KEEP_LIMIT = 10.0
"""Seconds for reading back what was kept of an interrupted job."""


def run(
    work: Callable[[MediaGenerator], Awaitable[T]], *, settings: Settings, namespace: str = "", doing: str = ""
) -> T:
    """Run `work` with a generator of these settings on an event loop of its own, showing its progress on stderr.

    The first SIGINT or SIGTERM cancels the work, which stops its jobs at their providers; a second one leaves at once.

    Args:
        work: what to do.
        settings: see Settings.
        namespace: whose jobs they are.
        doing: what to say meanwhile, where no events will tell.

    Raises:
        MediaError: what the work raised.
        Interrupted: a signal came.
    """
    with Progress(doing) as progress:
        media = MediaGenerator(settings=settings, on_event=progress)
        return anyio.run(_run, work, media, progress, namespace)


async def _run(
    work: Callable[[MediaGenerator], Awaitable[T]], media: MediaGenerator, progress: Progress, namespace: str
) -> T:
    results: list[T] = []
    errors: list[Exception] = []
    signals: list[int] = []
    kept: list[Asset] = []
    async with media, anyio.create_task_group() as group:
        scope = anyio.CancelScope()
        if sys.platform != "win32":
            # On Windows Ctrl-C cancels the whole task by itself.
            await group.start(_listen, scope, progress, signals)
        with scope:
            try:
                results.append(await work(media))
            except Exception as error:
                # Carried out of the task group, which would wrap it.
                errors.append(error)
        if signals and not results:
            kept = await _kept(media, progress, namespace)
        group.cancel_scope.cancel()
    if results:
        return results[0]
    if signals:
        first = next(iter(progress.jobs), "")
        raise Interrupted(signals[0], endings=progress.endings(), job_id=first, assets=kept)
    raise errors[0]


async def _listen(
    scope: anyio.CancelScope,
    progress: Progress,
    received: list[int],
    *,
    task_status: TaskStatus[None],
) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if received:
                progress.say("Left at once. What runs at a provider may go on there and be billed.")
                progress.close()
                os._exit(128 + number)
            received.append(number)
            if progress.only_waits:
                progress.say("Stopping to wait. The job goes on in the process that works on it.")
            else:
                progress.say("Stopping; jobs are cancelled at their provider. The same again leaves at once.")
            scope.cancel()


async def _kept(media: MediaGenerator, progress: Progress, namespace: str) -> list[Asset]:
    """Return what was stored before the signal, or after it because it was paid for already."""
    kept: list[Asset] = []
    with anyio.move_on_after(KEEP_LIMIT):
        for job_id in [job_id for job_id, seen in progress.jobs.items() if seen.stored]:
            try:
                kept.extend(await media.resume(job_id, namespace=namespace))
            except MediaError as error:
                progress.say(f"Job {job_id}: {error}")
    return kept
