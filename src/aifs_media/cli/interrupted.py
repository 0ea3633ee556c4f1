"""How a command ends that a signal ended."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Asset


class Interrupted(Exception):  # noqa: N818 - the person asked for it; it only ends as an error does
    """A signal ended the command.

    Args:
        number: the signal's number.
        endings: what became of each job, in sentences.
        job_id: the first job, or empty where none was begun.
        assets: those that were kept all the same.
    """

    code: ClassVar[str] = "interrupted"
    hint: ClassVar[str] = ""
    resumable: ClassVar[bool] = False  # the endings say it for each job

    def __init__(self, number: int, *, endings: Sequence[str], job_id: str, assets: Sequence[Asset]) -> None:
        self.message = " ".join((f"Interrupted by {signal.Signals(number).name}.", *endings))
        super().__init__(self.message)
        self.exit_code = 128 + number
        self.job_id = job_id
        self.maybe_billed = bool(job_id)
        self.retryable = not job_id
        self.assets = tuple(assets)
