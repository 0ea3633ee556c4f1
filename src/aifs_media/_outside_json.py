"""JSON from outside: whatever it holds, it is read within bounds, or refused.

A few kilobytes of gzip hold millions of empty objects, which a reader makes hundreds of megabytes of, and nobody else is served
meanwhile. So what would be made is counted before. A long text in it, such as a file in base64, counts as one; how long an answer may
be is limited where it is received.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pydantic import JsonValue

MOST_VALUES = 250_000
"""The longest answer on record, a catalogue of models, has 8,986."""


def load_json(body: bytes | bytearray) -> JsonValue:
    """Return what a body holds.

    Raises:
        ValueError: it is not JSON, or too much of it; the message goes on behind "a body that ".
    """
    if sum(body.count(mark) for mark in (b"{", b"[", b",")) > MOST_VALUES:
        raise ValueError(f"has more than {MOST_VALUES} values in its JSON")
    try:
        return cast("JsonValue", json.loads(body))
    except (ValueError, RecursionError) as error:
        raise ValueError("is not JSON") from error
