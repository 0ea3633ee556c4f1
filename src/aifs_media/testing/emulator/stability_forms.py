"""What the emulated Stability AI takes: the fields of its forms, read and checked as its reference says."""

from __future__ import annotations

import hashlib
import io
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aifs_media.testing.emulator.multipart import Part

CREDITS = {"core": 3.0, "ultra": 8.0, "sd3.5-large": 6.5, "sd3.5-large-turbo": 4.0, "sd3.5-medium": 3.5}
_REROUTED = {"sd3-large": "sd3.5-large", "sd3-large-turbo": "sd3.5-large-turbo", "sd3-medium": "sd3.5-medium"}
_RATIOS = ("1:1", "16:9", "9:16", "3:2", "2:3", "5:4", "4:5", "21:9", "9:21")
_STYLES = (
    "3d-model", "analog-film", "anime", "cinematic", "comic-book", "digital-art", "enhance", "fantasy-art", "isometric",
    "line-art", "low-poly", "modeling-compound", "neon-punk", "origami", "photographic", "pixel-art", "tile-texture",
)  # fmt: skip
_LARGEST_SEED = 4294967294
_LONGEST_PROMPT = 10_000
_SMALLEST_SIDE = 64
# Pixels of a picture; its sides are multiples of 64.
_PIXELS = {"core": 1536 * 1024}
_USUAL_PIXELS = 1024 * 1024
_STEP = 64


class RefusedError(Exception):
    """A form that is answered with 400, and why."""


@dataclass(frozen=True)
class Asked:
    """A form that was understood: what the picture shall be."""

    model: str
    prompt: str
    seed: int
    width: int
    height: int
    output_format: str
    start: Image.Image | None
    strength: float
    given: Mapping[str, object]


def read_form(service: str, parts: Mapping[str, Part]) -> Asked:
    """Read the form of one of the services `core`, `ultra` and `sd3`.

    Raises:
        RefusedError: Something is missing, or not as documented.
    """
    fields = {name: part.data.decode("utf-8", "replace") for name, part in parts.items() if name != "image"}
    prompt = fields.get("prompt", "")
    if not prompt:
        raise RefusedError("prompt: is required")
    if len(prompt) > _LONGEST_PROMPT:
        raise RefusedError("prompt: must be at most 10000 characters")
    model = _model(service, fields)
    start, strength = _start(service, parts, fields)
    seed = int(_number(fields, "seed", 0, _LARGEST_SEED, 0))
    _choice(fields, "style_preset", _STYLES, "")
    if service == "sd3":
        _number(fields, "cfg_scale", 1, 10, 4)
    width, height = _size(_choice(fields, "aspect_ratio", _RATIOS, "1:1"), _PIXELS.get(model, _USUAL_PIXELS))
    given: dict[str, object] = dict(fields)
    if start is not None:
        width, height = start.size
        given["image"] = hashlib.sha256(parts["image"].data).hexdigest()
    formats = ("png", "jpeg") if service == "sd3" else ("png", "jpeg", "webp")
    return Asked(
        model=model,
        prompt=prompt,
        seed=seed or secrets.randbelow(_LARGEST_SEED) + 1,
        width=width,
        height=height,
        output_format=_choice(fields, "output_format", formats, "png"),
        start=start,
        strength=strength,
        given=given,
    )


def _model(service: str, fields: Mapping[str, str]) -> str:
    if service != "sd3":
        return service
    name = fields.get("model", "sd3.5-large")
    return _REROUTED.get(name) or _choice(fields, "model", [known for known in CREDITS if "." in known], name)


def _start(service: str, parts: Mapping[str, Part], fields: Mapping[str, str]) -> tuple[Image.Image | None, float]:
    """Return the start image and its strength. `sd3` wants `mode` said, and takes no aspect ratio with an image."""
    part = parts.get("image")
    if service == "core" and part is not None:
        raise RefusedError("image: is not allowed")
    mode = _choice(fields, "mode", ("text-to-image", "image-to-image"), "text-to-image")
    if service == "sd3" and (mode == "image-to-image") != (part is not None):
        raise RefusedError("image: is required for, and only valid for, image-to-image requests")
    if part is None:
        return None, 1.0
    if "strength" not in fields:
        raise RefusedError("strength: is required when image is provided")
    if service == "sd3" and "aspect_ratio" in fields:
        raise RefusedError("aspect_ratio: is only valid for text-to-image requests")
    try:
        image = Image.open(io.BytesIO(part.data)).convert("RGB")
    except (UnidentifiedImageError, OSError):
        raise RefusedError("image: must be a jpeg, png or webp") from None
    if min(image.size) < _SMALLEST_SIDE:
        raise RefusedError("image: every side must be at least 64 pixels")
    return image, _number(fields, "strength", 0, 1, 1)


def _choice(fields: Mapping[str, str], name: str, allowed: Sequence[str], default: str) -> str:
    value = fields.get(name, default)
    if name in fields and value not in allowed:
        raise RefusedError(f"{name}: must be one of {', '.join(allowed)}")
    return value


def _number(fields: Mapping[str, str], name: str, low: float, high: float, default: float) -> float:
    try:
        value = float(fields.get(name, default))
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise RefusedError(f"{name}: must be between {low:g} and {high}")
    return value


def _size(ratio: str, pixels: int) -> tuple[int, int]:
    wide, high = (int(part) for part in ratio.split(":"))
    width = (pixels * wide / high) ** 0.5
    return _stepped(width), _stepped(pixels / width)


def _stepped(side: float) -> int:
    return max(round(side / _STEP), 1) * _STEP
