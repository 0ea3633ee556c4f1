"""One contender of `ledger_cost.py` in a process of its own: it works only when it is told to.

    ledger_contenders.py ours|dbos|dbos-async URL

Reads one line of JSON a round, how many jobs write at a time and how many writes there are, and answers with one: seconds of wall
and of CPU per write.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import threading
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbos import DBOS

    from aifs_media.records import Job

MOST_JOBS = 16
OLDEST_FOR_DBOS = (3, 42)  # its tables call unixepoch('subsec')


def newer_sqlite() -> None:
    """Give both contenders a SQLite that DBOS can start on, where Python's own is too old."""
    if sqlite3.sqlite_version_info < OLDEST_FOR_DBOS:
        import pysqlite3

        sys.modules["sqlite3"] = pysqlite3


class Round:
    """One round's figures: from the moment all its jobs have begun to the end of the last write."""

    def __init__(self, jobs: int, writes: int) -> None:
        self.jobs, self.each = jobs, writes // jobs
        self.start = threading.Barrier(jobs, action=self.begin)

    def begin(self) -> None:
        """Start to count."""
        self._began, self._worked = time.perf_counter(), time.process_time()

    def report(self) -> None:
        """Tell the parent."""
        wall, processor = time.perf_counter() - self._began, time.process_time() - self._worked
        count = self.jobs * self.each
        print(json.dumps({"wall": wall / count, "cpu": processor / count}), flush=True)


def asked() -> Iterator[Round]:
    """Say that this contender is ready, and yield the rounds that the parent asks for."""
    print("{}", flush=True)
    for line in sys.stdin:
        yield Round(**json.loads(line))


def serve_ours(url: str) -> None:
    """Update rows again and again, one row a job."""
    import anyio

    from aifs_media.ledger.postgres import PostgresLedger
    from aifs_media.ledger.sqlite import SqliteLedger

    async def main() -> None:
        ledger = SqliteLedger(url.removeprefix("sqlite:///")) if url.startswith("sqlite") else PostgresLedger(url)
        rows = [await ledger.create_or_load(a_job(number)) for number in range(MOST_JOBS)]

        async def transitions(number: int, one: Round) -> None:
            job = rows[number]
            for _ in range(one.each):
                job = await ledger.update(job, expected_version=job.version)
            rows[number] = job

        for one in asked():
            one.begin()
            async with anyio.create_task_group() as group:
                for number in range(one.jobs):
                    group.start_soon(transitions, number, one)
            one.report()
        await ledger.aclose()

    anyio.run(main)


def a_job(number: int) -> Job:
    """Return a job as it stands when its provider has accepted it."""
    from aifs_media.records import Attempt, Job, MediaRequest

    now = datetime.now(UTC)
    attempt = Attempt(
        submit_key="k", provider="replicate", model="m", started_at=now, send_by=now, outcome="accepted",
        ref={"id": f"ufawqhfynnddngldkgtslldrk{number}"},
    )  # fmt: skip
    request = MediaRequest(kind="image", prompt="a fox in the snow", provider="replicate", model="m", tags={"a": "b"})
    return Job(
        job_id=f"job-{number}", request=request, stage="submitted", created_at=now, timeout=60, lifetime=70,
        on_cancel="detach", object_stems=(f"2026/11/job-{number}-0",), attempts=(attempt,),
    )  # fmt: skip


def launch(url: str) -> type[DBOS]:
    """Start DBOS as it comes."""
    from dbos import DBOS

    logging.disable(logging.WARNING)
    DBOS(config={"name": "ledger-cost", "system_database_url": url, "run_admin_server": False})
    return DBOS


def serve_dbos(url: str) -> None:
    """Run workflows of so many empty steps, timed inside them: the rows of the workflows themselves do not count."""
    dbos = launch(url)
    current: list[Round] = []

    @dbos.step()
    def step(number: int) -> int:
        return number

    @dbos.workflow()
    def steps() -> None:
        current[-1].start.wait()
        for number in range(current[-1].each):
            step(number)

    dbos.launch()
    for one in asked():
        current[:] = [one]
        for handle in [dbos.start_workflow(steps) for _ in range(one.jobs)]:
            handle.get_result()
        one.report()
    dbos.destroy()


def serve_dbos_async(url: str) -> None:
    """Run the same on the event loop."""
    import asyncio  # noqa: TID251 - DBOS runs on nothing else

    dbos = launch(url)
    current: list[tuple[Round, asyncio.Event, list[None]]] = []

    @dbos.step()
    async def step(number: int) -> int:
        return number

    @dbos.workflow()
    async def steps() -> None:
        one, begun, waiting = current[-1]
        waiting.append(None)
        if len(waiting) == one.jobs:
            one.begin()
            begun.set()
        await begun.wait()
        for number in range(one.each):
            await step(number)

    async def rounds() -> None:
        for one in asked():
            current[:] = [(one, asyncio.Event(), [])]
            await asyncio.gather(*(steps() for _ in range(one.jobs)))
            one.report()

    dbos.launch()
    asyncio.run(rounds())
    dbos.destroy()


if __name__ == "__main__":
    newer_sqlite()
    {"ours": serve_ours, "dbos": serve_dbos, "dbos-async": serve_dbos_async}[sys.argv[1]](sys.argv[2])
