"""The models the emulated fal knows, its check of their inputs, and what they make of them."""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

from aifs_media.testing.emulator.outputs import Format, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

_PRESETS = {
    "square_hd": (1024, 1024),
    "square": (512, 512),
    "portrait_4_3": (768, 1024),
    "portrait_16_9": (576, 1024),
    "landscape_4_3": (1024, 768),
    "landscape_16_9": (1024, 576),
}
_SHORT_SIDES = {
    "480p": 480, "720p": 720, "768p": 768, "1080p": 1080, "2k": 1440, "4k": 2160,
    "0.5K": 512, "1K": 1024, "2K": 1440, "4K": 2160, "480P": 480, "768P": 768,
}  # fmt: skip
_FPS = 24.0
_USUAL_SECONDS = 5.0
_MOST_IMAGES = 4
_MEGAPIXEL = 1024 * 1024
_MAX_SEED = 2**63 - 1
"""fal's seeds may be larger than 2**53."""


@dataclass(frozen=True)
class FalModel:
    """One model: how it is charged, what it must have, and the JSON type of its duration where it makes videos."""

    name: str
    kind: Literal["image", "video"]
    usd: Mapping[str, float]
    per: Literal["image", "megapixel", "video_second"]
    required: tuple[str, ...] = ("prompt",)
    resolution: str = ""
    duration: type = str
    has_safety_checker: bool = False

    @property
    def app(self) -> str:
        """Return `owner/app`, under which its jobs are asked for; two namespaces put one segment in front."""
        parts = self.name.split("/")
        return "/".join(parts[: 3 if parts[0] in {"workflows", "comfy"} else 2])

    def complaints(self, values: Mapping[str, object]) -> list[tuple[str, str, str]]:
        """Return what is wrong with the inputs. Unknown ones are dropped without a word."""
        found = [(name, "field required", "missing") for name in self.required if name not in values]
        count = values.get("num_images", 1)
        if not isinstance(count, int) or not 1 <= count <= _MOST_IMAGES:
            found.append(
                ("num_images", f"ensure this value is less than or equal to {_MOST_IMAGES}", "less_than_equal")
            )
        if self.kind == "video" and not isinstance(values.get("duration", self.duration()), self.duration):
            found.append(
                ("duration", f"Input should be a valid {self.duration.__name__}", f"{self.duration.__name__}_type")
            )
        resolution = values.get("resolution", self.resolution)
        if self.resolution and resolution not in self.usd:
            found.append(("resolution", f"unexpected value; permitted: {', '.join(self.usd)}", "literal_error"))
        return found

    def pictures(self, values: Mapping[str, object]) -> list[Picture]:
        """Return what it makes, one item for each output file. All images of a job share its seed."""
        seed = values.get("seed")
        seed = seed if isinstance(seed, int) else secrets.randbelow(_MAX_SEED)
        width, height = self._size(values)
        prompt = str(values.get("prompt", ""))
        if self.kind == "video":
            seconds = float(str(values.get("duration") or _USUAL_SECONDS))
            return [Picture(prompt, width, height, seed % 2**31, "mp4", max(1, round(seconds * _FPS)), _FPS)]
        wanted = str(values.get("output_format") or "jpeg")
        form = cast("Format", {"jpeg": "jpg"}.get(wanted, wanted))
        count = int(str(values.get("num_images", 1)))
        return [Picture(prompt, width, height, (seed + index) % 2**31, form) for index in range(count)]

    def charge(self, values: Mapping[str, object], pictures: list[Picture]) -> float:
        """Return the price of a job that ended well, in USD."""
        usd = self.usd[str(values.get("resolution", self.resolution))]
        match self.per:
            case "image":
                return usd * len(pictures)
            case "megapixel":
                return usd * sum(math.ceil(one.width * one.height / _MEGAPIXEL) for one in pictures)
            case "video_second":
                return usd * sum(one.frames / one.fps for one in pictures)

    def _size(self, values: Mapping[str, object]) -> tuple[int, int]:
        size = values.get("image_size")
        if isinstance(size, dict):
            members = cast("dict[str, object]", size)
            return int(str(members["width"])), int(str(members["height"]))
        ratio = str(values.get("aspect_ratio") or "")
        if not self.resolution and not ratio:
            return _PRESETS.get(str(size), _PRESETS["landscape_4_3"])
        short = _SHORT_SIDES.get(str(values.get("resolution", self.resolution)), 1024)
        across, down = (int(part) for part in (ratio if ":" in ratio else "16:9").split(":"))
        unit = short / min(across, down)
        return round(across * unit / 2) * 2, round(down * unit / 2) * 2


_SEEDANCE = {"480p": 0.1346, "720p": 0.3034, "1080p": 0.682, "4k": 1.5552}
_H3 = {"480P": 0.05, "768P": 0.06, "2K": 0.13, "4K": 0.16}
_BANANA = {"0.5K": 0.06, "1K": 0.08, "2K": 0.12, "4K": 0.16}
_FRAME = ("prompt", "image_url")
# Names, prices and types of durations as litellm 1.109.1 has them.
_MODELS = {
    model.name: model
    for model in (
        FalModel("fal-ai/flux/schnell", "image", {"": 0.003}, "image", has_safety_checker=True),
        FalModel("fal-ai/flux/dev", "image", {"": 0.025}, "megapixel", has_safety_checker=True),
        FalModel("fal-ai/flux-pro/v1.1", "image", {"": 0.04}, "image", has_safety_checker=True),
        FalModel("fal-ai/flux-pro/v1.1-ultra", "image", {"": 0.06}, "image", has_safety_checker=True),
        FalModel("fal-ai/nano-banana-2", "image", _BANANA, "image", resolution="1K"),
        FalModel("bytedance/seedance-2.0/text-to-video", "video", _SEEDANCE, "video_second", resolution="720p"),
        FalModel("bytedance/seedance-2.0/image-to-video", "video", _SEEDANCE, "video_second", _FRAME, "720p"),
        FalModel("minimax/h3/text-to-video", "video", _H3, "video_second", resolution="2K", duration=int),
        FalModel(
            "minimax/h3/reference-to-video", "video", _H3, "video_second", ("prompt", "reference_image_urls"), "2K", int
        ),
        # An app in a namespace, which nobody lists anywhere.
        FalModel("workflows/emulated/postcard", "image", {"": 0.01}, "image"),
    )
}


def by_name(name: str) -> FalModel | None:
    """Return the model of this whole name."""
    return _MODELS.get(name)
