"""What a generator works with: settings, providers, storage, ledger, connections; and counted leases on all of it."""

from __future__ import annotations

import logging
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import anyio

from aifs_media._clock import SystemClock
from aifs_media._files import FileClient
from aifs_media._keys import KeyTemplate
from aifs_media._notify import Notifier
from aifs_media._registry import make_ledger, make_provider, make_storage, provider_names
from aifs_media._urlguard import URLGuard
from aifs_media._wakeups import Wakeups
from aifs_media._warn import warn_caller
from aifs_media.errors import ConfigurationError, MediaError
from aifs_media.protocols import Delivering, Preflight, role
from aifs_media.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

    from aifs_media.protocols import Clock, Ledger, MediaProvider, Storage
    from aifs_media.records import Capability, Job

CLOSE_LIMIT = 5.0

log = logging.getLogger("aifs_media.parts")


class _Closable(Protocol):
    async def aclose(self) -> None: ...


class Parts:
    """What one generator works with, each made on first use. Nothing is bound to an event loop between two leases."""

    def __init__(
        self,
        *,
        providers: Sequence[MediaProvider],
        storage: Storage | None,
        ledger: Ledger | None,
        settings: Settings | None,
        clock: Clock | None,
    ) -> None:
        self.settings = settings if settings is not None else Settings.from_env()
        for sentence in self.settings.warnings():
            warn_caller(sentence)
        self.clock: Clock = clock or SystemClock()
        self.ledger: Ledger = ledger if ledger is not None else make_ledger(self.settings)
        self.template = KeyTemplate(self.settings.text("MEDIA_KEY_TEMPLATE"), prefix=self._prefix())
        self.wakeups = Wakeups()
        self.notifier = Notifier(self.settings, clock=self.clock)
        self._storage = storage
        self._providers: dict[str, MediaProvider] = {provider.name: provider for provider in providers}
        self._files: dict[str, FileClient] = {}
        self._leases = 0
        self._loop: object = None
        self._process = 0
        self._closing: anyio.Event | None = None

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

    async def preflight(self, job: Job) -> None:
        """Refuse a new job that storage or providers could not do their part of. Raises ConfigurationError and StorageError."""
        names = dict.fromkeys((job.provider, *(other.request.provider for other in job.alternatives)))
        try:
            for part in (self.storage, *map(self.provider, names)):
                preflight = role(part, Preflight)
                if preflight is not None:
                    await preflight.preflight()
        except MediaError:
            # One that is recorded already may be beyond the need of them.
            if await self.ledger.load(job.job_id, namespace=job.namespace) is None:
                raise

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
        self._refuse_other_owner()
        while self._closing is not None:
            # The call before is closing connections; one that was opened now would be closed with them.
            await self._closing.wait()
            self._refuse_other_owner()
        self._loop, self._process = anyio.lowlevel.current_token(), os.getpid()
        self._leases += 1
        try:
            yield
        finally:
            try:
                if self._leases == 1:
                    await self._close()
            finally:
                self._leases -= 1

    def _refuse_other_owner(self) -> None:
        if self._leases and os.getpid() != self._process:
            raise ConfigurationError(
                "This generator was in use when the process forked, so that its connections belong to the parent.",
                hint="Make a new generator in the child.",
            )
        if self._leases and anyio.lowlevel.current_token() != self._loop:
            raise ConfigurationError(
                "This generator is in use on another event loop.",
                hint="Make one generator per event loop, or use SyncMediaGenerator, which all threads can share.",
            )

    async def _close(self) -> None:
        stored = [] if self._storage is None else [self._storage]
        parts: list[_Closable] = [*self._providers.values(), *self._files.values(), *stored, self.ledger]
        self._closing = closing = anyio.Event()
        try:
            with anyio.move_on_after(CLOSE_LIMIT, shield=True):
                for part in parts:
                    await _close_quietly(part)
        finally:
            self._closing = None
            closing.set()


async def _close_quietly(part: _Closable) -> None:
    try:
        await part.aclose()
    except Exception:
        # A connection that cannot be closed must not take the place of the asset that was made over it.
        log.exception("%s could not be closed", type(part).__name__)
