"""The process that `soak.py` kills: it recovers what its predecessor left and goes on with the jobs.

    soak_worker.py jobs|recover FIRST LAST

Its time is the emulator's: real time plus an offset in a shared file. On standard output it says `ready`, then one line of JSON
about its memory and its file descriptors every half second, and at the end how its calls ended.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import time
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from aifs_media import MediaError, MediaGenerator, Settings
from aifs_media.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = (
    "replicate:black-forest-labs/flux-1.1-pro",  # its create is held until the picture is there
    "replicate:bytedance/sdxl-lightning-4step:5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637",  # polled
)
PLAN = json.loads(os.environ["SOAK_PLAN"])
AT_ONCE = 40
PAGE = os.sysconf("SC_PAGE_SIZE")


class SharedClock:
    """Real time plus the offset that the parent moves."""

    def __init__(self) -> None:
        with Path(PLAN["clock"]).open("rb") as file:
            self._offset = mmap.mmap(file.fileno(), 8, access=mmap.ACCESS_READ)

    def _now(self) -> float:
        return float(time.time() + struct.unpack("d", self._offset[:8])[0])

    def now(self) -> datetime:
        """Return the time of the shared clock."""
        return datetime.fromtimestamp(self._now(), tz=UTC)

    def monotonic(self) -> float:
        """Return the same in seconds."""
        return self._now()

    async def sleep(self, seconds: float) -> None:
        """Return when the shared clock is so much later."""
        until = self._now() + seconds
        while (remaining := until - self._now()) > 0:  # noqa: ASYNC110 - another process moves the clock
            await anyio.sleep(min(0.2, remaining / PLAN["speed"]))


def name_of(number: int) -> str:
    """Return a job's id; its prompt begins with it."""
    return f"job-{number:06d}"


async def make(media: MediaGenerator, number: int, ends: Counter[str]) -> None:
    """Make one picture, or join the job that has this id already."""
    try:
        await media.image(
            f"{name_of(number)} portrait",
            model=MODELS[number % 2],
            size="256x256",
            job_id=name_of(number),
            on_cancel="detach",
        )
    except MediaError as error:
        ends[error.code] += 1
    else:
        ends["stored"] += 1


async def recover(media: MediaGenerator, ends: Counter[str]) -> None:
    """Bring what is unfinished to its end, also what was recorded and never sent."""
    report = await media.recover(limit=200)
    ends["recovered"] += len(report.assets)
    for job_id in report.unsent:
        with suppress(MediaError):
            await media.resume(job_id)
            ends["resumed"] += 1


async def sample() -> None:
    """Say how much memory and how many descriptors this process holds."""
    while True:
        print(json.dumps(held_now()), flush=True)
        await anyio.sleep(0.5)


def held_now() -> dict[str, int]:
    """Return the bytes of memory and the number of descriptors."""
    resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE
    return {"rss": resident, "fds": len(list(Path("/proc/self/fd").iterdir()))}


async def main() -> None:
    """Work until everything is done, or until killed."""
    ends: Counter[str] = Counter()
    clock = SharedClock()
    ledger = SqliteLedger(PLAN["ledger"], clock=clock)
    settings = Settings.from_env(PLAN["settings"])
    numbers = iter(range(int(sys.argv[2]), int(sys.argv[3])))
    async with MediaGenerator(settings=settings, ledger=ledger, clock=clock) as media:
        print("ready", flush=True)
        async with anyio.create_task_group() as group:
            group.start_soon(sample)
            async with anyio.create_task_group() as work:
                work.start_soon(recover, media, ends)
                if sys.argv[1] == "jobs":
                    for _ in range(AT_ONCE):
                        work.start_soon(each, media, numbers, ends)
            group.cancel_scope.cancel()
    print(json.dumps({"ends": ends}), flush=True)


async def each(media: MediaGenerator, numbers: Iterator[int], ends: Counter[str]) -> None:
    """Take one job after the other."""
    for number in numbers:
        print(json.dumps({"began": number}), flush=True)
        await make(media, number, ends)


anyio.run(main, backend=PLAN["backend"])
