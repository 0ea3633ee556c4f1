"""Every ledger keeps the contract: memory, a SQLite file, a real PostgreSQL server; and what only some of them can be asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aifs_media.errors import ConfigurationError, LedgerError
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.ledger.postgres import PostgresLedger
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.testing import LedgerContract
from aifs_media.testing.ledger_contract import job

if TYPE_CHECKING:
    from pathlib import Path


class TestMemoryLedger(LedgerContract):
    """In memory."""

    @pytest.fixture
    def ledger(self) -> MemoryLedger:
        return MemoryLedger()


class TestSqliteLedger(LedgerContract):
    """In a file."""

    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(tmp_path / "jobs.db")


class TestPostgresLedger(LedgerContract):
    """At a server, in a schema of its own."""

    @pytest.fixture
    def ledger(self, postgres_dsn: str) -> PostgresLedger:
        return PostgresLedger(postgres_dsn)


@pytest.mark.anyio
async def test_two_connections_see_one_ledger(tmp_path: Path, postgres_dsn: str) -> None:
    """What one process writes another reads."""
    pairs = [
        (SqliteLedger(tmp_path / "jobs.db"), SqliteLedger(tmp_path / "jobs.db")),
        (PostgresLedger(postgres_dsn), PostgresLedger(postgres_dsn)),
    ]
    for one, other in pairs:
        kept = await one.create_or_load(job())
        assert await other.load("one") == kept
        await one.aclose()
        await other.aclose()


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["", "missing/jobs.db", "text.db"])
async def test_what_cannot_be_a_ledger_is_said(tmp_path: Path, name: str) -> None:
    """A folder, a missing directory and a file of something else are typed errors."""
    (tmp_path / "text.db").write_text("not a database, " * 100)
    ledger = SqliteLedger(tmp_path / name if name else tmp_path)
    with pytest.raises((ConfigurationError, LedgerError)):
        await ledger.load("one")
    await ledger.aclose()


@pytest.mark.anyio
async def test_a_server_that_is_away_is_a_typed_error() -> None:
    """And its password is not in it."""
    ledger = PostgresLedger("postgresql://user:canary-password-9f@127.0.0.1:9/none?connect_timeout=2")
    with pytest.raises((ConfigurationError, LedgerError)) as away:
        await ledger.load("one")
    assert "canary" not in str(away.value) + repr(away.value) + repr(ledger)
    await ledger.aclose()
