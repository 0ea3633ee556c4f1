"""What the emulated OpenAI takes: its models, their parameters, and its refusals of what does not fit."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

from aifs_media.testing.emulator.multipart import multipart
from aifs_media.testing.emulator.openai_answers import invalid_value, refused, unknown_model, unknown_parameter

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from aifs_media.testing.emulator.routing import Call

# Model -> what sets it apart: any size, finer qualities, and how much to plan.
_FREE, _FINER, _PLANS = "free size", "xhigh and max", "complexity"
MODELS: dict[str, frozenset[str]] = {
    "gpt-image-2.6-sunburst": frozenset({_FREE, _FINER, _PLANS}),
    "gpt-image-2.6-flare": frozenset({_FREE, _FINER, _PLANS}),
    "gpt-image-2.5-sunburst": frozenset({_FREE, _FINER}),
    "gpt-image-2.5-sunburst-2026-09-08": frozenset({_FREE, _FINER}),
    "gpt-image-2.5-flare": frozenset({_FREE, _FINER}),
    "gpt-image-2.5-flare-2026-09-08": frozenset({_FREE, _FINER}),
    "gpt-image-2": frozenset({_FREE}),
    "gpt-image-2-2026-04-21": frozenset({_FREE}),
    "gpt-image-1.5": frozenset({"fidelity"}),
    "gpt-image-1-mini": frozenset({"fidelity"}),
    "chatgpt-image-latest": frozenset(),
}
# Other models that the account may use, and that make no images.
OTHER_MODELS = ("gpt-5.4", "gpt-5.4-mini", "whisper-1")

_MEMBERS = frozenset(
    {"prompt", "model", "n", "size", "quality", "background", "output_format", "output_compression", "moderation"}
    | {"stream", "partial_images", "safety_identifier", "user"}
)
_NOTHING: frozenset[str] = frozenset()
_EDIT_MEMBERS = frozenset({"images", "image", "image[]", "mask", "markup", "input_fidelity"})
_FIXED_SIZES = ("auto", "1024x1024", "1536x1024", "1024x1536")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_MOST_PROMPT = 32000
_MOST_IMAGES = 16
_LONGEST_DATA_URL = 20 * 1024 * 1024


def members_of(call: Call) -> dict[str, object]:
    """Return the members of a request: of its JSON, or of its form, in which all values are text."""
    kind = call.request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        parts = multipart(kind, call.body)
        return {
            name: part.data if part.file_name else _plain(part.data.decode("utf-8", "replace"))
            for name, part in parts.items()
        }
    return call.members() or {}


def refusal(members: Mapping[str, object], *, edit: bool) -> Response | None:
    """Return the answer to a request that does not fit, or None."""
    if not isinstance(members.get("prompt"), str) or not members["prompt"]:
        return refused(400, "Missing required parameter: 'prompt'.", param="prompt", code="missing_required_parameter")
    name = members.get("model")
    traits = MODELS.get(str(name))
    if traits is None:
        return unknown_model(str(name))
    allowed = _MEMBERS | (_EDIT_MEMBERS if edit else _NOTHING) | (frozenset({_PLANS}) & traits)
    for member in members:
        if member not in allowed:
            return unknown_parameter(member)
    if len(str(members["prompt"])) > _MOST_PROMPT:
        return invalid_value("prompt", f"The prompt is longer than {_MOST_PROMPT} characters.")
    return _values(members, traits) or (_images(members) if edit else None)


def size_of(members: Mapping[str, object]) -> tuple[int, int]:
    """Return width and height; "auto" is a square here."""
    found = _SIZE.fullmatch(str(members.get("size", "auto")))
    return (int(found[1]), int(found[2])) if found else (1024, 1024)


def _values(members: Mapping[str, object], traits: frozenset[str]) -> Response | None:
    number, form = members.get("n", 1), members.get("output_format", "png")
    if not isinstance(number, int) or not 1 <= number <= 10:
        return invalid_value("n", f"Invalid 'n': {number!r} is not from 1 to 10.")
    qualities = ["auto", "low", "medium", "high", *(["xhigh", "max"] if _FINER in traits else [])]
    choices: dict[str, list[str]] = {
        "quality": qualities,
        "background": ["auto", "transparent", "opaque"],
        "output_format": ["png", "jpeg", "webp"],
        "moderation": ["auto", "low"],
    }
    for name, values in choices.items():
        if members.get(name, values[0]) not in values:
            return invalid_value(name, f"Invalid value: '{members[name]}'. Supported values are: {values}.")
    if members.get("background") == "transparent" and form == "jpeg":
        return invalid_value("background", "Transparent background is not supported for JPEG output format.")
    if "output_compression" in members and form == "png":
        return invalid_value("output_compression", "Compression is only supported for JPEG and WebP.")
    return _size(str(members.get("size", "auto")), free=_FREE in traits)


def _size(size: str, *, free: bool) -> Response | None:
    if size in _FIXED_SIZES:
        return None
    found = _SIZE.fullmatch(size)
    if not free or found is None:
        return invalid_value("size", f"Invalid value: '{size}'. Supported values are: {list(_FIXED_SIZES)}.")
    sides = sorted((int(found[1]), int(found[2])))
    if sides[0] % 16 or sides[1] % 16:
        return invalid_value("size", f"Invalid size '{size}'. Width and height must both be divisible by 16.")
    if sides[1] > 3840 or sides[0] * sides[1] > 3840 * 2160 or sides[1] > 3 * sides[0]:
        return invalid_value("size", f"Invalid size '{size}'. It is beyond 3840x2160, or its ratio beyond 3:1.")
    return None


def _images(members: Mapping[str, object]) -> Response | None:
    if any(isinstance(members.get(name), bytes) for name in ("image", "image[]")):
        return None
    images = members.get("images")
    listed = cast("list[object]", images) if isinstance(images, list) else []
    if not 1 <= len(listed) <= _MOST_IMAGES:
        return invalid_value("images", f"Give 1 to {_MOST_IMAGES} images.")
    for image in listed:
        url = cast("dict[str, object]", image).get("image_url") if isinstance(image, dict) else None
        if not isinstance(url, str) or not url.startswith(("data:image/", "https://")):
            return invalid_value("images", "An image is an object with an 'image_url', https or data.")
        if len(url) > _LONGEST_DATA_URL:
            return invalid_value("images", f"'image_url' is longer than {_LONGEST_DATA_URL} characters.")
    return None


def _plain(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int) else text
