"""Members that an answer may have, read so that no value of theirs can raise: what is paid for is never lost to an odd one. Pure.

Whatever is not what it should be counts as missing. JSON as Python reads it has NaN, infinities and numbers of any length.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from pydantic import JsonValue

LARGEST = 2**64
"""No count, seed, price or time of a service is larger."""

FAR_FUTURE = 1e10
"""Seconds since 1970 that no time of a service reaches: the year 2286."""


def text(value: JsonValue) -> str:
    """Return a text that can be written down; empty for anything else, such as half of a surrogate pair."""
    if not isinstance(value, str):
        return ""
    return value if value.isascii() or value.encode("utf-8", "ignore").decode() == value else ""


def shown(value: JsonValue) -> str:
    """Return any value as text for a message; empty for nothing, and for what is nested too deep to be shown."""
    try:
        return "" if value is None else str(value)
    except RecursionError:
        return ""


def number(value: JsonValue) -> int | float | None:
    """Return a number that can be reckoned with."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    # NaN is not smaller than anything.
    return value if abs(value) <= LARGEST else None


def amount(value: JsonValue) -> int | float | None:
    """Return a number of what is counted, waited or paid for: it is not negative."""
    found = number(value)
    return found if found is not None and found >= 0 else None


def whole(value: JsonValue) -> int | None:
    """Return a whole number."""
    found = number(value)
    return found if isinstance(found, int) else None


def moment(value: JsonValue) -> datetime | None:
    """Return a time that is written as ISO 8601, in UTC, which counts as meant where no zone is named."""
    if not isinstance(value, str):
        return None
    try:
        read = datetime.fromisoformat(value)
        read = read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
        return read if 0 <= read.timestamp() <= FAR_FUTURE else None
    except (ValueError, OverflowError):
        return None


def moment_of(seconds: float) -> datetime | None:
    """Return the time so many seconds after 1970."""
    return datetime.fromtimestamp(seconds, UTC) if 0 <= seconds <= FAR_FUTURE else None


def link(value: JsonValue) -> str:
    """Return a text that can be read as a URL, wherever that leads; empty for anything else."""
    url = text(value)
    try:
        _ = urlsplit(url).port
    except ValueError:
        return ""
    return url
