"""What only a ledger on a server can meet."""

from __future__ import annotations

import subprocess
import sys

import anyio
import psycopg
import pytest

from aifs_media.errors import LedgerError, StaleJobError
from aifs_media.ledger._postgres_rows import UPDATE_ALONE
from aifs_media.ledger.postgres import PostgresLedger
from aifs_media.testing.ledger_contract import attempt, job

pytestmark = pytest.mark.anyio


def test_without_psycopg_the_extra_is_named() -> None:
    """A process in which it cannot be imported, which is how it is where the extra is not installed."""
    code = """
import sys
sys.modules["psycopg"] = None
from aifs_media import ConfigurationError
from aifs_media.ledger.postgres import PostgresLedger
try:
    PostgresLedger("postgresql://127.0.0.1/media")
except ConfigurationError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=False)
    assert "pip install 'aifs-media[postgres]'" in done.stdout, done.stderr


async def test_connections_that_the_server_closed_meanwhile_are_not_used(
    postgres_server: str, postgres_dsn: str
) -> None:
    """After a restart of the server the next call simply works, whatever it is."""
    ledger = PostgresLedger(postgres_dsn)
    kept = await ledger.create_or_load(job())
    for call in ("load", "update", "create_or_load"):
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            ended = connection.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = 'aifs-media'"
            ).fetchall()
        assert ended == [(True,)]
        if call == "load":
            assert await ledger.load("one") == kept
        elif call == "update":
            kept = await ledger.update(kept, expected_version=kept.version)
        else:
            assert await ledger.create_or_load(kept) == kept
    await ledger.aclose()


async def test_a_pooler_may_put_another_connection_behind_each_call(postgres_dsn: str) -> None:
    """One that knows none of the statements that this client has prepared, or has them prepared by another client."""
    ledger = PostgresLedger(postgres_dsn, connections=1)
    kept = await ledger.create_or_load(job())
    connection = ledger._connections._idle[0]
    for forgotten in range(3):
        connection.execute("deallocate all")
        kept = await ledger.update(kept, expected_version=kept.version)
        assert kept.version == forgotten + 1
    UPDATE_ALONE.prepare(connection)
    UPDATE_ALONE.prepare(connection)  # known already: fine
    prepared = connection.execute("select count(*) from pg_prepared_statements").fetchone()
    assert prepared == (1,)
    kept = await ledger.update(kept, expected_version=kept.version)
    assert await ledger.load(kept.job_id) == kept
    await ledger.aclose()


async def test_a_connection_that_ends_during_a_change_is_a_retryable_error(
    postgres_server: str, postgres_dsn: str
) -> None:
    """Nobody can know then whether the change was recorded; the next call connects again."""
    ledger = PostgresLedger(postgres_dsn)
    kept = await ledger.create_or_load(job())
    waiting = "from pg_stat_activity where application_name = 'aifs-media' and wait_event_type = 'Lock'"

    async def end_it_while_it_waits() -> None:
        with psycopg.connect(postgres_server, autocommit=True) as connection:
            while not connection.execute(f"select pg_terminate_backend(pid, 5000) {waiting}".encode()).fetchall():
                await anyio.sleep(0.02)

    with psycopg.connect(postgres_dsn) as holder, anyio.fail_after(30):
        holder.execute("select 1 from aifs_media_jobs for update")
        async with anyio.create_task_group() as group:
            group.start_soon(end_it_while_it_waits)
            with pytest.raises(LedgerError, match="did not answer") as caught:
                await ledger.update(kept, expected_version=kept.version)
        assert caught.value.retryable
    kept = await ledger.update(kept, expected_version=kept.version)
    assert await ledger.load(kept.job_id) == kept
    await ledger.aclose()


async def test_text_that_postgres_cannot_hold_names_no_other_row(postgres_dsn: str) -> None:
    """A NUL ends a text in the protocol; what stands before it may be another job."""
    ledger = PostgresLedger(postgres_dsn)
    kept = await ledger.create_or_load(job("one"))
    with pytest.raises(LedgerError, match="refused"):
        await ledger.update(job("one\0two"), expected_version=kept.version)
    assert await ledger.load("one") == kept
    await ledger.aclose()


async def test_an_update_changes_no_index(postgres_dsn: str) -> None:
    """Until the job is done: that is most of what an update would cost."""
    ledger = PostgresLedger(postgres_dsn, connections=1)
    kept = await ledger.create_or_load(job())
    for _ in range(10):
        kept = await ledger.update(kept, expected_version=kept.version)
    await ledger.aclose()
    counted: object = None
    # The server counts when the connection's process ends, which is a moment later.
    with anyio.fail_after(20), psycopg.connect(postgres_dsn, autocommit=True) as connection:
        while counted in {None, (0, 0)}:
            await anyio.sleep(0.05)
            counted = connection.execute(
                "select n_tup_upd, n_tup_hot_upd from pg_stat_user_tables where relname = 'aifs_media_jobs'"
            ).fetchone()
    assert counted == (10, 10)


async def test_a_handle_is_recorded_with_its_row_or_not_at_all(postgres_dsn: str) -> None:
    """The short way of an update is for handles that are held already; a new one, or another job's, takes the long one."""
    ledger = PostgresLedger(postgres_dsn)
    first = await ledger.create_or_load(job("one"))
    other = await ledger.create_or_load(job("two"))
    with_ref = first.model_copy(update={"attempts": (attempt({"id": "x"}),)})
    first = await ledger.update(with_ref, expected_version=0)
    assert await ledger.find_by_ref("replicate", {"id": "x"}) == first
    first = await ledger.update(first, expected_version=1)
    assert first.version == 2
    with pytest.raises(StaleJobError):
        await ledger.update(other.model_copy(update={"attempts": with_ref.attempts}), expected_version=0)
    assert await ledger.load("two") == other
    both = first.model_copy(update={"attempts": (attempt({"id": "x"}), attempt({"id": "y"}))})
    first = await ledger.update(both, expected_version=2)
    assert await ledger.find_by_ref("replicate", {"id": "y"}) == first
    await ledger.aclose()
