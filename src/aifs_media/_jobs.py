"""What a generator does behind its methods: parts made on first use, counted leases on them, and jobs run through the pipeline."""

from __future__ import annotations

import os
import uuid
import warnings
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol, cast

import anyio

from aifs_media import events
from aifs_media._clock import SystemClock
from aifs_media._files import FileClient
from aifs_media._inputs import input_file
from aifs_media._keys import KeyTemplate, encode_labels
from aifs_media._outcome import raise_if_ended
from aifs_media._pipeline import Pipeline
from aifs_media._poll import lifetime
from aifs_media._registry import make_provider, make_storage, provider_names
from aifs_media._row import JobRow
from aifs_media._select import default_capability, known_capability, select, split_model
from aifs_media._urlguard import URLGuard
from aifs_media.errors import (
    ConfigurationError,
    JobConflictError,
    JobNotFoundError,
    MediaError,
    PartialResultError,
    RequestRejectedError,
    UnsupportedOptionError,
)
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.protocols import Authorizing, Delivering, TextWriter, role
from aifs_media.records import Job, MediaRequest, Size, TextRequest
from aifs_media.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence

    from aifs_media._row import OnEvent
    from aifs_media.call_options import ImageOptions, VideoOptions
    from aifs_media.protocols import Clock, Ledger, MediaProvider, Storage
    from aifs_media.records import Asset, Capability, Kind, TextResult

CLOSE_LIMIT = 5.0
JOBS_AT_ONCE = 16


class _Closable(Protocol):
    async def aclose(self) -> None: ...


class Jobs:
    """The parts of one generator and the jobs that run on them. Nothing is bound to an event loop between two leases."""

    def __init__(
        self,
        *,
        providers: Sequence[MediaProvider],
        storage: Storage | None,
        ledger: Ledger | None,
        settings: Settings | None,
        on_event: OnEvent | None,
        clock: Clock | None,
    ) -> None:
        self.settings = settings if settings is not None else Settings.from_env()
        for sentence in self.settings.warnings():
            warnings.warn(sentence, UserWarning, stacklevel=4)
        self.clock: Clock = clock or SystemClock()
        self.ledger: Ledger = ledger or self._ledger_of_settings()
        self.template = KeyTemplate(self.settings.text("MEDIA_KEY_TEMPLATE"), prefix=self._prefix())
        self._storage = storage
        self._on_event = on_event
        self._providers: dict[str, MediaProvider] = {provider.name: provider for provider in providers}
        self._files: dict[str, FileClient] = {}
        self._leases = 0
        self._loop: object = None
        self._process = 0
        self._running: dict[tuple[str, str], tuple[anyio.Lock, int]] = {}

    # -- parts ---------------------------------------------------------------------------------------------------------

    @property
    def storage(self) -> Storage:
        """Where assets go."""
        if self._storage is None:
            self._storage = make_storage(self.settings)
        return self._storage

    def provider(self, name: str) -> MediaProvider:
        """Return a provider by name, made on first use. Raises UnknownProviderError and PluginError."""
        if name not in self._providers:
            self._providers[name] = make_provider(name, self.settings)
        return self._providers[name]

    def provider_names(self) -> list[str]:
        """Return the names of all providers that could be used."""
        return sorted({*self._providers, *provider_names()})

    def known(self) -> Iterator[tuple[str, Capability]]:
        """Yield all models that are known without asking anyone. A plugin that cannot be loaded is left out."""
        for name in self.provider_names():
            try:
                provider = self.provider(name)
            except MediaError:
                continue
            for capability in provider.capabilities:
                yield name, capability

    def _ledger_of_settings(self) -> Ledger:
        name = self.settings.text("MEDIA_LEDGER")
        if name != "memory":
            raise ConfigurationError(
                f"MEDIA_LEDGER={name.partition('://')[0]!r} is not a ledger of this version.",
                hint="Use memory, or pass ledger= with an object that keeps jobs where you like.",
            )
        return MemoryLedger()

    def _prefix(self) -> str:
        return self.settings.text("R2_KEY_PREFIX") or self.settings.text("S3_KEY_PREFIX")

    def files(self, provider: MediaProvider) -> FileClient:
        """Return the client that fetches a provider's outputs."""
        if provider.name not in self._files:
            self._files[provider.name] = FileClient(self._guard(provider))
        return self._files[provider.name]

    def _guard(self, provider: MediaProvider) -> URLGuard:
        """Trust of a host counts for the provider whose configured address or delivery host it is, and for no other."""
        delivering = role(provider, Delivering)
        delivery = delivering.delivery_hosts if delivering is not None else ()
        base = delivering.base_url.partition("://")[2].partition("/")[0] if delivering is not None else ""
        trusted = {host for host in self.settings.items("MEDIA_TRUSTED_HOSTS") if host == base or host in delivery}
        return URLGuard(
            trusted=frozenset(trusted),
            delivery_hosts=tuple(host for host in delivery if ":" not in host),
            strict_hosts=self.settings.flag("MEDIA_STRICT_HOSTS"),
        )

    # -- leases --------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def lease(self) -> AsyncGenerator[None]:
        """Hold the connections open; the last lease to end closes them.

        Raises:
            ConfigurationError: another event loop holds them at this moment.
        """
        loop = anyio.lowlevel.current_token()
        if self._leases and os.getpid() != self._process:
            raise ConfigurationError(
                "This generator was in use when the process forked, so that its connections belong to the parent.",
                hint="Make a new generator in the child.",
            )
        if self._leases and loop != self._loop:
            raise ConfigurationError(
                "This generator is in use on another event loop.",
                hint="Make one generator per event loop, or use SyncMediaGenerator from threads.",
            )
        self._loop, self._process = loop, os.getpid()
        self._leases += 1
        try:
            yield
        finally:
            self._leases -= 1
            if not self._leases:
                await self._close()

    async def _close(self) -> None:
        stored = [] if self._storage is None else [self._storage]
        parts: list[_Closable] = [*self._providers.values(), *self._files.values(), *stored, self.ledger]
        with anyio.move_on_after(CLOSE_LIMIT, shield=True):
            for part in parts:
                await part.aclose()

    # -- jobs ----------------------------------------------------------------------------------------------------------

    async def new(self, kind: Kind, prompt: str, n: int, options: ImageOptions) -> Job:
        """Check a request and record it as a job, or join the job that has this id already. Nothing is sent.

        Raises:
            RequestRejectedError: the request cannot be carried out as it is.
            JobConflictError: the id belongs to another request.
        """
        job = await self._draft(kind, prompt, n, options)
        kept = await self.ledger.create_or_load(job)
        if kept is not job and _identity(kept.request) != _identity(job.request):
            raise JobConflictError(job.job_id)
        return kept

    async def _draft(self, kind: Kind, prompt: str, n: int, options: ImageOptions) -> Job:
        if not prompt.strip():
            raise RequestRejectedError("The prompt is empty.", hint="Say what should be made.")
        if n < 1:
            raise RequestRejectedError(f"n={n} asks for nothing.", hint="Ask for at least 1.")
        name, model = self._model(kind, options.get("model"))
        image, timed = options.get("image"), cast("VideoOptions", options)
        request = MediaRequest(
            kind=kind,
            prompt=prompt,
            provider=name,
            model=model,
            n=n,
            size=_size(options.get("size")),
            aspect_ratio=options.get("aspect_ratio"),
            seed=options.get("seed"),
            duration=timed.get("duration"),
            fps=timed.get("fps"),
            image=await input_file(image) if image is not None else None,
            negative_prompt=options.get("negative_prompt"),
            output_format=options.get("output_format"),
            options=dict(options.get("options") or {}),
            tags=dict(options.get("tags") or {}),
        )
        encode_labels(request.tags)
        chosen = await select(
            request, provider=self.provider(name), known=self.known, check=options.get("check_options", True)
        )
        capability = chosen.capability
        timeout = self._timeout(kind, options.get("timeout"), capability)
        on_cancel = options.get("on_cancel") or ("detach" if self.ledger.durable else "cancel")
        now, job_id = self.clock.now(), options.get("job_id") or uuid.uuid4().hex
        namespace = options.get("namespace", "")
        stems = tuple(
            self.template.render_stem(
                created_at=now, job_id=job_id, index=index, kind=kind, provider=name, namespace=namespace,
                tags=request.tags,
            )
            for index in range(max(n, capability.maximum_outputs))
        )  # fmt: skip
        limit = lifetime(timeout=timeout, on_cancel=on_cancel, limit=capability.lifetime_limit)
        return Job(
            job_id=job_id,
            namespace=namespace,
            request=chosen.request.model_copy(update={"timeout": timeout, "lifetime": limit}),
            seed_is_ours=chosen.seed_is_ours,
            created_at=now,
            timeout=timeout,
            lifetime=limit,
            on_cancel=on_cancel,
            object_stems=stems,
            image_input=capability.names.get("image", "") if image is not None else "",
            price=capability.price,
            expected_size=chosen.inputs.size,
            expected_duration=chosen.inputs.duration,
            expected_fps=chosen.inputs.fps,
            reported_seed=_seed(chosen.request, capability),
            warnings=chosen.inputs.warnings,
        )

    def _timeout(self, kind: Kind, asked: float | None, capability: Capability) -> float:
        """Return how long to wait: what the call says, else the settings if they were given, else what the model needs."""
        setting = f"MEDIA_{kind.upper()}_TIMEOUT"
        if asked is None:
            return (
                self.settings.number(setting)
                if self.settings.given(setting) or capability.timeout is None
                else capability.timeout
            )
        if not 0 < asked < float("inf"):
            raise RequestRejectedError(
                f"timeout={asked!r} cannot be waited for.", hint="Give a number of seconds above 0."
            )
        return asked

    def _model(self, kind: Kind | str, named: str | None) -> tuple[str, str]:
        """Return provider and model: what the call names beats the settings; an empty model is the provider's default."""
        default = self.settings.text(f"{kind.upper()}_PROVIDER")
        known = self.provider_names()
        if named:
            return split_model(named, default_provider=default, known_providers=known)
        setting = self.settings.text(f"{kind.upper()}_MODEL")
        if not setting:
            return default, ""
        return split_model(setting, default_provider=default, known_providers=known)

    async def many(self, kind: Kind, prompt: str, n: int, options: ImageOptions) -> list[Asset]:
        """Make n outputs: in one job where the model can, else in jobs `id.0`, `id.1`, ...

        Raises:
            PartialResultError: some were stored and others were not.
        """
        name, model = self._model(kind, options.get("model"))
        provider = self.provider(name)
        try:
            job = await self.new(kind, prompt, n, options)
        except UnsupportedOptionError as error:
            if error.option != "n":
                raise
            known = known_capability(provider, kind, model) if model else default_capability(provider, kind)
            return await self._several(kind, prompt, n, options, known.maximum_outputs if known else 1)
        return await self.finish(job)

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
        assets: dict[int, list[Asset]] = {}
        failed: dict[int, MediaError] = {}
        places = anyio.CapacityLimiter(JOBS_AT_ONCE)

        async def run(number: int, job: Job) -> None:
            async with places:
                try:
                    assets[number] = await self.finish(job)
                except PartialResultError as error:
                    assets[number], failed[number] = list(error.assets), error
                except MediaError as error:
                    # Kept for the end: what the other jobs paid for must not be dropped.
                    failed[number] = error

        async with anyio.create_task_group() as group:
            for number, job in enumerate(jobs):
                group.start_soon(run, number, job)
        kept = [asset for number in sorted(assets) for asset in assets[number]]
        if not failed:
            return kept
        if kept:
            raise PartialResultError(job=jobs[min(failed)], assets=kept, failed=failed)
        raise failed[min(failed)]

    async def load(self, job: Job | str, namespace: str) -> Job:
        """Return the job as this ledger knows it; a job kept elsewhere is recorded here first.

        Raises:
            JobNotFoundError: the ledger has no job with that id.
        """
        if isinstance(job, Job):
            return await self.ledger.create_or_load(job)
        found = await self.ledger.load(job, namespace=namespace)
        if found is None:
            raise JobNotFoundError(
                f"There is no job {job!r} in this ledger"
                + (f" and the namespace {namespace!r}." if namespace else "."),
                job_id=job,
                hint="A ledger in memory knows the jobs of its own process only; pass the job itself where you kept it.",
            )
        return found

    async def start(self, job: Job) -> Job:
        """Create the job at its provider, without waiting."""
        async with self._alone(job) as row:
            row.tell(events.Selected, warnings=row.job.warnings)
            await self._pipeline(row).start()
            return row.job

    async def finish(self, job: Job, *, timeout: float | None = None) -> list[Asset]:
        """Bring a job to its end and return its assets."""
        job = await self.load(job, "")
        async with self._alone(job) as row:
            if timeout is not None:
                row.job = row.job.model_copy(update={"timeout": timeout})
            if row.job.stage == "new":
                row.tell(events.Selected, warnings=row.job.warnings)
            if row.job.stage != "stored":
                await self._pipeline(row).finish()
            return list(row.job.assets)

    async def cancel(self, job: Job) -> Job:
        """Stop a job at its provider, and keep a result that came first."""
        async with self._alone(job) as row:
            if row.job.done:
                return row.job
            await self._pipeline(row).cancel()
            return row.job

    @asynccontextmanager
    async def _alone(self, job: Job) -> AsyncGenerator[JobRow]:
        """Hold a job for one task of this process; who comes second finds what the first achieved."""
        key = (job.namespace, job.job_id)
        lock, users = self._running.get(key, (anyio.Lock(), 0))
        self._running[key] = (lock, users + 1)
        try:
            async with lock:
                latest = await self.ledger.load(job.job_id, namespace=job.namespace)
                yield JobRow(latest or job, ledger=self.ledger, clock=self.clock, on_event=self._on_event)
        finally:
            lock, users = self._running[key]
            if users == 1:
                del self._running[key]
            else:
                self._running[key] = (lock, users - 1)

    def _pipeline(self, row: JobRow) -> Pipeline:
        raise_if_ended(row.job)
        provider = self.provider(row.job.request.provider)
        authorizing = role(provider, Authorizing)
        return Pipeline(
            row,
            provider=provider,
            storage=self.storage,
            ledger=self.ledger,
            files=self.files(provider),
            authorize=authorizing.authorization_for if authorizing is not None else _no_headers,
        )

    # -- text ----------------------------------------------------------------------------------------------------------

    async def write(self, prompt: str, *, system: str, model: str | None) -> TextResult:
        """Ask a provider for a text, once. Raises ConfigurationError if it writes none."""
        if not prompt.strip():
            raise RequestRejectedError("The prompt is empty.", hint="Say what should be written.")
        name, chosen = self._model("text", model)
        provider = self.provider(name)
        writer = role(provider, TextWriter)
        if writer is None:
            raise ConfigurationError(
                f"The provider {name!r} writes no text.", hint="Set TEXT_PROVIDER=poe.", provider=name
            )
        return await writer.write(TextRequest(prompt=prompt, system=system, model=chosen))


def _size(size: str | Size | None) -> Size | None:
    if size is None or isinstance(size, Size):
        return size
    try:
        return Size.parse(size)
    except ValueError as error:
        raise UnsupportedOptionError(str(error), option="size") from None


def _seed(request: MediaRequest, capability: Capability) -> int | None:
    value = request.inputs.get(capability.names.get("seed", ""))
    return int(value) if isinstance(value, int | str) and str(value).isdecimal() else None


def _identity(request: MediaRequest) -> dict[str, object]:
    """Return what makes two requests the same: all that the caller chose, and nothing that we filled in."""
    chosen = request.model_dump(exclude={"inputs", "lifetime", "timeout", "image"})
    chosen["image"] = (request.image.sha256 or request.image.url) if request.image else None
    return chosen


def _no_headers(url: str) -> Mapping[str, str]:
    """Return nothing: this provider's outputs need no key."""
    del url
    return {}
