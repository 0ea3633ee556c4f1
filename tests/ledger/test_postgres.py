"""What only a ledger on a server can meet."""

from __future__ import annotations

import psycopg
import pytest

from aifs_media.errors import StaleJobError
from aifs_media.ledger.postgres import PostgresLedger
from aifs_media.testing.ledger_contract import attempt, job

pytestmark = pytest.mark.anyio


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
