"""From a request to what Replicate is sent. Pure.

Facts: Replicate's OpenAPI file of 2026-03-16, and replicate.com/docs/topics/predictions.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, NamedTuple, Self

from aifs_media.errors import RequestRejectedError

if TYPE_CHECKING:
    from aifs_media.toolkit import Capability, MediaRequest

LONGEST_HOLD = 60
SHORTEST_LIFETIME = 5
LONGEST_LIFETIME = 1800
"""Seconds after which Replicate ends what still runs."""

_VERSION = re.compile(r"[0-9a-f]{64}")
_PATH = re.compile(r"\w[\w.-]*/\w[\w.-]*")


class ModelName(NamedTuple):
    """A model as people name it: `owner/name`, `owner/name:version`, or the version alone, which is 64 hex digits."""

    path: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a name.

        Raises:
            RequestRejectedError: it is none; `owner/name:latest` is not one either, though Replicate's site shows it.
        """
        if _VERSION.fullmatch(text):
            return cls("", text)
        path, colon, version = text.partition(":")
        if not _PATH.fullmatch(path) or (colon and not _VERSION.fullmatch(version)):
            raise RequestRejectedError(
                f"{text!r} is not the name of a model at Replicate.",
                hint="Write owner/name, owner/name:version or the version's 64 hex digits alone.",
                provider="replicate",
            )
        return cls(path, version)

    def __str__(self) -> str:
        return ":".join(part for part in self if part)

    def serves(self, asked: ModelName) -> bool:
        """Say whether this is what is asked for: that very version, or the model where no version is asked for."""
        return self.version == asked.version if asked.version else self.path == asked.path

    def may_be(self, other: ModelName) -> bool:
        """Say whether both can be one model: official ones do not tell their versions."""
        if self.version and other.version:
            return self.version == other.version
        return bool(self.path) and self.path == other.path


def hold_seconds(request: MediaRequest, capability: Capability | None) -> int:
    """Return for how long the create is held open for its result; 0 for not at all.

    While a create is held nobody knows the job's id. So it is held only where the seed in the inputs can find the job
    again if the answer is lost, and no longer than the caller waits.
    """
    if capability is None or capability.names.get("seed") not in request.inputs:
        return 0
    waits = LONGEST_HOLD if request.timeout is None else request.timeout
    return int(min(capability.hold_seconds, waits, LONGEST_HOLD))


def create_headers(request: MediaRequest, *, hold: int) -> dict[str, str]:
    """Return the headers of a create: when Replicate ends the job by itself, and how long it may hold the answer back."""
    lifetime = LONGEST_LIFETIME if request.lifetime is None else math.ceil(request.lifetime)
    headers = {"cancel-after": f"{max(lifetime, SHORTEST_LIFETIME)}s"}
    if hold:
        headers["prefer"] = f"wait={hold}"
    return headers
