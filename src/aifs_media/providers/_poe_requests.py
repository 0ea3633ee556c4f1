"""From a request to what Poe is sent. Pure.

A bot can be called in two ways. A chat completion works for every bot and takes all of its parameters, and is held open
until the media exist: if the connection breaks, the media are paid for and lost. A job of `/v1/videos` has an id and can be
asked for again, and takes only prompt, seconds, size and a start frame. So a bot that lists `/v1/videos` is called there
whenever everything that was asked for can be said there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aifs_media.errors import UnsupportedOptionError
from aifs_media.providers._poe_catalogue import CHAT_MEMBERS

if TYPE_CHECKING:
    from aifs_media.toolkit import Capability, JsonValue, MediaRequest

_SIZES = {
    ("16:9", "720p"): "1280x720",
    ("9:16", "720p"): "720x1280",
    ("16:9", "1080p"): "1920x1080",
    ("9:16", "1080p"): "1080x1920",
}
"""Aspect ratio and resolution in the words of the bots' own parameters -> `size`, whose own default is portrait."""


def chat_body(request: MediaRequest) -> dict[str, JsonValue]:
    """Return the body of a chat completion: the bot's parameters are members of the body itself.

    Raises:
        UnsupportedOptionError: a parameter has the name of a member of the chat completion.
    """
    parameters = {name: value for name, value in request.inputs.items() if name not in {"prompt", "image"}}
    for name in sorted(CHAT_MEMBERS & parameters.keys()):
        raise UnsupportedOptionError(
            f"Poe's chat completions have a member {name!r} of their own, so a bot's {name!r} cannot be sent.",
            option=name,
            model=f"{request.provider}:{request.model}",
            hint=f"Leave out options[{name!r}].",
            provider=request.provider,
        )
    prompt, image = request.inputs.get("prompt", request.prompt), request.inputs.get("image")
    content: JsonValue = prompt
    if image is not None:
        content = [{"type": "text", "text": prompt}, {"type": "image_url", "image_url": {"url": image}}]
    return {
        "model": request.model,
        "messages": [{"role": "user", "content": content}],
        # Poe's advice for media bots; a streamed answer was seen without any usable link.
        "stream": False,
        **parameters,
    }


def videos_body(request: MediaRequest, capability: Capability) -> dict[str, JsonValue] | None:
    """Return the body of a job of `/v1/videos`, or None where that cannot say all that is asked for."""
    rest = dict(request.inputs)
    body: dict[str, JsonValue] = {"model": request.model, "prompt": rest.pop("prompt", request.prompt)}
    names, schemas = capability.names, capability.inputs or {}

    def take(own: str | None) -> str:
        """Take a parameter out, or its published default."""
        return "" if own is None else str(rest.pop(own, schemas.get(own, {}).get("default", "")))

    if seconds := take(names.get("duration")).removesuffix("s"):
        if not seconds.isdecimal():
            return None
        body["seconds"] = int(seconds)
    size = take(names.get("size")).replace("*", "x")
    if not size:
        ratio, resolution = take(names.get("aspect_ratio")), take("resolution") or "720p"
        size = _SIZES.get((ratio, resolution), "")
        if ratio and not size:
            return None
    if size:
        body["size"] = size
    if (image := rest.pop("image", None)) is not None:
        head, separator, data = str(image).partition(";base64,")
        if not head.startswith("data:") or not separator:
            return None
        body["input_image"] = data
    return None if rest else body
