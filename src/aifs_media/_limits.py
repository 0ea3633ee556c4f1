"""Limits of a model that no schema of one input can say: what sizes may be, and which inputs go together. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aifs_media.records import Size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

    from aifs_media.records import Capability, SizeLimits


class Broken(NamedTuple):
    """A limit that a request breaks: by which input, what the limit is, and what to do."""

    name: str
    reason: str
    hint: str


def most_outputs(capability: Capability, size: Size | None) -> int:
    """Return how many outputs of this size one create can make."""
    limits = capability.size_limits
    if size is None or limits is None or limits.pixels_together is None:
        return capability.maximum_outputs
    return max(1, min(capability.maximum_outputs, limits.pixels_together // (size.width * size.height)))


def parsed_size(value: JsonValue) -> Size | None:
    """Return a size in any of its spellings; None for what is none, for example "auto"."""
    try:
        return Size.model_validate(value) if isinstance(value, dict) else Size.parse(str(value))
    except ValueError:
        return None


def broken_size(capability: Capability, values: Mapping[str, JsonValue]) -> Broken | None:
    """Return the limit of sizes that the model's own inputs break, or None. A word such as "auto" must be the default."""
    name, limits = capability.names.get("size", ""), capability.size_limits
    value = values.get(name)
    if limits is None or value is None:
        return None
    size = parsed_size(value)
    if size is not None:
        reason = _too_large_or_odd(limits, size)
        return Broken("size", f"takes no size {size}: {reason}", "") if reason else None
    default = (capability.inputs or {}).get(name, {}).get("default")
    return None if value == default else Broken("size", f"takes no size {value!r}", "Write WIDTHxHEIGHT in pixels.")


def broken_count(capability: Capability, values: Mapping[str, JsonValue]) -> Broken | None:
    """Return the limit of outputs of one size in one create, or None where it is kept."""
    number = values.get(capability.names.get("n", ""))
    size = parsed_size(values.get(capability.names.get("size", "")))
    most = most_outputs(capability, size)
    if size is None or not isinstance(number, int) or number <= most:
        return None
    return Broken("n", f"makes at most {most} output(s) of {size} in one job, not {number}", "Ask for fewer at a time.")


def broken_need(capability: Capability, values: Mapping[str, JsonValue]) -> Broken | None:
    """Return the first pair of inputs that do not go together, or None."""
    for need in capability.needs:
        value = values.get(need.name)
        if value is None or (need.value is not None and value != need.value):
            continue
        other = values.get(need.other, (capability.inputs or {}).get(need.other, {}).get("default"))
        if other not in need.values:
            allowed = " or ".join(map(str, need.values))
            return Broken(
                need.name,
                f"takes {need.name}={value!r} only with {need.other} {allowed}, not {other!r}",
                f"Change {need.other}, or leave out {need.name!r}.",
            )
    return None


def _too_large_or_odd(limits: SizeLimits, size: Size) -> str:
    longest, shortest = max(size.width, size.height), min(size.width, size.height)
    if size.width % limits.multiple or size.height % limits.multiple:
        return f"width and height must be multiples of {limits.multiple}"
    if limits.maximum_side is not None and longest > limits.maximum_side:
        return f"no side may be longer than {limits.maximum_side} pixels"
    if limits.maximum_ratio is not None and longest > shortest * limits.maximum_ratio:
        return f"a side may be at most {limits.maximum_ratio:g} times as long as the other"
    if limits.maximum_pixels is not None and size.width * size.height > limits.maximum_pixels:
        return f"it may have at most {limits.maximum_pixels:,} pixels"
    return ""
