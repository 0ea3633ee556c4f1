"""Providers' handles of their jobs: any JSON. One that is an object is told apart by its `id`, which is all that a webhook names."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue


def same_job(one: JsonValue, other: JsonValue) -> bool:
    """Say whether two handles name one job at the provider."""
    return _identity(one) == _identity(other)


def ref_key(ref: JsonValue) -> str:
    """Return a key that is equal for handles that name one job.

    A hash: a handle may be longer than an index takes, and may hold a signed URL that is wiped from the row in the end.
    """
    text = json.dumps(_identity(ref), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def _identity(ref: JsonValue) -> JsonValue:
    return ref["id"] if isinstance(ref, dict) and isinstance(ref.get("id"), str) else ref
