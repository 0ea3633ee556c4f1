"""One paid create of an emulated image API that answers at once, as the books see it, and the files that it makes."""

from __future__ import annotations

import secrets
import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aifs_media.testing.emulator.books import PredictionRecord, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

_AFTER_HEADER = 33  # a PNG's signature and its header chunk
_USUAL_MARK = 64


@dataclass
class ImageCreation:
    """A create that was accepted: it runs until `end`, and costs `usd` unless it failed."""

    provider: str
    model: str
    input: Mapping[str, object]
    created: float
    end: float
    usd: float
    failed: bool = False
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def record(self, now: float, downloads: int) -> PredictionRecord:
        """Return its line in the books."""
        status = "processing" if now < self.end else "failed" if self.failed else "succeeded"
        return PredictionRecord(
            id=self.id,
            provider=self.provider,
            model=self.model,
            kind="image",
            input=dict(self.input),
            status=status,
            created_at=self.created,
            cancelled=False,
            billed=0.0 if self.failed else self.usd,
            unit="USD",
            downloads=downloads,
            deadline=None,
            fingerprint=fingerprint(self.provider, self.model, self.input),
        )


def marked(png: bytes, size: int = 0) -> bytes:
    """Return a PNG with a `caBX` chunk behind its header, as OpenAI's carry one; it fills the file up to `size` bytes."""
    mark = secrets.token_bytes(max(_USUAL_MARK, size - len(png) - 12))
    chunk = b"caBX" + mark
    framed = struct.pack(">I", len(mark)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return png[:_AFTER_HEADER] + framed + png[_AFTER_HEADER:]
