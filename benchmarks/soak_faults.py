"""What goes wrong in a soak: kinds of the emulator's faults that one job can meet and survive, or end by."""

from __future__ import annotations

from typing import Any

FAULTS: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("replicate.create", "drop_before", {}),
    ("replicate.create", "drop_after", {}),
    ("replicate.create", "status", {"status": 500}),
    ("replicate.create", "status", {"status": 502}),
    ("replicate.create", "status", {"status": 429, "headers": {"retry-after": "2"}}),
    ("replicate.create", "half_body", {}),
    ("replicate.create", "wrong_length", {}),
    ("replicate.create", "truncated", {}),
    ("replicate.create", "duplicate_key", {}),
    ("replicate.create", "encoded", {}),
    ("replicate.create", "wrong_content_type", {}),
    ("replicate.create", "unknown_status", {}),
    ("replicate.create", "slow", {"seconds": 20}),
    ("replicate.create", "failed", {}),
    ("replicate.create", "moderated", {}),
    ("replicate.create", "null_output", {}),
    ("replicate.get", "status", {"status": 500}),
    ("replicate.get", "drop_before", {}),
    ("replicate.get", "drop_after", {}),
    ("replicate.get", "half_body", {}),
    ("replicate.get", "not_found_grace", {}),
    ("replicate.get", "unknown_status", {}),
    ("delivery.get", "status", {"status": 503}),
    ("delivery.get", "drop_before", {}),
    ("delivery.get", "drop_after", {}),
    ("delivery.get", "half_body", {}),
    ("delivery.get", "wrong_length", {}),
    ("delivery.get", "truncated", {}),
    ("delivery.get", "encoded", {}),
    ("delivery.get", "wrong_content_type", {}),
)
LIST_FAULTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("lag", {"seconds": 5}),
    ("status", {"status": 500}),
    ("drop_after", {}),
)
