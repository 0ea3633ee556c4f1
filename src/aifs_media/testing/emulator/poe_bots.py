"""The bots the emulated Poe knows, and what each makes of its parameters."""

from __future__ import annotations

import json
import math
import re
import secrets
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, cast

from aifs_media.testing.emulator.outputs import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

Family = Literal["video", "gpt-image", "imagen", "dall-e", "nano-banana", "image", "text"]

_SIZE = re.compile(r"(\d+)[x*](\d+)")
_ASPECT = re.compile(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)")
_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_SHORT_SIDES = {"360p": 360, "480p": 480, "540p": 540, "720p": 720, "1080p": 1080, "1440p": 1440, "2160p": 2160}
_LONGEST = 15.0
_MEGAPIXEL = 1024 * 1024
_MAX_SEED = 2**31 - 1
# Sizes that bots have of their own; the other image bots make a megapixel of the aspect asked for.
_OWN_SIZES = {"3:2": (1536, 1024), "2:3": (1024, 1536), "7:4": (1792, 1024), "4:7": (1024, 1792)}
_FAMILIES: tuple[Family, ...] = ("gpt-image", "imagen", "dall-e", "nano-banana")
# Bots whose catalogue entry says image though they answer text.
_TEXT_PREFIXES = ("gpt-5",)


@dataclass(frozen=True)
class Bot:
    """One bot. `entry` is its catalogue entry, empty for an unlisted one."""

    id: str
    family: Family
    entry: Mapping[str, object]

    @property
    def kind(self) -> str:
        """Return "image", "video" or "text"."""
        return self.family if self.family in {"video", "text"} else "image"

    @property
    def has_videos_endpoint(self) -> bool:
        """Return whether `/v1/videos` takes it."""
        return "/v1/videos" in cast("list[str]", self.entry.get("supported_endpoints", []))

    def pictures(self, prompt: str, given: Mapping[str, object]) -> list[Picture]:
        """Return what the bot makes; parameters it does not have, and values it cannot use, are ignored silently."""
        values = {**self._defaults(), **self._known(given)}
        seed_text = str(values.get("seed") or "")
        seed = int(seed_text) % _MAX_SEED if seed_text.isdigit() else secrets.randbelow(_MAX_SEED)
        width, height = self._size(values)
        if self.family == "video":
            seconds = min(_number(values.get("duration"), 8.0), _LONGEST)
            fps = _number(values.get("fps"), 24.0)
            return [Picture(prompt, width, height, seed, "mp4", round(seconds * fps), fps)]
        count = int(_number(values.get("num_images"), 1.0))
        return [Picture(prompt, width, height, seed + index, "png") for index in range(count)]

    def _known(self, given: Mapping[str, object]) -> dict[str, object]:
        if not self.entry:
            return dict(given)
        names = {str(parameter["name"]) for parameter in self._parameters()}
        return {name: value for name, value in given.items() if name in names}

    def _defaults(self) -> dict[str, object]:
        return {
            str(parameter["name"]): parameter["default_value"]
            for parameter in self._parameters()
            if parameter.get("default_value") is not None
        }

    def _parameters(self) -> list[dict[str, object]]:
        return cast("list[dict[str, object]]", self.entry.get("parameters", []))

    def _size(self, values: Mapping[str, object]) -> tuple[int, int]:
        for name in ("size", "dimension", "resolution"):
            if exact := _SIZE.fullmatch(str(values.get(name) or "")):
                return int(exact[1]), int(exact[2])
        aspect = str(values.get("aspect_ratio") or values.get("aspect") or "")
        ratio = _ASPECT.fullmatch(aspect)
        across, down = (
            (float(ratio[1]), float(ratio[2])) if ratio else (16.0, 9.0) if self.family == "video" else (1.0, 1.0)
        )
        if self.family == "video":
            unit = _SHORT_SIDES.get(str(values.get("resolution")), 720) / min(across, down)
            return round(across * unit / 2) * 2, round(down * unit / 2) * 2
        if self.family in {"gpt-image", "dall-e"} and aspect in _OWN_SIZES:
            return _OWN_SIZES[aspect]
        unit = math.sqrt(_MEGAPIXEL / (across * down))
        return round(across * unit / 32) * 32, round(down * unit / 32) * 32


@cache
def listed_bots() -> tuple[Bot, ...]:
    """Return the bots of the public catalogue."""
    text = files(__package__ or "").joinpath("data/poe_models.json").read_text(encoding="utf-8")
    entries = cast("list[dict[str, object]]", json.loads(text)["data"])
    return tuple(Bot(str(entry["id"]), _family(entry), entry) for entry in entries)


def find_bot(name: str, unlisted: frozenset[str]) -> Bot | None:
    """Return the bot of this name, listed or not; case does not matter."""
    for bot in listed_bots():
        if bot.id.lower() == name.lower():
            return bot
    hidden = next((one for one in unlisted if one.lower() == name.lower()), None)
    return None if hidden is None else Bot(hidden, "video", {})


def _family(entry: Mapping[str, object]) -> Family:
    identifier = str(entry["id"])
    architecture = cast("dict[str, list[str]]", entry["architecture"])
    if identifier.startswith(_TEXT_PREFIXES):
        return "text"
    if "video" in architecture["output_modalities"]:
        return "video"
    for family in _FAMILIES:
        if identifier.startswith(family):
            return family
    return "image"


def _number(value: object, default: float) -> float:
    found = _NUMBER.match(str(value)) if value is not None else None
    return float(found[0]) if found and float(found[0]) > 0 else default
