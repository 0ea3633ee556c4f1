"""One paid generation at the emulated Poe, as the books see it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aifs_media.testing.emulator.books import PredictionRecord, fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

# Points for one call. Poe publishes no price for media bots, so these are the emulator's own.
POINTS = {"image": 500, "video": 9000, "text": 15}


@dataclass
class PoeGeneration:
    """A call that was accepted: it runs until `end` and costs its points then, whether anyone still listens or not."""

    bot: str
    kind: str
    input: Mapping[str, object]
    created: float
    end: float
    failed: bool = False
    id: str = field(default_factory=lambda: secrets.token_urlsafe(12))

    def points(self, now: float) -> int:
        """Return what it has cost by now."""
        return POINTS[self.kind] if now >= self.end and not self.failed else 0

    def record(self, now: float, downloads: int) -> PredictionRecord:
        """Return its line in the books."""
        status = "processing" if now < self.end else "failed" if self.failed else "succeeded"
        return PredictionRecord(
            id=self.id,
            provider="poe",
            model=self.bot,
            kind=self.kind,
            input=dict(self.input),
            status=status,
            created_at=self.created,
            cancelled=False,
            billed=float(self.points(now)),
            unit="points",
            downloads=downloads,
            deadline=None,
            fingerprint=fingerprint("poe", self.bot, self.input),
        )
