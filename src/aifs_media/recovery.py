"""What `recover()` did."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from aifs_media.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.records import Asset


@dataclass(frozen=True)
class RecoveryReport:
    """How the unfinished jobs of a ledger ended.

    Attributes:
        assets: what was stored.
        failed: the error of each job that could not be brought to an end, by job id.
        held: ids of jobs that another living process works on.
        unsent: ids of jobs that were recorded and never sent; nothing was paid for them, and `resume(job_id)` sends them.
    """

    assets: tuple[Asset, ...] = ()
    failed: Mapping[str, MediaError] = field(default_factory=dict[str, MediaError])
    held: tuple[str, ...] = ()
    unsent: tuple[str, ...] = ()
