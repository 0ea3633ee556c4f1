"""From a request to what Runway is sent. Pure.

Facts: the parameter types of the official client runwayml 5.24.0, and docs.dev.runwayml.com.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aifs_media.errors import UnsupportedOptionError
from aifs_media.providers._data import load_data

if TYPE_CHECKING:
    from aifs_media.toolkit import JsonValue, MediaRequest

# How a request names the inputs of a model that is not built in -> the name that Runway's models share.
_SHARED_NAMES = {
    "prompt": "promptText",
    "aspect_ratio": "ratio",
    "n": "outputCount",
    "negative_prompt": "negativePrompt",
    "output_format": "outputFormat",
}
_RATIOS_WITHOUT_IMAGE = cast("dict[str, list[str]]", load_data("runway")["ratios_without_image"])


def create_call(request: MediaRequest) -> tuple[str, dict[str, JsonValue]]:
    """Return path and body of a create: which path it is follows from whether a start image is given.

    Raises:
        UnsupportedOptionError: the model makes this size only of a start image.
    """
    inputs = {_SHARED_NAMES.get(name, name): value for name, value in request.inputs.items()}
    if "width" in inputs and "height" in inputs:
        inputs["ratio"] = f"{inputs.pop('width')}:{inputs.pop('height')}"
    image = inputs.pop("image", None)
    body: dict[str, JsonValue] = {"model": request.model, **inputs}
    if request.kind == "image":
        if image is not None:
            body["referenceImages"] = [image]
        if isinstance(references := body.get("referenceImages"), list):
            body["referenceImages"] = [{"uri": one} if isinstance(one, str) else one for one in references]
        return "/v1/text_to_image", body
    if image is not None:
        body["promptImage"] = image
    if "promptImage" in body:
        return "/v1/image_to_video", body
    ratios = _RATIOS_WITHOUT_IMAGE.get(request.model.lower())
    if ratios is not None and body.get("ratio") not in ratios:
        raise UnsupportedOptionError(
            f"{request.provider}:{request.model} makes {body.get('ratio')!r} only of a start image.",
            option="size",
            model=f"{request.provider}:{request.model}",
            hint=f"Without one it makes {', '.join(ratios)}.",
            provider=request.provider,
        )
    return "/v1/text_to_video", body
