"""From the schema that a model at Replicate publishes to a capability. Pure.

Every model names its inputs as its author likes. `OWN_NAMES` holds the names that were seen, in the schemas of 21 image and
video models of January 2025 and in the tables of nodetool-ai/nodetool of 2026, which were made from such schemas.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from aifs_media.errors import RequestRejectedError
from aifs_media.providers._reading import amount, whole
from aifs_media.toolkit import Capability, Frames, JsonValue

if TYPE_CHECKING:
    from aifs_media.records import Kind

    Schema = dict[str, JsonValue]

OWN_NAMES: dict[str, tuple[str, ...]] = {
    "prompt": ("prompt", "text_prompt"),
    "n": ("num_outputs", "num_images", "n"),
    "width": ("width",),
    "height": ("height",),
    "size": ("size", "resolution"),
    "aspect_ratio": ("aspect_ratio",),
    "seed": ("seed",),
    "duration": ("duration",),
    "fps": ("fps", "frames_per_second"),
    "image": (
        "image",
        "start_image",
        "first_frame_image",
        "input_image",
        "init_image",
        "start_image_url",
        "frame_image_url",
    ),
    "negative_prompt": ("negative_prompt",),
    "output_format": ("output_format",),
}
"""Common option -> the names that models have for it, the usual one first."""

FRAME_COUNTS = ("num_frames", "video_length")
VIDEO_TIMEOUT = 600.0
"""Seconds to wait for a video: recorded ones ran for 123 to 289 s, without the time to start the model."""

FIND_WINDOW = 3600.0
"""Seconds for which Replicate's list shows the inputs of a job."""

FIND_LAG = 15.0

_KEPT = ("type", "format", "enum", "minimum", "maximum", "multipleOf", "default", "items", "description")
UNORDERED = 1000
_PIXELS = re.compile(r"\d+[x*]\d+")


class PublishedModel(NamedTuple):
    """What Replicate tells about a model: under which name it can be run, and the schemas of its inputs and outputs."""

    runs_as: str
    schemas: Schema


def published_model(body: JsonValue, *, path: str) -> PublishedModel:
    """Read the answer of `GET /models/{owner}/{name}`, or of `.../versions/{version}` below it.

    Args:
        body: the answer's JSON.
        path: the model's `owner/name`. An official model runs under it, any other only with its version.
    """
    model = _object(body)
    version = _object(model.get("latest_version")) if "latest_version" in model else model
    schemas = _object(_object(_object(version.get("openapi_schema")).get("components")).get("schemas"))
    pinned = model.get("is_official") is not True and isinstance(version.get("id"), str)
    return PublishedModel(f"{path}:{version['id']}" if pinned else path, schemas)


def capability(published: PublishedModel, *, kind: Kind, model: str) -> Capability:
    """Return what a model takes.

    Args:
        published: what Replicate tells about it.
        kind: what is wanted of it.
        model: its name in the request.

    Raises:
        RequestRejectedError: the model does not publish what it takes.
    """
    properties = inputs(published.schemas)
    if not properties:
        raise RequestRejectedError(
            f"The model {model!r} at Replicate does not publish what it takes.",
            hint="Pass check_options=False to send the request all the same.",
            provider="replicate",
        )
    names = {
        option: own
        for option, candidates in OWN_NAMES.items()
        for own in [next((name for name in candidates if name in properties and _fits(option, properties[name])), None)]
        if own is not None
    }
    frames = _frames(properties, names) if kind == "video" and "duration" not in names else None
    most = whole(properties.get(names.get("n", ""), {}).get("maximum"))
    ratios = properties.get("aspect_ratio", {}).get("enum")
    custom = isinstance(ratios, list) and "custom" in ratios and "width" in names
    required = _object(published.schemas.get("Input")).get("required")
    return Capability(
        kind=kind,
        model=model,
        names=names,
        inputs=properties,
        required=tuple(str(name) for name in required) if isinstance(required, list) else (),
        custom_size={"aspect_ratio": "custom"} if custom else {},
        frames=frames,
        maximum_outputs=max(most or 1, 1),
        timeout=VIDEO_TIMEOUT if kind == "video" else None,
        find_window=FIND_WINDOW,
        find_lag=FIND_LAG,
    )


def inputs(schemas: Schema) -> dict[str, Schema]:
    """Return the inputs as flat JSON schema properties: what they refer to, such as lists of choices, is put in place."""
    properties = _object(_object(schemas.get("Input")).get("properties"))
    ordered = sorted(properties.items(), key=lambda item: _order(_object(item[1])))
    return {name: _flat(_object(schema), schemas) for name, schema in ordered}


def _flat(schema: Schema, schemas: Schema) -> Schema:
    merged: Schema = {}
    parts = schema.get("allOf")
    for part in (schema, *(parts if isinstance(parts, list) else [])):
        reference = _object(part).get("$ref")
        if isinstance(reference, str):
            merged |= _object(schemas.get(reference.rpartition("/")[2]))
    merged |= schema
    # "default": null stands for an input that may be left out.
    return {name: merged[name] for name in _KEPT if merged.get(name) is not None}


def _order(schema: Schema) -> int:
    order = whole(schema.get("x-order"))
    return UNORDERED if order is None else order


def _fits(option: str, schema: Schema) -> bool:
    """Say whether an input means the option: `resolution` is a size with some models, and "720p" with the others."""
    if option != "size":
        return True
    members = schema.get("enum")
    return isinstance(members, list) and any(_PIXELS.fullmatch(str(member)) for member in members)


def _frames(properties: dict[str, Schema], names: dict[str, str]) -> Frames | None:
    """Return how a model counts frames, if it says everything that makes seconds of them."""
    counted = next((name for name in FRAME_COUNTS if name in properties), None)
    rate = names.get("fps")
    if counted is None or rate is None:
        return None
    default, fps = whole(properties[counted].get("default")), amount(properties[rate].get("default"))
    maximum = whole(properties[counted].get("maximum", default))
    if default is None or maximum is None or fps is None:
        return None
    return Frames(name=counted, default=default, default_fps=fps, maximum=maximum, fps_name=rate)


def _object(value: JsonValue) -> Schema:
    return value if isinstance(value, dict) else {}
