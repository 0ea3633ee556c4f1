"""From the inputs of a Replicate model to the files it makes."""

from __future__ import annotations

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
_FPS = 24.0
_MAX_SEED = 2**31 - 1


def pictures(model: ReplicateModel, values: Mapping[str, object]) -> list[Picture]:
    """Return what the model makes of these inputs, one item for each output file."""
    seed = model.value(values, "seed")
    first_seed = seed if isinstance(seed, int) else secrets.randbelow(_MAX_SEED)
    prompt = str(model.value(values, "prompt") or "")
    width, height = _size(model, values)
    if model.kind == "video":
        frames, fps = _length(model, values)
        count = _integer(model, values, "batch_size", 1)
        return [Picture(prompt, width, height, first_seed + index, "mp4", frames, fps) for index in range(count)]
    form = str(model.value(values, "output_format") or "png")
    count = _integer(model, values, "num_outputs", 1)
    return [Picture(prompt, width, height, first_seed + index, cast("Format", form)) for index in range(count)]


def _size(model: ReplicateModel, values: Mapping[str, object]) -> tuple[int, int]:
    aspect = str(model.value(values, "aspect_ratio") or "")
    if model.owner == "black-forest-labs" and aspect != "custom":
        width, height = _FLUX_SIZES[aspect]
        return (width // 2, height // 2) if model.value(values, "megapixels") == "0.25" else (width, height)
    if "width" in model.properties:
        return _integer(model, values, "width", 1024), _integer(model, values, "height", 1024)
    if model.kind == "image":
        return 1024, 1024
    if target := model.value(values, "target_size"):
        return _scaled(aspect or "3:2", long_side=int(str(target)))
    # Models that only know quality names: `mode` of Kling, `resolution` of the others.
    resolution = str(model.value(values, "resolution") or ("1080p" if model.value(values, "mode") == "pro" else "720p"))
    return _scaled(aspect or "16:9", short_side=_SHORT_SIDES.get(resolution, 720))


def _scaled(aspect: str, *, short_side: int = 0, long_side: int = 0) -> tuple[int, int]:
    across, down = (int(part) for part in aspect.split(":"))
    unit = short_side / min(across, down) if short_side else long_side / max(across, down)
    # H.264 in 4:2:0 needs even sizes.
    return round(across * unit / 2) * 2, round(down * unit / 2) * 2


def _length(model: ReplicateModel, values: Mapping[str, object]) -> tuple[int, float]:
    fps = float(str(model.value(values, "fps") or model.value(values, "frames_per_second") or _FPS))
    for name in ("num_frames", "video_length", "length"):
        if frames := model.value(values, name):
            return max(1, int(str(frames))), fps
    duration = float(str(model.value(values, "duration") or 6))
    return round(duration * fps), fps


def _integer(model: ReplicateModel, values: Mapping[str, object], name: str, default: int) -> int:
    value = model.value(values, name)
    return int(value) if isinstance(value, (int, float)) else default
