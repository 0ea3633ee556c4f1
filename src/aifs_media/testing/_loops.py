"""Runs the contracts' asynchronous checks on asyncio and on trio, without any plugin or configuration of their users."""

from __future__ import annotations

import functools
import inspect
from importlib.util import find_spec
from typing import TYPE_CHECKING, cast

import anyio
import pytest

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LIMIT = 60.0
"""Seconds after which a check that hangs has failed."""

_LOOPS = (
    "asyncio",
    pytest.param("trio", marks=pytest.mark.skipif(find_spec("trio") is None, reason="trio is not installed")),
)


def on_both_loops(check: Callable[..., Awaitable[None]]) -> Callable[..., None]:
    """Turn an asynchronous method into a plain test method that runs once per event loop.

    The fixtures that it asks for are made as usual; those that can be closed are closed on the loop they were used on.
    """

    @functools.wraps(check)
    def run(self: object, loop: str, **fixtures: object) -> None:
        anyio.run(_run, check, self, fixtures, backend=loop)

    # pytest would otherwise see the asynchronous method, and not run it.
    del run.__wrapped__
    own, *others = inspect.signature(check).parameters.values()
    loop = inspect.Parameter("loop", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    shown = [own, loop, *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in others)]
    run.__signature__ = inspect.Signature(shown)  # type: ignore[attr-defined]
    return cast("Callable[..., None]", pytest.mark.parametrize("loop", _LOOPS)(run))


async def _run(check: Callable[..., Awaitable[None]], self: object, fixtures: dict[str, object]) -> None:
    with anyio.fail_after(LIMIT):
        try:
            await check(self, **fixtures)
        finally:
            for part in fixtures.values():
                close = getattr(part, "aclose", None)
                if close is not None:
                    await close()
