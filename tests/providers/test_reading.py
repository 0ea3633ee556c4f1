"""Members that an answer may have: whatever stands there, reading it does not raise, and nothing unusable comes of it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from aifs_media.providers import _reading as reading


def nested(depth: int) -> Any:
    """A list in a list in a list."""
    return json.loads("[" * depth + "]" * depth)


ODD: list[Any] = [
    None, True, False, "", "x", "1", [], {}, [1], {"a": 1}, json.loads("NaN"), json.loads("Infinity"), json.loads("-Infinity"),
    10**400, -(10**400), 1e300, "\ud800", "http://[", "http://x:99999", "http://\u2100.com", nested(300),
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=range(len(ODD)))
def test_odd_values_are_missing(value: Any) -> None:
    """No number, time or URL comes of them, and all can be shown."""
    for read in (reading.number, reading.amount, reading.whole, reading.moment):
        assert read(value) is None
    reading.shown(value).encode("utf-8", "replace")
    reading.text(value).encode()


@pytest.mark.parametrize(("value", "whole"), [(0, 0), (7, 7), (-7, -7), (2**63, 2**63), (0.5, None), (7.0, None)])
def test_numbers(value: float, whole: int | None) -> None:
    """Seeds have up to 64 bits and stay exact; nothing that is counted is negative."""
    assert reading.number(value) == value
    assert reading.whole(value) == whole
    assert reading.amount(value) == (value if value >= 0 else None)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2026-11-01T12:00:00Z", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("2026-11-01T14:00:00.123456789+02:00", datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)),
        ("2026-11-01T12:00:00", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("9999-12-31T23:59:59-23:59", None),
        ("9999-12-31T23:59:59Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        ("0001-01-01", None),
        ("yesterday", None),
    ],
)
def test_times(text: str, read: datetime | None) -> None:
    """In UTC; one that no service means, and that later sums would leave the calendar with, is none."""
    assert reading.moment(text) == read


def test_links_and_texts() -> None:
    """Where a URL leads is for others to judge; here it only has to be one, and to fit into a row."""
    for url in ("https://a.example/b?c=d", "http://127.0.0.1:80/x", "https://[::1]/"):
        assert reading.link(url) == url
    for url in ("http://[", "http://x:abc/", "http://\u2100.com/", "https://a/\ud800", 3, None):
        assert reading.link(url) == ""
    assert reading.text("grüße") == "grüße"


def test_what_is_too_deep_is_not_shown() -> None:
    """Python gives up at some depth."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert reading.shown(deep) == ""
