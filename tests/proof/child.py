"""A process with everything loaded, of which a copy is forked for each run, so that a run costs no start of Python.

It reads a plan, one line of JSON, from its standard input, forks, and writes two lines: the copy's process id, then its wait
status. A copy that has ended is reaped only with the next plan, so that a signal sent late reaches nobody else. It ends when its
input ends. It starts neither a thread nor an event loop: a fork takes only one thread along.

The copy makes what its plan says or recovers what an earlier one left, on the emulator's time, and is a real process: what kills
it is a real SIGKILL, by its own hand at a seam or from outside at any moment.
"""

from __future__ import annotations

import functools
import gc
import http.client
import importlib
import json
import os
import pkgutil
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio._backends._asyncio
import anyio._backends._trio
import boto3.session
import botocore.loaders
from tests.proof.seams import Seams

import aifs_media
from aifs_media import MediaError, MediaGenerator, Settings
from aifs_media._http import ssl_context
from aifs_media.cli.application import run as run_command
from aifs_media.ledger.postgres import PostgresLedger
from aifs_media.ledger.sqlite import SqliteLedger


class RemoteClock:
    """The emulator's time: this machine's, and what was added to it. Only this process adds to it while it runs."""

    def __init__(self, url: str) -> None:
        address = urlsplit(url)
        self._path = address.path
        self._connection = http.client.HTTPConnection(address.netloc)
        self._ahead = 0.0
        self._advance(0.0)

    def now(self) -> datetime:
        """Return the emulator's present."""
        return datetime.fromtimestamp(self.monotonic(), tz=UTC)

    def monotonic(self) -> float:
        """Return the emulator's present in seconds."""
        return time.monotonic() + self._ahead

    async def sleep(self, seconds: float) -> None:
        """Move the emulator's clock."""
        self._advance(seconds)
        await anyio.lowlevel.checkpoint()

    def _advance(self, seconds: float) -> None:
        body = json.dumps({"advance": seconds})
        self._connection.request("POST", self._path, body, {"content-type": "application/json"})
        answer = json.load(self._connection.getresponse())
        self._ahead = float(answer["now"]) - time.monotonic()


async def make(media: MediaGenerator, request: dict[str, Any]) -> None:
    """Make what is asked for. Who is killed leaves the job to whoever comes next."""
    job = await media.start(**request, job_id="the-job", on_cancel="detach", timeout=900)
    await media.wait(job)


async def recover(media: MediaGenerator, request: dict[str, Any]) -> None:
    """Do what a host does after a crash: recover, and ask again for what it does not have, by the same id."""
    report = await media.recover()
    print("recovered:", report)
    options = {**request, "job_id": "the-job", "on_cancel": "detach", "timeout": 900}
    again = {"image": media.images, "video": media.video}[options.pop("kind")]
    try:
        await again(**options)
    except MediaError as error:
        print(error.code, error)


async def run(plan: dict[str, Any], clock: RemoteClock) -> list[object]:
    """Do what the plan says; return the rows of the ledger."""
    settings = Settings.from_env(plan["settings"])
    address = settings.text("MEDIA_LEDGER")
    sqlite = address.startswith("sqlite:///")
    ledger = SqliteLedger(address.removeprefix("sqlite:///"), clock=clock) if sqlite else PostgresLedger(address)
    async with MediaGenerator(settings=settings, ledger=ledger, clock=clock) as media:
        await {"make": make, "recover": recover}[plan["mode"]](media, plan["request"])
        if plan["mode"] == "make":
            return []
        return [row.model_dump(mode="json") for row in await media.jobs()]


def live(plan: dict[str, Any]) -> None:
    """Be the copy: everything that it says goes to a file, its result to another."""
    with open(plan["output"], "a", encoding="utf-8") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    seams = Seams(plan["trace"], plan["kill_at"])
    seams.install()
    if plan["mode"] == "command":
        os.environ.update(plan["settings"])
        sys.exit(run_command(plan["command"]))
    clock = RemoteClock(plan["clock"])
    if plan["watched"]:
        seams.watch(plan["watched"])
    rows = anyio.run(run, plan, clock, backend=plan["backend"])
    with open(plan["result"], "w", encoding="utf-8") as result:
        json.dump(rows, result)


def fork(plan: dict[str, Any]) -> int:
    """Start a copy and return its process id."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        live(plan)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:  # whatever it was, no copy may go on as if it were the original
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)


def load_all() -> None:
    """Load what every copy would load: what boto3 knows of S3 alone takes it a fifth of a second."""
    for module in pkgutil.walk_packages(aifs_media.__path__, "aifs_media."):
        if not module.name.startswith(("aifs_media.testing", "aifs_media.__main__")):
            importlib.import_module(module.name)
    loader = botocore.loaders.JSONFileLoader
    load_once = functools.cache(loader().load_file)
    loader.load_file = lambda _self, path: load_once(path)
    boto3.session.Session().client("s3", region_name="auto", aws_access_key_id="-", aws_secret_access_key="-")
    ssl_context()
    gc.collect()
    gc.freeze()


def serve() -> None:
    """Fork for each plan until the input ends."""
    load_all()
    previous = None
    for line in sys.stdin:
        if previous is not None:
            os.waitpid(previous, 0)
        previous = fork(json.loads(line))
        print(previous, flush=True)
        ended = os.waitid(os.P_PID, previous, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        print(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)


if __name__ == "__main__":
    serve()
