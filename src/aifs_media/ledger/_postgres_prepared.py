"""A statement that PostgreSQL parses and plans once per connection, as far as what is between does not hinder it.

psycopg is imported when it is used: this module is there before it is known whether psycopg is installed.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg
    from psycopg.pq.abc import PGresult

    Value = str | int | datetime | None

PARAMETER = re.compile(r"%\((\w+)\)s")


class PreparedStatement:
    """A change that is run outside of transactions, with parameters written `%(name)s`.

    psycopg can prepare statements itself, but numbers them: behind a pooler that hands out connections per transaction, one
    client may then run what another one has prepared. Here the name is made of the text, so that a statement of that name is
    this one, whoever prepared it.
    """

    def __init__(self, text: str) -> None:
        self._parameters = list(dict.fromkeys(PARAMETER.findall(text)))
        places = {name: f"${number}" for number, name in enumerate(self._parameters, start=1)}
        self._text = PARAMETER.sub(lambda found: places[found[1]], text).encode()
        self._name = b"aifs_media_" + hashlib.sha256(self._text).hexdigest()[:32].encode()

    def prepare(self, connection: psycopg.Connection) -> None:
        """Make it known to the server; that it is already known is fine."""
        from psycopg.errors import DuplicatePreparedStatement

        with suppress(DuplicatePreparedStatement):
            _checked(connection.pgconn.prepare(self._name, self._text))

    def run(self, connection: psycopg.Connection, values: Mapping[str, Value]) -> int:
        """Run it and return how many rows it changed. Raises psycopg's errors."""
        from psycopg.errors import InvalidSqlStatementName

        parameters = [_as_text(values[name]) for name in self._parameters]
        try:
            # psycopg takes None for null here, as it does below; its annotation says otherwise.
            result = _checked(connection.pgconn.exec_prepared(self._name, parameters))  # type: ignore[arg-type]
        except InvalidSqlStatementName:  # a pooler has put another connection behind this one
            result = _checked(connection.pgconn.exec_params(self._text, parameters))
        return result.command_tuples or 0


def _checked(result: PGresult) -> PGresult:
    from psycopg import OperationalError
    from psycopg.errors import error_from_result
    from psycopg.pq import DiagnosticField, ExecStatus, error_message

    if result.status == ExecStatus.COMMAND_OK:
        return result
    if result.error_field(DiagnosticField.SQLSTATE) is None:  # not the server's refusal: it cannot be reached
        raise OperationalError(error_message(result))
    raise error_from_result(result)


def _as_text(value: Value) -> bytes | None:
    from psycopg import DataError

    match value:
        case None:
            return None
        case datetime():
            return value.isoformat().encode()
        case str() if "\0" in value:  # it would end the value, and name another row
            raise DataError("PostgreSQL text cannot contain NUL.")
        case _:
            return str(value).encode()
