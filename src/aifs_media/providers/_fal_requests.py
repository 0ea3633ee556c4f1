"""From a request, or from settings, to what fal is sent. Pure.

Facts: fal.ai/docs (queue, common parameters), and the client and headers of fal-client 1.0.3.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from aifs_media.errors import RequestRejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.toolkit import MediaRequest

SHORTEST_START = 2
"""Seconds. fal's own client refuses a time to start of one second or less."""

SHORTEST_ID = 12
"""Characters from which the id in a key is surely no ordinary word, so that taking it out spoils no message."""

_MODEL = re.compile(r"[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)+", re.ASCII)


def create_path(request: MediaRequest) -> str:
    """Return where the job is created: the whole name of the model, and the address to tell when it has ended.

    Raises:
        RequestRejectedError: it is not a name of a model.
    """
    check_model(request.model)
    return f"/{request.model}" + (f"?{urlencode({'fal_webhook': request.webhook})}" if request.webhook else "")


def create_headers(request: MediaRequest) -> dict[str, str]:
    """Return the headers of a create: how long the job may wait for its start. Once it runs, fal knows no deadline."""
    if request.lifetime is None:
        return {}
    return {"x-fal-request-timeout": str(max(math.ceil(request.lifetime), SHORTEST_START))}


def check_model(model: str) -> None:
    """Raise RequestRejectedError unless this is `owner/app`, with any path behind. The owner need not be `fal-ai`."""
    if not _MODEL.fullmatch(model):
        raise RequestRejectedError(
            f"{model!r} is not the name of a model at fal.",
            hint="Write owner/app or owner/app/path, as fal.ai/models shows it.",
            provider="fal",
        )


def halves_to_hide(key: str) -> tuple[str, ...]:
    """Return the halves of a key `id:secret` that no message may show."""
    key_id, _, secret = key.partition(":")
    return tuple(half for half in (secret, key_id if len(key_id) >= SHORTEST_ID else "") if half)


def with_names_of_its_client(environ: Mapping[str, str]) -> dict[str, str]:
    """Return settings in which what only fal's own client knows by other names stands under ours: key in halves, host."""
    values = {name: value.strip() for name, value in environ.items()}
    halves = [values.get(name, "") for name in ("FAL_KEY_ID", "FAL_KEY_SECRET")]
    if not values.get("FAL_KEY") and all(halves):
        values["FAL_KEY"] = ":".join(halves)
    if not values.get("FAL_BASE_URL") and values.get("FAL_QUEUE_RUN_HOST"):
        values["FAL_BASE_URL"] = f"https://{values['FAL_QUEUE_RUN_HOST']}"
    return values
