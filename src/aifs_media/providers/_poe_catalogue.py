"""From the entries of Poe's catalogue to capabilities. Pure.

Every bot publishes its own parameters, and names one thing in several ways: `aspect` (67 bots of the catalogue of
2026-03-27), `aspect_ratio` (25); `duration` as "8", "8s" or a number. Enum members stay as they are published.
"""

from __future__ import annotations

import difflib
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from aifs_media.providers._reading import amount
from aifs_media.toolkit import Capability, JsonValue, Price

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Literal

    from aifs_media.records import Kind

OWN_NAMES: dict[str, tuple[str, ...]] = {
    "n": ("num_images", "number_of_images"),
    "width": ("width", "custom_width"),
    "height": ("height", "custom_height"),
    "size": ("size", "dimension", "resolution"),
    "aspect_ratio": ("aspect_ratio", "aspect"),
    "seed": ("seed",),
    "duration": ("duration",),
    "fps": ("fps",),
    "negative_prompt": ("negative_prompt", "no"),
}
"""Common option -> the names that Poe's bots have for it, the usual one first."""

CHAT_MEMBERS = frozenset({"model", "messages", "stream"})
"""Members of a chat completion that a bot's parameter of the same name cannot be sent beside."""

TIMEOUTS: dict[str, float] = {"image": 300.0, "video": 600.0}
"""Seconds that Poe's own tests wait for a bot. A held call that is given up loses media that are paid for."""

PRICE_SOURCE = "Poe's catalogue, pricing.request: USD per call by its size, a unit that Poe does not state"
VIDEOS_ENDPOINT = "/v1/videos"

_PIXELS = re.compile(r"\d+[x*]\d+")


def capability(entry: dict[str, JsonValue], *, kind: Kind, as_of: str) -> Capability:
    """Return what a listed bot takes.

    Args:
        entry: the bot's entry in `GET /v1/models`.
        kind: what is wanted of it.
        as_of: the date of the catalogue, for the price.
    """
    inputs = _inputs(entry)
    names = {"prompt": "prompt", **_names(inputs)}
    if _takes_image(entry):
        names["image"] = "image"
    most = amount(inputs.get(names.get("n", ""), {}).get("maximum"))
    return Capability(
        kind=kind,
        model=bot_name(entry),
        names=names,
        inputs=inputs,
        # Without it these bots may answer a text in place of the image.
        defaults={"image_only": True} if kind == "image" and "image_only" in inputs else {},
        custom_size={"use_custom_size": True} if "use_custom_size" in inputs and "width" in names else {},
        maximum_outputs=max(int(most or 1), 1),
        price=_price(entry, kind=kind, as_of=as_of),
        timeout=TIMEOUTS[kind],
    )


def bot_name(entry: dict[str, JsonValue]) -> str:
    """Return the name by which a bot is called."""
    name = entry.get("id")
    return name if isinstance(name, str) else ""


def makes(entry: dict[str, JsonValue], kind: Kind | Literal["text"]) -> bool:
    """Say whether the catalogue lists that kind among what a bot puts out."""
    return kind in _modalities(entry, "output_modalities")


def has_videos_endpoint(entry: dict[str, JsonValue]) -> bool:
    """Say whether a bot can be called through `/v1/videos`."""
    endpoints = entry.get("supported_endpoints")
    return isinstance(endpoints, list) and VIDEOS_ENDPOINT in endpoints


def closest(name: str, names: Iterable[str], *, at_most: int = 3) -> list[str]:
    """Return the names most like `name`, best first."""
    own = {listed.lower(): listed for listed in names}
    return [own[found] for found in difflib.get_close_matches(name.lower(), own, n=at_most, cutoff=0.5)]


def _inputs(entry: dict[str, JsonValue]) -> dict[str, dict[str, JsonValue]]:
    parameters = entry.get("parameters")
    inputs: dict[str, dict[str, JsonValue]] = {}
    for parameter in parameters if isinstance(parameters, list) else []:
        if not isinstance(parameter, dict):
            continue
        name, schema = parameter.get("name"), parameter.get("schema")
        if not isinstance(name, str) or name in CHAT_MEMBERS:
            continue
        inputs[name] = dict(schema) if isinstance(schema, dict) else {}
        if parameter.get("default_value") is not None:
            inputs[name]["default"] = parameter["default_value"]
        if isinstance(parameter.get("description"), str):
            inputs[name]["description"] = parameter["description"]
    return inputs


def _names(inputs: dict[str, dict[str, JsonValue]]) -> dict[str, str]:
    return {
        option: own
        for option, candidates in OWN_NAMES.items()
        for own in [next((name for name in candidates if name in inputs and _fits(option, inputs[name])), None)]
        if own is not None
    }


def _fits(option: str, schema: dict[str, JsonValue]) -> bool:
    """Say whether a parameter means the option: `resolution` is a size with some bots, and "720p" with the others."""
    members = schema.get("enum")
    if option != "size":
        return True
    return isinstance(members, list) and all(_PIXELS.fullmatch(str(member)) for member in members)


def _takes_image(entry: dict[str, JsonValue]) -> bool:
    # The modalities leave the image out for some bots of /v1/videos, whose create takes one.
    return "image" in _modalities(entry, "input_modalities") or has_videos_endpoint(entry)


def _modalities(entry: dict[str, JsonValue], member: str) -> Sequence[JsonValue]:
    architecture = entry.get("architecture")
    listed = architecture.get(member) if isinstance(architecture, dict) else None
    return listed if isinstance(listed, list) else []


def _price(entry: dict[str, JsonValue], *, kind: Kind, as_of: str) -> Price | None:
    pricing = entry.get("pricing")
    stated = pricing.get("request") if isinstance(pricing, dict) else None
    if not isinstance(stated, str):
        return None
    try:
        price = Decimal(stated)
    except InvalidOperation:
        return None
    return Price(amount=price, per=kind, source=PRICE_SOURCE, as_of=as_of) if price.is_finite() else None


def entries(body: JsonValue) -> list[dict[str, JsonValue]]:
    """Return the entries of a catalogue; those without a name are left out."""
    data = body.get("data") if isinstance(body, dict) else None
    listed = data if isinstance(data, list) else []
    return [entry for entry in listed if isinstance(entry, dict) and bot_name(entry)]
