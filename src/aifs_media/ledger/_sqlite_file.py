"""A SQLite file that is a ledger: opening it, transactions that are whole and durable, and its errors as ours."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from aifs_media.errors import ConfigurationError, LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aifs_media.errors import MediaError

T = TypeVar("T")

BUSY_SECONDS = 5.0  # a thread that waits for a lock cannot be cancelled
APPLICATION_ID = 0x61696673  # "aifs", so that no other program's database is taken for a ledger
SCHEMA_VERSION = 1
SCHEMA = (
    """
    create table jobs (
        namespace text not null,
        job_id text not null,
        format integer not null,
        version integer not null,
        stage text not null,
        done integer not null,
        created_at text not null,
        changed_at text not null,
        expires_at text,
        lease_owner text,
        lease_fence integer not null default 0,
        lease_expires_at text,
        body text not null,
        primary key (namespace, job_id)
    )
    """,
    "create index jobs_unfinished on jobs (created_at) where done = 0",
    "create index jobs_by_age on jobs (created_at)",
    "create index jobs_by_end on jobs (changed_at) where done = 1",
    """
    create table refs (
        provider text not null,
        ref text not null,
        namespace text not null,
        job_id text not null,
        primary key (provider, ref)
    )
    """,
    "create index refs_by_job on refs (namespace, job_id)",
    """
    create table tags (
        namespace text not null,
        job_id text not null,
        name text not null,
        value text not null,
        primary key (namespace, job_id, name)
    )
    """,
    "create index tags_by_value on tags (name, value)",
    "create table deliveries (delivery_id text not null primary key, claimed_at text not null)",
    "create index deliveries_by_age on deliveries (claimed_at)",
    f"pragma application_id = {APPLICATION_ID}",
    f"pragma user_version = {SCHEMA_VERSION}",
)


class SqliteFile:
    """One connection, one call at a time, from any thread. Opened by the first call, and again after `close`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        if "\0" in os.fspath(path):
            raise ConfigurationError("A path with a NUL is no path of a ledger.", hint="Check MEDIA_LEDGER.")
        # Absolute, so that a later change of the working directory does not begin a second ledger.
        self._path = Path(path).absolute()
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run queries. Each sees what was committed before it."""
        with self._lock, self._errors():
            return work(self._open())

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run one transaction: all of it is on the disk when this returns, or nothing of it happened."""
        with self._lock, self._errors():
            connection = self._open()
            connection.execute("begin immediate")
            try:
                result = work(connection)
                connection.execute("commit")
            except BaseException:  # whatever it was, nothing may stay half done
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
            return result

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if not _is_busy(error):
                # The next call opens the file anew: after an error of the disk nothing is known of this connection.
                with suppress(sqlite3.Error):
                    self._drop()
            raise self._typed(error) from error

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:  # an interrupt as well: a connection that is not ready is of no use to anybody
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        # Looked at before anything is changed: it may be somebody else's database.
        self._check_identity(connection)
        self._use_write_ahead_log(connection)
        # Each commit is synchronised with the disk. The default of WAL in some builds would lose the last ones.
        connection.execute("pragma synchronous = full")
        connection.execute("begin immediate")
        if self._check_identity(connection):
            for statement in SCHEMA:
                connection.execute(statement)
        connection.execute("commit")

    def _check_identity(self, connection: sqlite3.Connection) -> bool:
        """Return whether the file is still empty."""
        application = connection.execute("pragma application_id").fetchone()[0]
        version = connection.execute("pragma user_version").fetchone()[0]
        tables = connection.execute("select count(*) from sqlite_master").fetchone()[0]
        if application == 0 and tables == 0:
            return True
        if application != APPLICATION_ID:
            raise ConfigurationError(
                f"The SQLite file {str(self._path)!r} is not a ledger of aifs-media.",
                hint="It belongs to another program and was not touched. Name a file of its own for the ledger.",
            )
        if version > SCHEMA_VERSION:
            raise ConfigurationError(
                f"The ledger {str(self._path)!r} was made by a newer version of aifs-media "
                f"(schema {version}; this one knows {SCHEMA_VERSION}).",
                hint="Update aifs-media in this process too.",
            )
        return False

    def _use_write_ahead_log(self, connection: sqlite3.Connection) -> None:
        give_up = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
            except sqlite3.Error as error:
                # Two that begin a file at once would wait for each other; SQLite refuses one of them without waiting.
                if not _is_busy(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.01)
                continue
            if mode != "wal":
                raise ConfigurationError(
                    f"The ledger {str(self._path)!r} lies where SQLite cannot share a file safely (journal mode {mode!r}).",
                    hint="Put it on a local disk. For several hosts use a PostgreSQL ledger.",
                )
            return

    def _typed(self, error: sqlite3.Error) -> MediaError:
        path = str(self._path)
        match _code(error):
            case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
                return LedgerError(
                    f"The ledger {path!r} was locked by another process for {BUSY_SECONDS:g} s.",
                    hint="Try again; if it stays so, look which process holds a transaction open.",
                    retryable=True,
                )
            case sqlite3.SQLITE_FULL:
                return LedgerError(
                    f"There is no room for the ledger {path!r} ({error}).",
                    hint="Nothing was recorded. Free some disk space and call again.",
                )
            case sqlite3.SQLITE_NOTADB:
                return ConfigurationError(
                    f"The file {path!r} is not a SQLite database.",
                    hint="It was not touched. Name a file of its own for the ledger.",
                )
            case sqlite3.SQLITE_CANTOPEN if os.path.isdir(path):  # noqa: PTH112 - pathlib's raises for a name too long
                return ConfigurationError(
                    f"The ledger {path!r} is a directory.", hint="Name a file, for example media.db inside it."
                )
            case sqlite3.SQLITE_CANTOPEN if not os.path.isdir(self._path.parent):  # noqa: PTH112 - the same
                return ConfigurationError(
                    f"The directory {str(self._path.parent)!r} of the ledger does not exist.", hint="Make it first."
                )
            case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
                return ConfigurationError(
                    f"The ledger {path!r} cannot be written ({error}).",
                    hint="This process must be able to write the file and the directory it lies in.",
                )
            case _:
                return LedgerError(
                    f"The ledger {path!r} could not be used ({type(error).__name__}: {error}).",
                    hint="Check the disk; `sqlite3 FILE 'pragma integrity_check'` shows whether the file is whole.",
                )


def _code(error: sqlite3.Error) -> int:
    # Extended codes carry the primary one in their low byte. Errors of the Python module itself have none.
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF


def _is_busy(error: sqlite3.Error) -> bool:
    return _code(error) in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
