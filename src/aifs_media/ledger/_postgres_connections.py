"""Connections to a PostgreSQL ledger: opened by the first call, kept for the next one, and its errors as ours.

The only module, with the statements' one, that imports psycopg; the ledger imports it when it is made.
"""

from __future__ import annotations

import selectors
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import psycopg
from psycopg import errors as psycopg_errors
from psycopg.conninfo import conninfo_to_dict

from aifs_media._secrets import Secret, redact
from aifs_media.errors import ConfigurationError, LedgerError
from aifs_media.ledger import _postgres_rows, _postgres_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from aifs_media.errors import MediaError

T = TypeVar("T")

# Seconds, unless the address says otherwise. A thread that waits for a server that is gone cannot be cancelled.
DEFAULTS: dict[str, str | int] = {
    "application_name": "aifs-media",
    "client_encoding": "utf8",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,  # milliseconds
}
STATEMENT_TIMEOUT = "10s"


class Connections:
    """Runs statements and transactions, each on a connection of its own; at most `kept` stay open between calls."""

    def __init__(self, dsn: str, *, kept: int) -> None:
        self._settings = {**DEFAULTS, **_parse(dsn)}
        self._secrets = (Secret(dsn), Secret(str(self._settings.get("password", ""))))
        self._kept = kept
        self._lock = threading.Lock()
        self._idle: list[psycopg.Connection] = []
        self._schema_checked = False

    def run(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Run one transaction: all of it is durable when this returns, or nothing of it happened."""

        def transaction(connection: psycopg.Connection) -> T:
            connection.execute("begin")
            result = work(connection)
            connection.execute("commit")
            return result

        return self.run_single(transaction)

    def run_single(self, work: Callable[[psycopg.Connection], T]) -> T:
        """Run statements of which each is whole by itself, without the two round trips that a transaction adds."""
        with self._errors():
            connection = self._take()
            try:
                result = work(connection)
            except psycopg.Error:
                # After an error of the server or the network nothing is known of this connection.
                connection.close()
                raise
            except BaseException:  # a refusal of ours, or an interrupt: nothing may stay half done
                with suppress(psycopg.Error):
                    if connection.info.transaction_status != psycopg.pq.TransactionStatus.IDLE:
                        connection.execute("rollback")
                self._give_back(connection)
                raise
            self._give_back(connection)
            return result

    def close(self) -> None:
        """Close what is not in use."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _take(self) -> psycopg.Connection:
        while True:
            with self._lock:
                if not self._idle:
                    break
                connection = self._idle.pop()
            if not _has_news(connection):
                return connection
            # The server was restarted, or the network dropped it, while nobody used it.
            connection.close()
        return self._connect()

    def _give_back(self, connection: psycopg.Connection) -> None:
        idle = connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        with self._lock:
            if idle and len(self._idle) < self._kept:
                self._idle.append(connection)
                return
        connection.close()

    def _connect(self) -> psycopg.Connection:
        # No prepared statements of psycopg's own: poolers that hand out a connection per transaction mix them up.
        connection = psycopg.connect(autocommit=True, prepare_threshold=None, **self._settings)  # type: ignore[arg-type]
        try:
            connection.execute("select set_config('statement_timeout', %s, false)", [STATEMENT_TIMEOUT])
            # Read committed is what the statements are written for. A server may be set to confirm commits that are not
            # on its disk yet; a record of what is paid must be.
            connection.execute("set default_transaction_isolation to 'read committed'")
            connection.execute(
                "select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'"
            )
            if not self._schema_checked:
                _postgres_schema.prepare(connection)
                self._schema_checked = True
            _postgres_rows.UPDATE_ALONE.prepare(connection)
        except BaseException:  # an interrupt as well: a connection that is not ready is of no use to anybody
            connection.close()
            raise
        return connection

    @contextmanager
    def _errors(self) -> Generator[None]:
        try:
            yield
        except psycopg.Error as error:
            # Without its cause: the text of the database may repeat the address, and values of a row.
            raise self._typed(error) from None

    def _typed(self, error: psycopg.Error) -> MediaError:
        reason = redact(str(error).partition("\n")[0].strip(), *self._secrets)
        match error:
            case psycopg_errors.DiskFull():
                return LedgerError(
                    f"There is no room for the ledger on the PostgreSQL server ({reason}).",
                    hint="Nothing was recorded. Free some disk space there and call again.",
                )
            case psycopg_errors.InsufficientPrivilege() | psycopg_errors.InvalidSchemaName():
                return ConfigurationError(
                    f"The PostgreSQL user of the ledger may not do this ({reason}).",
                    hint="It must be able to make tables in its schema once, and to read and write them after that.",
                )
            case psycopg_errors.OperationalError() | psycopg_errors.InterfaceError():
                return LedgerError(
                    f"The PostgreSQL ledger did not answer ({reason}).",
                    hint="Check the address, user and password in MEDIA_LEDGER, and whether the server runs. The next call "
                    "connects again; if this one was a change, look whether it was recorded.",
                    retryable=True,
                )
            case _:
                return LedgerError(
                    f"The PostgreSQL ledger refused a statement ({type(error).__name__} {error.sqlstate or ''}).",
                    hint="The server's log says more.",
                )


def _has_news(connection: psycopg.Connection) -> bool:
    """Say whether something has arrived on a connection that nobody used: as a rule that it is over."""
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            return bool(selector.select(timeout=0))
    except (psycopg.Error, OSError, ValueError):
        return True


def _parse(dsn: str) -> dict[str, str | int]:
    try:
        settings = dict(conninfo_to_dict(dsn))
    except psycopg.ProgrammingError:
        # Without its cause and text: they repeat the address with its password.
        settings = {"port": "not readable"}
    ports = str(settings.get("port") or "5432").split(",")
    if not all(port.isdecimal() for port in ports):
        raise ConfigurationError(
            "The address of the PostgreSQL ledger cannot be read.",
            hint="Write postgresql://user:password@host:5432/database, with special characters of the password as %XX.",
        )
    return {name: value for name, value in settings.items() if value is not None}
