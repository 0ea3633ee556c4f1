"""Several real processes on one ledger, some of them killed with SIGKILL: a SQLite file, and a real PostgreSQL server."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

import aifs_media
from aifs_media.errors import StaleJobError
from aifs_media.ledger.postgres import PostgresLedger
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.testing.ledger_contract import attempt, job

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aifs_media.protocols import Ledger
    from aifs_media.records import Job

pytestmark = pytest.mark.anyio

WORKER = Path(__file__).with_name("worker.py")
ENVIRON = {**os.environ, "PYTHONPATH": str(Path(aifs_media.__file__).parents[1])}


class Worker:
    """One process beside this one."""

    def __init__(self, mode: str, backend: str, where: str, *, owner: str, times: float) -> None:
        command = [sys.executable, str(WORKER), mode, backend, where, owner, str(times)]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=ENVIRON)
        assert self._out.readline() == "ready\n"

    @property
    def _out(self) -> Any:
        return self._child.stdout

    def go(self) -> None:
        """Let it begin."""
        assert self._child.stdin is not None
        self._child.stdin.write("\n")
        self._child.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Return the next thing it says."""
        said: dict[str, Any] = json.loads(self._out.readline())
        return said

    @property
    def ended(self) -> bool:
        """Say whether it was waited for."""
        return self._child.returncode is not None

    def kill(self) -> list[dict[str, Any]]:
        """End it with SIGKILL; return what it had said."""
        self._child.kill()
        # Not `communicate`, which would not see what was read ahead.
        rest = self._out.read().splitlines()
        with self._child:
            return [json.loads(line) for line in rest if line.endswith("}")]


class Place:
    """A ledger with one job, open here, and the processes that work on it."""

    def __init__(self, where: str, backend: str) -> None:
        self.where = where
        self.backend = backend
        self.ledger: Ledger = PostgresLedger(where) if where.startswith("postgresql") else SqliteLedger(where)

    @contextmanager
    def workers(self, mode: str, *, number: int = 1, times: float = 0) -> Iterator[list[Worker]]:
        """Start processes that all begin at once."""
        started: list[Worker] = []
        try:
            # One by one into the list, so that those that were started are ended even if one does not come up.
            started.extend(
                Worker(mode, self.backend, self.where, owner=f"worker-{index}", times=times) for index in range(number)
            )
            for worker in started:
                worker.go()
            yield started
        finally:
            for worker in started:
                if not worker.ended:
                    worker.kill()

    async def row(self) -> Job:
        """Return the job as it stands."""
        found = await self.ledger.load("one")
        assert found is not None
        return found


@pytest.fixture(params=["sqlite", "postgres"])
async def place(request: pytest.FixtureRequest, tmp_path: Path, anyio_backend: str) -> AsyncIterator[Place]:
    """Each ledger that processes can share, in turn."""
    where = str(tmp_path / "jobs.db") if request.param == "sqlite" else request.getfixturevalue("postgres_dsn")
    made = Place(where, anyio_backend)
    await made.ledger.create_or_load(job(attempts=(attempt(None),), timeout=1.0))
    yield made
    await made.ledger.aclose()
    if request.param == "sqlite":
        with closing(sqlite3.connect(where)) as connection:
            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)


async def test_no_update_of_three_processes_is_lost(place: Place) -> None:
    """Each adds one fifty times; the sum is all of them, and each refusal was retried by its own process."""
    with place.workers("count", number=3, times=50) as workers:
        refused = [worker.hear()["refused"] for worker in workers]
    row = await place.row()
    assert (row.timeout, row.version) == (151.0, 150)
    assert sum(refused) > 0, "they never met: the test shows nothing"


async def test_of_three_processes_one_gets_the_lease(place: Place) -> None:
    """And the others are told that they did not."""
    with place.workers("take", number=3, times=60) as workers:
        fences = [worker.hear()["fence"] for worker in workers]
        assert sorted(fences, key=str) == [1, None, None]
        assert await place.ledger.acquire("one", owner="me", seconds=60) is None


async def test_a_killed_owner_is_followed_after_its_time(place: Place) -> None:
    """Its lease ends by itself; the next one's fence is higher, and what carries the old one is refused."""
    with place.workers("take", times=1) as (worker,):
        old = worker.hear()["fence"]
        worker.kill()
    assert await place.ledger.acquire("one", owner="me", seconds=60) is None, "taken while the lease was still running"
    lease = None
    with anyio.fail_after(20):
        while lease is None:
            await anyio.sleep(0.02)
            lease = await place.ledger.acquire("one", owner="me", seconds=60)
    assert lease.fence > old
    row = await place.row()
    with pytest.raises(StaleJobError):
        await place.ledger.update(row, expected_version=row.version, fence=old)
    assert await place.row() == row
    assert (await place.ledger.update(row, expected_version=row.version, fence=lease.fence)).version == row.version + 1


async def test_killed_inside_a_transaction(place: Place) -> None:
    """The row is as it was before, and the next writer is not held up."""
    before = await place.row()
    with place.workers("stop-inside") as (worker,):
        assert worker.hear() == {"inside": True}
        assert await place.row() == before, "somebody saw what was not committed"
        worker.kill()
    with anyio.fail_after(5):
        assert await place.row() == before
        assert (await place.ledger.update(before, expected_version=before.version)).version == before.version + 1
    assert await place.ledger.find_by_ref("replicate", "new") is None


async def test_what_was_said_to_be_recorded_is(place: Place) -> None:
    """Killed again and again while it writes: every version that it was told of is there."""
    for _ in range(3):
        with place.workers("write") as (worker,):
            heard = [worker.hear(), *worker.kill()]
        row = await place.row()
        # One more at most: recorded, and killed before it could say so.
        assert 0 <= row.version - heard[-1]["version"] <= 1
