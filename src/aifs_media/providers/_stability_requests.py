"""From a request to what Stability AI is sent. Pure."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING

from aifs_media._forms import Form, FormFile, multipart_form
from aifs_media.errors import RequestRejectedError, UnsupportedOptionError

if TYPE_CHECKING:
    from aifs_media.toolkit import JsonValue, MediaRequest

SERVICES = frozenset({"core", "ultra"})
"""Models with an endpoint of their own; any other name goes to `sd3` as its `model`."""


def service(model: str) -> str:
    """Return the last part of the address that makes a model's pictures."""
    return model.lower() if model.lower() in SERVICES else "sd3"


def generate_form(request: MediaRequest) -> Form:
    """Return the body of a create. Always multipart, also without a file.

    Raises:
        UnsupportedOptionError: a start image without `strength`, `strength` without one, or one with an aspect ratio: refused
            here, since a picture of another shape would be paid for.
    """
    inputs = {name: value for name, value in request.inputs.items() if value is not None}
    image = inputs.pop("image", None)
    if image is not None and "strength" not in inputs:
        words = "needs 'strength' with a start image: 0 gives the image back, 1 is as if there were none"
        raise _refused(request, "strength", words, "Give options={'strength': 0.6}, for example.")
    if image is None and "strength" in inputs:
        raise _refused(request, "strength", "takes 'strength' only with a start image", "Give image=, or leave it out.")
    if image is not None and "aspect_ratio" in inputs:
        option = "size" if request.size is not None else "aspect_ratio"
        raise _refused(request, option, f"takes no {option} with a start image", "The result has the image's shape.")
    if service(request.model) == "sd3":
        inputs = {
            "model": request.model.lower(),
            "mode": "text-to-image" if image is None else "image-to-image",
            **inputs,
        }
    fields = {name: value if isinstance(value, str) else json.dumps(value) for name, value in inputs.items()}
    return multipart_form(fields, [] if image is None else [_image_file(image)])


def _image_file(value: JsonValue) -> FormFile:
    head, separator, data = str(value).partition(";base64,")
    try:
        content = base64.b64decode(data, validate=True) if separator and head.startswith("data:") else b""
    except binascii.Error:
        content = b""
    if not content:
        raise RequestRejectedError("Stability AI takes a start image as a file.", hint="Give image=, as bytes or path.")
    media_type = head.removeprefix("data:")
    return FormFile("image", f"image.{media_type.rpartition('/')[2]}", media_type, content)


def _refused(request: MediaRequest, option: str, words: str, hint: str) -> UnsupportedOptionError:
    model = f"{request.provider}:{request.model}"
    return UnsupportedOptionError(
        f"{model!r} {words}.", option=option, model=model, hint=hint, provider=request.provider
    )
