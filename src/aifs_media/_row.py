"""A job and its row in the ledger, changed together; and the events that tell of it."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, cast

import anyio

from aifs_media import events
from aifs_media._retry import ATTEMPTS, wait_before
from aifs_media._secrets import redact
from aifs_media._told import told_meanwhile, updates_on_told
from aifs_media.errors import LedgerError, StaleJobError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pydantic import JsonValue

    from aifs_media._wakeups import Wakeups
    from aifs_media.errors import MediaError
    from aifs_media.protocols import Clock, Ledger
    from aifs_media.records import Job, Part

    OnEvent = Callable[[events.Event], object]

PROGRESS_PAUSE = 0.25

GOES_ON = frozenset({"intent", "unknown", "submitted", "succeeded", "storing"})
"""Stages of a job of which a create has left, or may have, and that somebody can go on with."""

MAYBE_BILLED = GOES_ON | {"uncertain", "stored"}

log = logging.getLogger("aifs_media.jobs")


class JobRow:
    """One job on its way in this process. All changes go through `change`, one after the other.

    `lease_lost` is set when another process has taken the job over, so that nothing more may be done to it here.
    """

    def __init__(
        self,
        job: Job,
        *,
        ledger: Ledger,
        clock: Clock,
        wakeups: Wakeups,
        on_event: OnEvent | None,
        fence: int | None = None,
    ) -> None:
        self.job = job
        self.clock = clock
        self.lease_lost = False
        self._fence = fence
        self._ledger = ledger
        self._wakeups = wakeups
        self._on_event = on_event
        self._began = clock.monotonic()
        self._seq = 0
        self._last_progress = float("-inf")
        self._lock = anyio.Lock()

    async def change(self, **updates: object) -> None:
        """Write the job with these fields changed; durable when this returns.

        Raises:
            StaleJobError: somebody else has changed it.
            RefToldError: a webhook has told meanwhile that the create was accepted; `job` says so now.
        """
        async with self._lock:
            await self._write(updates)

    async def change_part(self, index: int, **updates: object) -> None:
        """Change one part and nothing else. Raises StaleJobError."""
        async with self._lock:
            parts = tuple(part.model_copy(update=updates) if part.index == index else part for part in self.job.parts)
            await self._write({"parts": parts, "stage": "storing"})

    async def _write(self, updates: dict[str, object]) -> None:
        try:
            await self._update(updates)
        except StaleJobError:
            if not await self._learn():
                raise
            await self._update(updates_on_told(updates, self.job))

    async def _update(self, updates: dict[str, object]) -> None:
        changed = self.job.model_copy(update=updates)
        if changed.done:
            changed = _without_addresses(changed)
        self.job = await self._put(changed)

    async def _put(self, changed: Job) -> Job:
        """Write the row, a few times where the ledger cannot be reached: what a provider answered must not be known here only."""
        kept, number = _without_signatures(changed), 0
        while True:
            number += 1
            try:
                written = await self._ledger.update(kept, expected_version=self.job.version, fence=self._fence)
            except StaleJobError:
                # An earlier try may have been recorded although the ledger's answer to it was lost.
                if number == 1 or not await self._is_recorded(kept):
                    raise
                return changed.model_copy(update={"version": self.job.version + 1})
            except LedgerError as error:
                wait = wait_before(number, error) if number < ATTEMPTS else None
                if wait is None:
                    raise
                log.warning("the ledger is away, tried again in %g s", wait, extra=self.fields("ledger"))
                await self.clock.sleep(wait)
            else:
                return changed.model_copy(update={"version": written.version})

    async def _is_recorded(self, kept: Job) -> bool:
        latest = await self._ledger.load(kept.job_id, namespace=kept.namespace)
        return latest == kept.model_copy(update={"version": self.job.version + 1})

    async def was_told(self) -> bool:
        """Look whether a webhook has told the provider's ref; if so, the job is submitted."""
        async with self._lock:
            return await self._learn()

    async def _learn(self) -> bool:
        latest = await self._ledger.load(self.job.job_id, namespace=self.job.namespace)
        if latest is None or not told_meanwhile(self.job, latest):
            return False
        told = {"version": latest.version, "stage": latest.stage, "attempts": latest.attempts}
        self.job = self.job.model_copy(update=told)
        return True

    async def sleep(self, seconds: float) -> None:
        """Wait on the clock, or until a webhook about the job comes."""
        await self._wakeups.sleep((self.job.namespace, self.job.job_id), seconds, self.clock)

    def part(self, index: int) -> Part:
        """Return one part as it stands."""
        return next(part for part in self.job.parts if part.index == index)

    def timed(self, step: str, seconds: float) -> dict[str, float]:
        """Return the job's timings with seconds added to a step."""
        return {**self.job.timings, step: round(self.job.timings.get(step, 0.0) + seconds, 3)}

    def timed_in_all(self) -> dict[str, float]:
        """Return the job's timings with the time since this process took it up added to the total."""
        return self.timed("total", self.clock.monotonic() - self._began)

    def name(self, error: MediaError) -> MediaError:
        """Put what is known of the job into an error that a lower level raised without knowing it."""
        error.job_id = error.job_id or self.job.job_id
        error.provider = error.provider or self.job.provider
        error.maybe_billed = error.maybe_billed or self.job.has_lost_create or self.job.stage in MAYBE_BILLED
        return error

    def leave(self, error: MediaError) -> MediaError:
        """Say in an error that leaves the library whether somebody can go on with the job, as it stands now."""
        self.name(error)
        error.resumable = self.job.stage in GOES_ON
        if error.resumable and "resume(" not in str(error):
            error.hint = f"{error.hint} resume({self.job.job_id!r}) goes on with the job; a new one would be paid for anew.".strip()
        return error

    def tell(self, event: type[events.JobEvent], **fields: object) -> None:
        """Tell `on_event`, in order, on the loop's thread. What it raises is logged and goes no further."""
        request = self.job.request
        log.debug("%s", event.__name__, extra=self.fields(event.__name__))
        if self._on_event is None:
            return
        if event in {events.Transferred, events.Progressed}:
            now = self.clock.monotonic()
            if now - self._last_progress < PROGRESS_PAUSE:
                return
            self._last_progress = now
        self._seq += 1
        stamp = {
            "job_id": self.job.job_id, "namespace": self.job.namespace, "seq": self._seq, "at": self.clock.now(),
            "provider": request.provider, "model": request.model, "kind": request.kind,
        }  # fmt: skip
        record = event.model_validate({**stamp, **fields})
        try:
            self._on_event(cast("events.Event", record))
        except Exception:
            # The host's callback is not part of the job: its mistakes must not cost a paid asset.
            log.exception("on_event raised", extra=self.fields("event"))

    def fields(self, step: str) -> dict[str, str]:
        """Return the fields that every log record of a job carries. Never a prompt."""
        request = self.job.request
        return {
            "job_id": self.job.job_id, "namespace": self.job.namespace, "provider": request.provider,
            "model": request.model, "step": step,
        }  # fmt: skip


def _without_addresses(job: Job) -> Job:
    """Return a job that has ended without what could still open its files at the provider: outputs, and signed handles.

    The ledger goes on knowing which job held a handle.
    """
    parts = tuple(part.model_copy(update={"output": None}) for part in job.parts)
    attempts = tuple(
        attempt.model_copy(update={"ref": None}) if _is_signed(attempt.ref) else attempt for attempt in job.attempts
    )
    return job.model_copy(update={"parts": parts, "attempts": attempts})


def _without_signatures(job: Job) -> Job:
    """Return the job as the ledger keeps it: an address in the storage that ends by itself is told without what signs it."""
    if not any(asset.expires_at for asset in job.assets):
        return job
    parts = tuple(
        part.model_copy(update={"asset": part.asset.model_copy(update={"url": redact(part.asset.url)})})
        if part.asset is not None and part.asset.expires_at is not None
        else part
        for part in job.parts
    )
    return job.model_copy(update={"parts": parts})


def _is_signed(ref: JsonValue) -> bool:
    text = json.dumps(ref, ensure_ascii=False)
    return redact(text) != text
