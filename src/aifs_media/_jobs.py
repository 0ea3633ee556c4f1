"""The jobs of one generator: made, run through the pipeline, found again."""

from __future__ import annotations

import logging
import uuid
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import anyio

from aifs_media import events
from aifs_media._arguments import as_tags
from aifs_media._assets import addressed
from aifs_media._chain import turn_to_next_model
from aifs_media._draft import adopted, choose_model, draft, models_of
from aifs_media._handles import same_job
from aifs_media._limits import most_outputs, parsed_size
from aifs_media._outcome import raise_if_ended, record
from aifs_media._pipeline import Pipeline
from aifs_media._receive import receive
from aifs_media._select import default_capability, known_capability
from aifs_media._told import ENDED
from aifs_media._turns import LEASE_SECONDS, Turns
from aifs_media._values import as_count, as_kind, as_prompt, as_seconds, as_stage, as_text
from aifs_media._wait import poll
from aifs_media.errors import (
    ConfigurationError,
    GenerationTimeoutError,
    JobConflictError,
    JobError,
    JobNotFoundError,
    MediaError,
    PartialResultError,
    RequestRejectedError,
    StaleJobError,
    UnsupportedOptionError,
)
from aifs_media.protocols import Authorizing, Cancellable, Pollable, TextWriter, role
from aifs_media.records import Job, TextRequest
from aifs_media.recovery import RecoveryReport

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Generator, Mapping, Sequence

    from aifs_media._parts import Parts
    from aifs_media._pipeline import OnAsset
    from aifs_media._row import JobRow, OnEvent
    from aifs_media.call_options import ImageOptions
    from aifs_media.records import Asset, Kind, Script, Stage, TextResult

JOBS_AT_ONCE = 16

MOST_JOBS = 2**31 - 1
"""Rows that every ledger can be asked for."""

LEASE_OUT = LEASE_SECONDS + 2.0
"""Seconds after which a process that died holds a job no longer; one that lives renews its lease."""

log = logging.getLogger("aifs_media.jobs")


class Jobs:
    """Runs jobs on a generator's parts."""

    def __init__(self, parts: Parts, *, on_event: OnEvent | None, on_asset: OnAsset | None) -> None:
        self.parts = parts
        self._on_asset = on_asset
        self._turns = Turns(ledger=parts.ledger, clock=parts.clock, wakeups=parts.wakeups, on_event=on_event)

    # -- making --------------------------------------------------------------------------------------------------------

    async def new(self, kind: Kind, prompt: str | Script, n: int, options: ImageOptions) -> Job:
        """Check a request and record it as a job, or join the job that has this id already. Nothing is sent.

        Raises:
            RequestRejectedError: the request cannot be carried out as it is.
            ConfigurationError, StorageError: it could not be made or stored.
            JobConflictError: the id belongs to another request.
        """
        job = await draft(self.parts, kind, prompt, n, options)
        await self.parts.preflight(job)
        kept = await self.parts.ledger.create_or_load(job)
        if kept is not job and kept.asked != job.asked:
            raise JobConflictError(job.job_id)
        return kept

    async def one(self, kind: Kind, prompt: str | Script, options: ImageOptions) -> Asset:
        """Make one output."""
        with _safe_to_retry(options):
            job = await self.new(kind, prompt, 1, options)
            return (await self.finish(job))[0]

    async def many(self, kind: Kind, prompt: str, n: int, options: ImageOptions) -> list[Asset]:
        """Make n outputs: in one job where the model can, else in jobs `id.0`, `id.1`, ...

        Raises:
            PartialResultError: some were stored and others were not.
        """
        # Too many for the model make several jobs; what is no number makes none.
        n = as_count("n", n, least=1)
        with _safe_to_retry(options):
            try:
                job = await self.new(kind, prompt, n, options)
            except UnsupportedOptionError as error:
                if error.option != "n":
                    raise
            else:
                return await self.finish(job)
            most = min(self._most_outputs(kind, named, options) for named in models_of(options))
            return await self._several(kind, prompt, n, options, most)

    def _most_outputs(self, kind: Kind, named: str | None, options: ImageOptions) -> int:
        name, model = choose_model(self.parts, kind, named)
        provider = self.parts.provider(name)
        known = known_capability(provider, kind, model) if model else default_capability(provider, kind)
        return most_outputs(known, parsed_size(str(options.get("size")))) if known else 1

    async def _several(self, kind: Kind, prompt: str, n: int, options: ImageOptions, most: int) -> list[Asset]:
        stem = options.get("job_id") or uuid.uuid4().hex
        sizes = [min(most, n - start) for start in range(0, n, most)]
        if options.get("seed") is not None and len(sizes) > 1:
            raise UnsupportedOptionError(
                f"{n} outputs take {len(sizes)} jobs here, and one seed would make them all alike.",
                option="seed",
                hint="Leave out the seed, or ask for them one by one.",
            )
        jobs = [
            await self.new(kind, prompt, size, {**options, "job_id": f"{stem}.{number}"})
            for number, size in enumerate(sizes)
        ]
        assets, failed = await self._finish_all(jobs)
        if not failed:
            return assets
        first = min(failed)
        if assets:
            raise PartialResultError(job=jobs[first], assets=assets, failed=failed)
        raise failed[first]

    async def _finish_all(
        self, jobs: Sequence[Job], *, patience: float | None = None
    ) -> tuple[list[Asset], dict[int, MediaError]]:
        """Bring jobs to their ends side by side; what one paid for is not dropped because another failed."""
        assets: dict[int, Sequence[Asset]] = {}
        failed: dict[int, MediaError] = {}
        places = anyio.CapacityLimiter(JOBS_AT_ONCE)

        async def run(number: int, job: Job) -> None:
            async with places:
                try:
                    assets[number] = await self.finish(job, patience=patience)
                except PartialResultError as error:
                    assets[number], failed[number] = error.assets, error
                except MediaError as error:
                    # Kept for the end, when it is known what the others achieved.
                    failed[number] = error
                except Exception as error:
                    # A mistake in one job's adapter, or here, must not keep the others from being brought home.
                    # Told by its type alone: the words of a stranger's error may hold a key or a signed address.
                    what = f"{type(error).__name__} was raised while the job was worked on."
                    log.warning("%s", what, extra={"job_id": job.job_id})
                    hint = "Its cause is attached to this error. The job stays as it is recorded."
                    failed[number] = JobError(what, job=job, hint=hint, maybe_billed=True)
                    failed[number].__cause__ = error

        async with anyio.create_task_group() as group:
            for number, job in enumerate(jobs):
                group.start_soon(run, number, job)
        return [asset for number in sorted(assets) for asset in assets[number]], failed

    # -- going on ------------------------------------------------------------------------------------------------------

    async def load(self, job: Job | str, namespace: str) -> Job:
        """Return the job as this ledger knows it; a job kept elsewhere is recorded here first.

        Raises:
            JobNotFoundError: the ledger has no job with that id.
        """
        if isinstance(job, Job):
            return await self.parts.ledger.create_or_load(job)
        job, namespace = as_text("job_id", job), as_text("namespace", namespace)
        found = await self.parts.ledger.load(job, namespace=namespace)
        if found is None:
            raise JobNotFoundError(
                f"There is no job {job!r} in this ledger"
                + (f" and the namespace {namespace!r}." if namespace else "."),
                job_id=job,
                hint="MEDIA_LEDGER may name another one than the job was recorded in."
                if self.parts.ledger.durable
                else "A ledger in memory knows the jobs of its own process only; pass the job itself where you kept it.",
            )
        return found

    async def begin(self, kind: Kind, prompt: str | Script, n: int, options: ImageOptions) -> Job:
        """Record a job and create it at its provider, without waiting."""

        async def work(row: JobRow) -> Job:
            async with self._announced(row):
                await self._in_turn(row, lambda pipeline: pipeline.start())
            return row.job

        with _safe_to_retry(options):
            job = await self.new(kind, prompt, n, options)
            return await self._turns.alone(job, work, patience=job.timeout)

    async def finish(self, job: Job, *, timeout: float | None = None, patience: float | None = None) -> list[Asset]:
        """Bring a job to its end and return its assets. With a timeout of 0 the provider is asked once, and the job goes on.

        Raises:
            UnsupportedOptionError: the timeout is no number of seconds.
            GenerationTimeoutError: the job has not ended in time.
        """
        if timeout is not None:
            timeout = as_seconds("timeout", timeout, or_zero="to ask once")
        once = timeout == 0

        async def work(row: JobRow) -> list[Asset]:
            if timeout:
                row.job = row.job.model_copy(update={"timeout": timeout})
            async with self._announced(row):
                await self._in_turn(row, lambda pipeline: pipeline.finish(once=once), once=once)
            return await addressed(row.job.assets, self.parts.storage)

        job = await self.load(job, "")
        if once and self._turns.is_busy(job):
            outcome = "another call of this process waits for the job, which goes on."
            raise GenerationTimeoutError(job=job, timeout=0.0, outcome=outcome)
        wait = timeout if timeout is not None else job.timeout
        return await self._turns.alone(job, work, patience=wait if patience is None else patience)

    async def _in_turn(self, row: JobRow, step: Callable[[Pipeline], Awaitable[None]], *, once: bool = False) -> None:
        """Take a step with the job's model; where that fails for certain and unbilled, with the next one."""
        while True:
            if row.job.stage == "new":
                row.tell(events.Selected, warnings=row.job.warnings)
            try:
                return await step(self._pipeline(row))
            except MediaError as error:
                # Who only looked has not run out of patience with the model.
                looked = once and isinstance(error, GenerationTimeoutError)
                if looked or not await turn_to_next_model(row, error):
                    raise

    async def cancel(self, job: Job) -> Job:
        """Stop a job at its provider, and keep a result that came first."""

        async def work(row: JobRow) -> Job:
            if not row.job.done:
                async with self._announced(row):
                    await self._pipeline(row).cancel()
            return row.job

        if self._turns.is_busy(job):
            await self._tell_to_stop(job)
        try:
            return await self._turns.alone(job, work, patience=0.0)
        except StaleJobError:
            await self._tell_to_stop(job)
        return await self._turns.alone(job, work, patience=LEASE_OUT)

    @asynccontextmanager
    async def _announced(self, row: JobRow) -> AsyncGenerator[None]:
        """Notify the host if the job reaches its end meanwhile, whatever is raised."""
        ended_before = row.job.done
        try:
            yield
        finally:
            if row.job.done and not ended_before:
                await self.parts.notifier.tell(row.job)

    async def _tell_to_stop(self, job: Job) -> None:
        """Ask the provider to stop a job that another worker waits for: it sees the end with its next look."""
        latest = await self.load(job.job_id, job.namespace)
        cancellable = role(self.parts.provider(latest.provider), Cancellable)
        if latest.stage == "submitted" and cancellable is not None:
            await cancellable.cancel(latest.ref)

    async def recover(self, *, limit: int) -> RecoveryReport:
        """Bring the ledger's unfinished jobs to their ends, those whose outputs expire soonest first."""
        jobs = await self.parts.ledger.unfinished(limit=limit)
        sent = [job for job in jobs if job.stage != "new"]
        assets, failed = await self._finish_all(sent, patience=LEASE_OUT)
        held = tuple(sent[number].job_id for number, error in failed.items() if isinstance(error, StaleJobError))
        return RecoveryReport(
            assets=tuple(assets),
            failed={
                sent[number].job_id: error for number, error in failed.items() if not isinstance(error, StaleJobError)
            },
            held=held,
            unsent=tuple(job.job_id for job in jobs if job.stage == "new"),
        )

    async def receive(self, provider: str, headers: Mapping[str, str], body: bytes) -> Job | None:
        """Take a provider's webhook; return the job that somebody should go on with now, if there is one."""
        parts = self.parts
        job = await receive(parts.provider(provider), ledger=parts.ledger, headers=headers, body=body)
        if job is None or job.done:
            return None
        parts.wakeups.wake((job.namespace, job.job_id))
        return None if self._turns.is_busy(job) else job

    async def search(
        self, *, namespace: str | None, tags: Mapping[str, str] | None, stages: Collection[Stage] | None, limit: int
    ) -> list[Job]:
        """Return the ledger's jobs that fit, newest first."""
        found = await self.parts.ledger.search(
            namespace=None if namespace is None else as_text("namespace", namespace),
            tags=None if tags is None else as_tags("tags", tags),
            stages=None if stages is None else [as_stage(stage) for stage in stages],
            limit=min(as_count("limit", limit, least=1), MOST_JOBS),
        )
        return list(found)

    async def adopt(self, name: str, kind: Kind, prompt: str, namespace: str) -> list[Asset]:
        """Take over a job that exists at a provider, by `provider:ref`, and store its media.

        Raises:
            ConfigurationError: the provider has no jobs that can be asked for.
            JobNotFoundError: the provider does not know it.
        """
        kind, prompt, namespace = as_kind(kind), as_text("prompt", prompt), as_text("namespace", namespace)
        provider_name, separator, ref = as_text("name", name).partition(":")
        if not separator or not ref:
            raise RequestRejectedError(f"{name!r} names no job.", hint="Write provider:id, for example replicate:ID.")
        known = await self.parts.ledger.find_by_ref(provider_name, ref)
        if known is not None:
            return await self.finish(await self._taken_up(known, ref))
        pollable = role(self.parts.provider(provider_name), Pollable)
        if pollable is None:
            raise ConfigurationError(f"The jobs of {provider_name!r} cannot be asked for.", provider=provider_name)
        state = await poll(pollable, ref, self.parts.clock)
        job = await self.parts.ledger.create_or_load(
            adopted(self.parts, provider_name, ref, kind=kind, prompt=prompt, namespace=namespace)
        )

        async def work(row: JobRow) -> list[Asset]:
            if row.job.stage == "submitted":
                await record(row, state)
            await self._pipeline(row).finish()
            return await addressed(row.job.assets, self.parts.storage)

        return await self._turns.alone(job, work, patience=job.timeout)

    async def _taken_up(self, job: Job, ref: str) -> Job:
        """Return a job that goes on with that ref, where it was given up although the ref is known, or another one has failed.

        Raises:
            RequestRejectedError: it is a second job of one create, and the job has or awaits the media of the first.
        """
        named = next((attempt for attempt in job.attempts if same_job(attempt.ref, ref)), None)
        others = tuple(attempt for attempt in job.attempts if attempt is not named)
        second = not same_job(job.ref, ref)
        if named is None or (job.stage != "uncertain" and not second):
            return job
        if job.stage not in {"uncertain", *ENDED}:
            raise RequestRejectedError(
                f"{ref!r} is a second job of the create of {job.job_id!r}, which goes on with the first.",
                hint="Fetch it at the provider, if it is wanted as well.",
            )
        attempts = (*others, named.model_copy(update={"outcome": "accepted", "reason": ""}))
        changed = {"stage": "submitted", "attempts": attempts, "failure": None, "parts": (), "cancel_requested": False}
        return await self.parts.ledger.update(job.model_copy(update=changed), expected_version=job.version)

    def _pipeline(self, row: JobRow) -> Pipeline:
        raise_if_ended(row.job)
        provider = self.parts.provider(row.job.request.provider)
        authorizing = role(provider, Authorizing)
        return Pipeline(
            row,
            provider=provider,
            storage=self.parts.storage,
            ledger=self.parts.ledger,
            files=self.parts.files(provider),
            authorize=authorizing.authorization_for if authorizing is not None else _no_headers,
            on_asset=self._on_asset,
        )

    # -- text ----------------------------------------------------------------------------------------------------------

    async def write(self, prompt: str, *, system: str, model: str | None) -> TextResult:
        """Ask a provider for a text, once. Raises ConfigurationError if it writes none."""
        prompt, system = as_prompt(prompt, made="written"), as_text("system", system)
        model = model if model is None else as_text("model", model)
        name, chosen = choose_model(self.parts, "text", model)
        writer = role(self.parts.provider(name), TextWriter)
        if writer is None:
            raise ConfigurationError(
                f"The provider {name!r} writes no text.", hint="Set TEXT_PROVIDER=poe.", provider=name
            )
        return await writer.write(TextRequest(prompt=prompt, system=system, model=chosen))


@contextmanager
def _safe_to_retry(options: ImageOptions) -> Generator[None]:
    """Call no error retryable after which the same call would not join the job but make and pay another."""
    try:
        yield
    except MediaError as error:
        if error.resumable and options.get("job_id") is None:
            error.retryable = False
        raise


def _no_headers(url: str) -> Mapping[str, str]:
    """Return nothing: this provider's outputs need no key."""
    del url
    return {}
