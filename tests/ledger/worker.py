"""A process that works on a ledger beside others.

    worker.py count|write|take|stop-inside BACKEND LEDGER OWNER TIMES

Each prints `ready`, reads a line, and then works, so that several begin at once. What it says is one line of JSON each.
"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import anyio

from aifs_media.errors import StaleJobError
from aifs_media.ledger import _postgres_rows, _sqlite_rows
from aifs_media.ledger.postgres import PostgresLedger
from aifs_media.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from aifs_media.protocols import Ledger
    from aifs_media.records import Job

MODE, BACKEND, WHERE, OWNER, TIMES = sys.argv[1:]


def open_ledger(where: str) -> Ledger:
    """Return the ledger of an address."""
    return PostgresLedger(where) if where.startswith("postgresql") else SqliteLedger(where)


def say(**what: object) -> None:
    """Tell the parent."""
    print(json.dumps(what), flush=True)


async def current(ledger: Ledger) -> Job:
    """Return the row that all work on."""
    job = await ledger.load("one")
    assert job is not None
    return job


async def count(ledger: Ledger) -> None:
    """Add one so many times, each time to what is there."""
    done = refused = 0
    while done < int(TIMES):
        job = await current(ledger)
        try:
            await ledger.update(job.model_copy(update={"timeout": job.timeout + 1}), expected_version=job.version)
        except StaleJobError:
            refused += 1
        else:
            done += 1
    say(refused=refused)


async def write(ledger: Ledger) -> None:
    """Change the row until killed; say each version once it is recorded."""
    job = await current(ledger)
    while True:
        job = await ledger.update(job, expected_version=job.version)
        say(version=job.version)


async def take(ledger: Ledger) -> None:
    """Try for the lease once, and hold it until killed."""
    lease = await ledger.acquire("one", owner=OWNER, seconds=float(TIMES))
    say(fence=None if lease is None else lease.fence)
    sys.stdin.readline()


async def stop_inside(ledger: Ledger) -> None:
    """Stop for ever between the statements of one update: its row is changed, and not committed."""

    def stop(*_arguments: Any) -> None:
        say(inside=True)
        time.sleep(600)

    # From outside, at what comes after the row's own statement.
    _sqlite_rows._hold_refs = stop
    _postgres_rows._hold_refs = stop
    job = await current(ledger)
    changed = job.model_copy(
        update={"timeout": 999.0, "attempts": tuple(one.model_copy(update={"ref": "new"}) for one in job.attempts)}
    )
    await ledger.update(changed, expected_version=job.version)


async def main() -> None:
    """Wait for the start, and work."""
    ledger = open_ledger(WHERE)
    await current(ledger)
    print("ready", flush=True)
    sys.stdin.readline()
    await {"count": count, "write": write, "take": take, "stop-inside": stop_inside}[MODE](ledger)
    await ledger.aclose()


anyio.run(main, backend=BACKEND)
