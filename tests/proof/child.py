"""A process that makes media until it is killed. Its time is the emulator's; it counts every contact with the world.

    child.py make|recover BACKEND KILL_AT

Every call of the ledger, every send to a provider, every chunk of a file and every storage call passes `seam` before and after;
at the KILL_AT-th one the process kills itself with SIGKILL. 0 never kills. The number of seams passed is printed at the end.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
import urllib.request
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import anyio
import httpx

from aifs_media import MediaError, MediaGenerator, Settings
from aifs_media._files import FileAnswer, FileClient
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.storage.local import LocalStorage
from aifs_media.storage.s3 import S3Storage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

MODE, BACKEND, KILL_AT = sys.argv[1], sys.argv[2], int(sys.argv[3])
PLAN = json.loads(os.environ["PLAN"])
passed = 0


def seam() -> None:
    """Count one point at which the process can die, and die there if it is the one."""
    global passed  # noqa: PLW0603 - one counter for the whole process
    passed += 1
    if passed == KILL_AT:
        os.kill(os.getpid(), signal.SIGKILL)


def with_seams(owner: type, name: str) -> None:
    """Put a seam before and after a method, from outside."""
    method: Callable[..., Awaitable[Any]] = getattr(owner, name)

    @functools.wraps(method)
    async def wrapped(*arguments: Any, **options: Any) -> Any:
        seam()
        result = await method(*arguments, **options)
        seam()
        return result

    setattr(owner, name, wrapped)


for owner, names in (
    (SqliteLedger, ("create_or_load", "update", "acquire", "release")),
    (httpx.AsyncClient, ("send",)),
    (FileClient, ("open",)),
    (FileAnswer, ("read",)),
    (LocalStorage, ("put", "url", "discard_partial")),
    (S3Storage, ("put", "url", "discard_partial")),
):
    for name in names:
        with_seams(owner, name)


class RemoteClock:
    """The emulator's time over HTTP."""

    def _ask(self, advance: float = 0.0) -> float:
        body = json.dumps({"advance": advance}).encode()
        request = urllib.request.Request(PLAN["clock"], data=body, headers={"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            return float(json.load(answer)["now"])

    def now(self) -> datetime:
        """Return the emulator's present."""
        return datetime.fromtimestamp(self._ask(), tz=UTC)

    def monotonic(self) -> float:
        """Return the emulator's present in seconds."""
        return self._ask()

    async def sleep(self, seconds: float) -> None:
        """Move the emulator's clock."""
        self._ask(seconds)
        await anyio.lowlevel.checkpoint()


async def main() -> None:
    """Make what the plan says, or recover what an earlier process left."""
    clock = RemoteClock()
    ledger = SqliteLedger(PLAN["ledger"], clock=clock)
    settings = Settings.from_env(PLAN["settings"])
    async with MediaGenerator(settings=settings, ledger=ledger, clock=clock) as media:
        if MODE == "make":
            job = await media.start(**PLAN["request"], job_id="the-job", on_cancel="detach", timeout=900)
            assets = await media.wait(job)
            report: dict[str, object] = {"assets": [asset.object_key for asset in assets]}
        else:
            try:
                # What was recorded and never sent is the caller's to send again: with the same id it joins.
                job = await media.start(**PLAN["request"], job_id="the-job", on_cancel="detach", timeout=900)
                await media.wait(job)
            except MediaError as error:
                print(error.code, error, file=sys.stderr)
            recovered = await media.recover()
            rows = [row.model_dump(mode="json") for row in await media.jobs()]
            report = {"failed": sorted(recovered.failed), "rows": rows}
    print(json.dumps({"seams": passed, **report}))


anyio.run(main, backend=BACKEND)
