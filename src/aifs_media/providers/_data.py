"""The built-in data about models, apart from the code: models change within months."""

from __future__ import annotations

import functools
import json
from importlib.resources import files
from typing import TYPE_CHECKING, cast

from aifs_media.records import Capability

if TYPE_CHECKING:
    from pydantic import JsonValue


@functools.cache
def load_data(name: str) -> dict[str, JsonValue]:
    """Return the whole of a provider's data file."""
    text = files("aifs_media.providers").joinpath("data", f"{name}.json").read_text(encoding="utf-8")
    return cast("dict[str, JsonValue]", json.loads(text))


@functools.cache
def load_capabilities(name: str) -> tuple[Capability, ...]:
    """Return the capabilities of a provider's data file, its own choice of each kind first."""
    listed = cast("list[JsonValue]", load_data(name)["capabilities"])
    return tuple(Capability.model_validate_json(json.dumps(one)) for one in listed)
