"""httpx logs the whole address of each request at INFO. Of ours the queries are left out, which may hold tokens of providers and hosts.

Requests that the rest of the process makes with httpx are logged as they always were.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from aifs_media._secrets import redact

if TYPE_CHECKING:
    from collections.abc import Generator

_ours: ContextVar[bool] = ContextVar("aifs_media_request", default=False)


class _WithoutQueries(logging.Filter):
    """Lets every record pass; of one of our requests, its texts and addresses redacted."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return True."""
        if _ours.get() and isinstance(record.args, tuple):
            record.args = tuple(one if isinstance(one, int | float) else redact(str(one)) for one in record.args)
        return True


_without_queries = _WithoutQueries()


@contextmanager
def queries_left_out() -> Generator[None]:
    """Mark what is sent inside as ours."""
    # Each time, since a host may have set its loggers up anew; one that is there already is not added twice.
    logging.getLogger("httpx").addFilter(_without_queries)
    before = _ours.set(True)
    try:
        yield
    finally:
        _ours.reset(before)
