"""The models of the emulated Runway: what each call takes, and what it costs.

Written from the types of runwayml 5.24.0. Prices are the published credits where there are some, else the emulator's own.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from aifs_media.testing.emulator.outputs import Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

Call = Literal["text_to_video", "image_to_video", "text_to_image"]
Issue = dict[str, object]

FPS = 24.0
_USUAL_SECONDS = 5
_LONGEST_PROMPT = 1000
_MOST_REFERENCES = 16
_DATA_URI_LIMIT = 5 * 1024 * 1024
_URL_LIMIT = 2048

_WIDE = ("1280:720", "720:1280")
_FILM = (*_WIDE, "1104:832", "832:1104", "960:960", "1584:672")
_VEO = (*_WIDE, "1080:1920", "1920:1080")
_PICTURE = (
    *("1024:1024", "1080:1080", "1168:880", "1360:768", "1440:1080", "1080:1440", "1808:768", "1920:1080"),
    *("1080:1920", "2112:912", "1280:720", "720:1280", "720:720", "960:720", "720:960", "1680:720"),
)
_GPT = ("1920:1920", "1920:1088", "1088:1920", "2560:1440", "1440:2560", "auto")
_AUTO = (1024, 1024)


@dataclass(frozen=True)
class RunwayModel:
    """One model at one call. `credits` are per second of a video, or per image; `seconds` are the durations it takes."""

    name: str
    call: Call
    ratios: tuple[str, ...]
    credits: float
    seconds: tuple[int, ...] = ()
    needs: tuple[str, ...] = ("promptText", "ratio")

    @property
    def kind(self) -> str:
        """Return what it makes."""
        return "image" if self.call == "text_to_image" else "video"

    def issues(self, body: Mapping[str, object]) -> list[Issue]:
        """Return what is wrong with a request; nothing if it is fine."""
        found = [_issue(name, "Required", "invalid_type") for name in self.needs if name not in body]
        prompt, ratio, seconds = body.get("promptText", "x"), body.get("ratio", self.ratios[0]), body.get("duration")
        if not isinstance(prompt, str) or not 0 < len(prompt.encode("utf-16-le")) // 2 <= self._longest_prompt:
            found.append(_issue("promptText", f"Must be 1 to {self._longest_prompt} UTF-16 code units", "custom"))
        if ratio not in self.ratios:
            found.append(_issue("ratio", "Invalid enum value", "invalid_enum_value"))
        if seconds is not None and self.seconds and seconds not in self.seconds:
            found.append(_issue("duration", "Invalid duration", "custom"))
        for path, value in images(body):
            complaint = _complaint(value)
            if complaint:
                found.append(_issue(path, complaint, "custom"))
        return found

    @property
    def _longest_prompt(self) -> int:
        return 32_000 if self.name.startswith("gpt_image") else _LONGEST_PROMPT

    def price(self, body: Mapping[str, object]) -> int:
        """Return the credits for a request that is fine."""
        if self.kind == "video":
            silent = self.name.startswith("veo") and body.get("audio") is False
            return round(self.credits * (0.5 if silent else 1.0) * _seconds(body))
        size = str(body.get("ratio"))
        large = self.name == "gen4_image" and "1080" in size
        return round((8 if large else self.credits) * _count(body))

    def pictures(self, body: Mapping[str, object]) -> list[Picture]:
        """Return what a request asks for."""
        ratio = str(body.get("ratio"))
        width, height = _AUTO if ratio == "auto" else (int(side) for side in ratio.split(":"))
        prompt, seed = str(body.get("promptText", "")), body.get("seed")
        seeds = [seed if isinstance(seed, int) else secrets.randbelow(2**32) for _ in range(_count(body))]
        if self.kind == "image":
            return [Picture(prompt, width, height, one, "png") for one in seeds]
        return [Picture(prompt, width, height, seeds[0], "mp4", round(_seconds(body) * FPS), FPS)]


def find_model(call: Call, name: object) -> RunwayModel | None:
    """Return the model that is called so at this call."""
    return next((model for model in MODELS if (model.call, model.name) == (call, name)), None)


def _seconds(body: Mapping[str, object]) -> int:
    seconds = body.get("duration")
    return seconds if isinstance(seconds, int) else _USUAL_SECONDS


def _count(body: Mapping[str, object]) -> int:
    count = body.get("outputCount")
    return count if isinstance(count, int) else 1


def images(body: Mapping[str, object]) -> list[tuple[str, object]]:
    """Return the images that a request names, each with the member that names it."""
    start = body.get("promptImage")
    found: list[tuple[str, object]] = [("promptImage", start)] if isinstance(start, str) else []
    for name in ("promptImage", "referenceImages"):
        members = body.get(name)
        if isinstance(members, list):
            for one in cast("list[object]", members)[:_MOST_REFERENCES]:
                uri = cast("dict[str, object]", one).get("uri") if isinstance(one, dict) else None
                found.append((name, uri))
    return found


def _complaint(uri: object) -> str:
    if not isinstance(uri, str):
        return "Invalid input"
    if uri.startswith("data:image/"):
        return "" if len(uri) < _DATA_URI_LIMIT else "The data URI is too large."
    if uri.startswith("runway://"):
        return ""
    if not uri.startswith("https://"):
        return "Only HTTPS URLs are allowed."
    return "" if len(uri) <= _URL_LIMIT else "The URL is too long."


def _issue(path: str, message: str, code: str) -> Issue:
    return {"code": code, "path": [path], "message": message}


_START = ("promptImage", "ratio")
MODELS: tuple[RunwayModel, ...] = (
    RunwayModel("gen4.5", "text_to_video", _WIDE, 12, tuple(range(2, 11)), ("promptText", "ratio", "duration")),
    RunwayModel("gen4.5", "image_to_video", _FILM, 12, tuple(range(2, 11)), ("promptText", *_START, "duration")),
    RunwayModel("gen4_turbo", "image_to_video", _FILM, 5, (), _START),
    RunwayModel("veo3.1", "text_to_video", _VEO, 40, (4, 6, 8)),
    RunwayModel("veo3.1", "image_to_video", _VEO, 40, (4, 6, 8), _START),
    RunwayModel("veo3.1_fast", "text_to_video", _VEO, 15, (4, 6, 8)),
    RunwayModel("veo3.1_fast", "image_to_video", _VEO, 15, (4, 6, 8), _START),
    RunwayModel("gen4_image", "text_to_image", _PICTURE, 5),
    RunwayModel("gen4_image_turbo", "text_to_image", _PICTURE, 2, needs=("promptText", "ratio", "referenceImages")),
    RunwayModel("gpt_image_2", "text_to_image", _GPT, 20),
    # Known to the official client and not to the adapters' data: a model that is newer than they are.
    RunwayModel("seedream5_lite", "text_to_image", ("2048:2048", "1024:1024"), 4),
)
