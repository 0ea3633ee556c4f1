"""From the inputs of a Replicate model to the files it makes."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, cast

from aifs_media.testing.emulator.outputs import Format, Picture

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.testing.emulator.replicate_models import ReplicateModel

# Pixels of the Flux models by aspect ratio.
_FLUX_SIZES = {
    "1:1": (1024, 1024),
    "16:9": (1344, 768),
    "21:9": (1536, 640),
    "3:2": (1216, 832),
    "2:3": (832, 1216),
    "4:5": (896, 1088),
    "5:4": (1088, 896),
    "3:4": (896, 1152),
    "4:3": (1152, 896),
    "9:16": (768, 1344),
    "9:21": (640, 1536),
}
_SHORT_SIDES = {"360p": 360, "480p": 480, "512p": 512, "540p": 540, "720p": 720, "768p": 768, "1080p": 1080}
_EXACT = re.compile(r"(\d+)[x*](\d+)")
# Sides of images come in steps of so many pixels.
_STEP = 32
# What Wan calls 480p.
_WAN_480P = (832, 480)
_MEGAPIXELS = {
    "0.25": 0.25,
    "0.5": 0.5,
    "0.5 MP": 0.5,
    "2": 2.0,
    "2 MP": 2.0,
    "4": 4.0,
    "4 MP": 4.0,
    "2K": 4.0,
    "4K": 16.0,
}
_FPS = 24.0
_INTERPOLATED_FPS = 30.0
_MAX_SEED = 2**31 - 1


def pictures(model: ReplicateModel, values: Mapping[str, object], *, fps: float = _FPS) -> list[Picture]:
    """Return what the model makes of these inputs, one item for each output file.

    Args:
        model: The model.
        values: Its inputs, already checked.
        fps: Frames per second where the model takes no rate.
    """
    seed = model.value(values, "seed")
    first_seed = seed if isinstance(seed, int) else secrets.randbelow(_MAX_SEED)
    prompt = str(model.value(values, "prompt") or "")
    width, height = _size(model, values)
    if model.kind == "video":
        frames, rate = _length(model, values, fps)
        count = _integer(model, values, "batch_size", 1)
        return [Picture(prompt, width, height, first_seed + index, "mp4", frames, rate) for index in range(count)]
    form = str(model.value(values, "output_format") or "png")
    count = _integer(model, values, "num_outputs", 1)
    return [Picture(prompt, width, height, first_seed + index, cast("Format", form)) for index in range(count)]


def _size(model: ReplicateModel, values: Mapping[str, object]) -> tuple[int, int]:
    aspect = str(model.value(values, "aspect_ratio") or "")
    resolution = str(model.value(values, "resolution") or model.value(values, "quality") or "")
    for text in (str(model.value(values, "size") or ""), resolution):
        if exact := _EXACT.fullmatch(text):
            return int(exact[1]), int(exact[2])
    if model.owner == "black-forest-labs" and aspect in _FLUX_SIZES and not model.name.startswith("flux-2"):
        width, height = _FLUX_SIZES[aspect]
        return (width // 2, height // 2) if model.value(values, "megapixels") == "0.25" else (width, height)
    if "width" in model.properties and aspect in {"", "custom"}:
        return _integer(model, values, "width", 1024), _integer(model, values, "height", 1024)
    if model.kind == "image":
        return _of_megapixels(model, values, aspect)
    if target := model.value(values, "target_size"):
        return _scaled(aspect or "3:2", long_side=int(str(target)))
    if model.owner == "wan-video" and resolution == "480p":
        return _WAN_480P if aspect in {"", "16:9"} else (_WAN_480P[1], _WAN_480P[0])
    # Models that only know quality names: `mode` of Kling, `resolution` or `quality` of the others.
    resolution = resolution or ("1080p" if model.value(values, "mode") == "pro" else "720p")
    return _scaled(aspect or "16:9", short_side=_SHORT_SIDES.get(resolution, 720))


def _of_megapixels(model: ReplicateModel, values: Mapping[str, object], aspect: str) -> tuple[int, int]:
    """Return about as many pixels as were asked for, one megapixel by default, in the ratio asked for, else square."""
    names = ("resolution", "output_megapixels", "image_size")
    asked = next((str(value) for name in names if (value := model.value(values, name))), "")
    pixels = _MEGAPIXELS.get(asked, 1.0) * 1024 * 1024
    across, _, down = (aspect if ":" in aspect else "1:1").partition(":")
    ratio = int(across) / int(down)
    return _in_steps((pixels * ratio) ** 0.5), _in_steps((pixels / ratio) ** 0.5)


def _in_steps(side: float) -> int:
    return max(1, round(side / _STEP)) * _STEP


def _scaled(aspect: str, *, short_side: int = 0, long_side: int = 0) -> tuple[int, int]:
    across, down = (int(part) for part in aspect.split(":"))
    unit = short_side / min(across, down) if short_side else long_side / max(across, down)
    # H.264 in 4:2:0 needs even sizes.
    return round(across * unit / 2) * 2, round(down * unit / 2) * 2


def _length(model: ReplicateModel, values: Mapping[str, object], fps: float) -> tuple[int, float]:
    rate = float(str(model.value(values, "fps") or model.value(values, "frames_per_second") or fps))
    for name in ("num_frames", "video_length", "length"):
        if frames := model.value(values, name):
            number = max(1, int(str(frames)))
            if model.value(values, "interpolate_output"):
                return round(number / rate * _INTERPOLATED_FPS), _INTERPOLATED_FPS
            return number, rate
    duration = float(str(model.value(values, "duration") or 6))
    return round(duration * rate), rate


def _integer(model: ReplicateModel, values: Mapping[str, object], name: str, default: int) -> int:
    value = model.value(values, name)
    return int(value) if isinstance(value, (int, float)) else default
