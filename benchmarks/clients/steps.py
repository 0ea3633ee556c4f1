"""What every client is made to do; run in the client's own environment, so nothing but the standard library is needed.

    use_X.py call|cancel|work|restart

call     the client's own highest call, from the prompt to the finished media
cancel   the same, and the waiting task is cancelled once the job was seen running
work     create, keep the id as soon as the client tells it, wait; this is what gets killed
restart  a fresh process that knows only what the client, or the line above, has kept
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

SERVER = os.environ["SERVER"]
FOLDER = Path(os.environ["FOLDER"])
TIMEOUT = float(os.environ["TIMEOUT"])
RETRIES = os.environ.get("RETRIES")
PROMPT = "a lighthouse in the fog, number 41"
GRACE = 1.5


class Client(Protocol):
    """What a client's file says of it."""

    async def call(self) -> None:
        """Make one picture, from the prompt to the media."""

    async def work(self, keep: Callable[[str], None]) -> None:
        """The same in steps, if the client tells the id before the end."""

    async def restart(self, kept: str | None) -> dict[str, int]:
        """Return how many media were got back: `client` by the client's own means, `id` by the kept id, `list` by its list."""


def fetched(url: str) -> int:
    """Return 1 if there is a picture at this address."""
    with urllib.request.urlopen(url) as answer:
        return int(answer.read().startswith(b"\x89PNG"))


async def within(limit: float, look: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + limit
    while not look():
        if time.monotonic() > until:
            raise TimeoutError
        await asyncio.sleep(0.05)


async def cancelled(work: Awaitable[None]) -> None:
    """Cancel a task once the server has been asked how the job stands, and give what cleans up some time."""
    task = asyncio.ensure_future(work)
    await within(30, lambda: (FOLDER / "polled").exists() or task.done())
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    await asyncio.sleep(GRACE)


def run(client: Client) -> None:
    """Do the step that the command line names, and say how it ended."""
    step = sys.argv[1]
    kept = FOLDER / "id"

    async def main() -> dict[str, object]:
        match step:
            case "call":
                await client.call()
            case "cancel":
                await cancelled(client.call())
            case "work":
                await client.work(lambda name: kept.write_text(name) and None)
            case "restart":
                return dict(await client.restart(kept.read_text() if kept.exists() else None))
        return {"ended": "media"}

    try:
        said = asyncio.run(main())
    except Exception as error:
        said = {"ended": type(error).__name__, "text": str(error)[:200]}
    print(json.dumps(said), flush=True)
