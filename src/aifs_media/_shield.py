"""Finish what must not be torn, although the caller was cancelled; but not for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


async def finish_within(grace: float, step: Callable[[], Awaitable[T]]) -> T:
    """Run `step`; if the caller is cancelled meanwhile, let it go on for at most `grace` seconds before it is cancelled too.

    The cancellation is raised all the same, so `step` has to record what it achieved by itself.
    """
    results: list[T] = []
    errors: list[Exception] = []
    ended = anyio.Event()
    shield = anyio.CancelScope(shield=True)

    async def run() -> None:
        try:
            with shield:
                results.append(await step())
        except Exception as error:
            # Carried over to the caller below: out of the task group it would come as a group.
            errors.append(error)
        finally:
            ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(run)
        try:
            await ended.wait()
        except anyio.get_cancelled_exc_class():
            shield.deadline = anyio.current_time() + grace
            raise
    if errors:
        raise errors[0]
    return results[0]


async def shielded(limit: float, step: Callable[[], Awaitable[object]]) -> None:
    """Run a clean-up step although the caller is cancelled, for at most `limit` seconds."""
    with anyio.move_on_after(limit, shield=True):
        await step()
