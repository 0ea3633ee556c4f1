"""SyncMediaGenerator: the same methods for code without an event loop of its own.

Works in a script, in a notebook whose loop is running, and from several threads at once. The work is done on one event loop
in one thread, which lives while a call or a `with` block holds it.
"""

from __future__ import annotations

import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, TypeVar

from aifs_media.generator import MediaGenerator

if TYPE_CHECKING:
    import os
    from collections.abc import Awaitable, Callable, Collection, Generator, Mapping, Sequence
    from decimal import Decimal
    from types import TracebackType
    from typing import Self, Unpack

    from anyio.from_thread import BlockingPortal

    from aifs_media._pipeline import OnAsset
    from aifs_media._row import OnEvent
    from aifs_media.call_options import ImageOptions, VideoOptions
    from aifs_media.protocols import Clock, Ledger, MediaProvider, Storage
    from aifs_media.records import (
        Asset,
        Capability,
        Caption,
        HealthReport,
        Job,
        Kind,
        ObjectURL,
        Script,
        Size,
        Stage,
        TextResult,
    )
    from aifs_media.recovery import RecoveryReport
    from aifs_media.settings import Settings

T = TypeVar("T")

INTERRUPT_LIMIT = 45.0
"""Seconds that Ctrl-C waits for the job to be stopped at the provider, or for a paid result to be kept."""


class SyncMediaGenerator:
    """MediaGenerator without `await`. Takes the same arguments; see there for each method."""

    def __init__(
        self,
        *,
        providers: Sequence[MediaProvider] = (),
        storage: Storage | None = None,
        ledger: Ledger | None = None,
        settings: Settings | None = None,
        on_event: OnEvent | None = None,
        on_asset: OnAsset | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._wrap(
            MediaGenerator(
                providers=providers,
                storage=storage,
                ledger=ledger,
                settings=settings,
                on_event=on_event,
                on_asset=on_asset,
                clock=clock,
            )
        )

    def _wrap(self, generator: MediaGenerator) -> None:
        self._media = generator
        self._lock = threading.Lock()
        self._users = 0
        self._stack: ExitStack | None = None
        self._portal: BlockingPortal | None = None

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        env_file: str | os.PathLike[str] | None = None,
        on_event: OnEvent | None = None,
        **settings: str | float | None,
    ) -> Self:
        """Build a generator from the environment; see MediaGenerator.from_env."""
        self = cls.__new__(cls)
        self._wrap(MediaGenerator.from_env(environ, env_file=env_file, on_event=on_event, **settings))
        return self

    # -- media ---------------------------------------------------------------------------------------------------------

    def image(self, prompt: str, **options: Unpack[ImageOptions]) -> Asset:
        """Make one image and store it. The options are in `aifs_media.call_options.ImageOptions`: `model`, `size`, `seed`, ..."""
        return self._call(lambda: self._media.image(prompt, **options))

    def images(self, prompt: str, *, n: int, **options: Unpack[ImageOptions]) -> list[Asset]:
        """Make several images of one prompt. The options are in `aifs_media.call_options.ImageOptions`: `model`, `size`, ..."""
        return self._call(lambda: self._media.images(prompt, n=n, **options))

    def video(self, prompt: str | Script, **options: Unpack[VideoOptions]) -> Asset:
        """Make one video and store it. The options are in `aifs_media.call_options.VideoOptions`: `model`, `duration`, ..."""
        return self._call(lambda: self._media.video(prompt, **options))

    # -- jobs ----------------------------------------------------------------------------------------------------------

    def start(self, kind: Kind, prompt: str | Script, *, n: int = 1, **options: Unpack[VideoOptions]) -> Job:
        """Create a job and return as soon as the provider has accepted it. The options are in `aifs_media.call_options`."""
        return self._call(lambda: self._media.start(kind, prompt, n=n, **options))

    def wait(self, job: Job, *, timeout: float | None = None) -> list[Asset]:
        """Wait for a job of `start` and return its assets. `timeout=0` looks once, and the job goes on."""
        return self._call(lambda: self._media.wait(job, timeout=timeout))

    def resume(self, job: Job | str, *, namespace: str = "", timeout: float | None = None) -> list[Asset]:
        """Go on with a job from wherever it stands. `timeout=0` looks once, and the job goes on."""
        return self._call(lambda: self._media.resume(job, namespace=namespace, timeout=timeout))

    def recover(self, *, limit: int = 100) -> RecoveryReport:
        """Bring the unfinished jobs of this ledger to their ends."""
        return self._call(lambda: self._media.recover(limit=limit))

    def jobs(
        self,
        *,
        namespace: str | None = None,
        tags: Mapping[str, str] | None = None,
        stages: Collection[Stage] | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Return the jobs of this ledger that fit, newest first."""
        return self._call(lambda: self._media.jobs(namespace=namespace, tags=tags, stages=stages, limit=limit))

    def adopt(self, name: str, *, kind: Kind, prompt: str = "", namespace: str = "") -> list[Asset]:
        """Store the media of a job that exists at a provider and in no ledger."""
        return self._call(lambda: self._media.adopt(name, kind=kind, prompt=prompt, namespace=namespace))

    def cancel(self, job: Job | str, *, namespace: str = "") -> Job:
        """Stop a job at its provider."""
        return self._call(lambda: self._media.cancel(job, namespace=namespace))

    def receive_webhook(self, provider: str, headers: Mapping[str, str], body: bytes) -> Job | None:
        """Take a webhook of a provider; return the job that `resume` should be called with, if there is one."""
        return self._call(lambda: self._media.receive_webhook(provider, headers, body))

    # -- text ----------------------------------------------------------------------------------------------------------

    def text(self, prompt: str, *, system: str = "", model: str | None = None) -> TextResult:
        """Write a text."""
        return self._call(lambda: self._media.text(prompt, system=system, model=model))

    def caption(
        self,
        topic: str,
        *,
        audience: str = "",
        tone: str = "",
        style: str = "",
        platform: str = "",
        hashtag_count: int = 5,
        model: str | None = None,
    ) -> Caption:
        """Write a caption with hashtags."""
        return self._call(
            lambda: self._media.caption(
                topic,
                audience=audience,
                tone=tone,
                style=style,
                platform=platform,
                hashtag_count=hashtag_count,
                model=model,
            )
        )

    def script(
        self,
        topic: str,
        *,
        audience: str = "",
        tone: str = "",
        style: str = "",
        platform: str = "",
        duration: float | None = None,
        model: str | None = None,
    ) -> Script:
        """Write a video script."""
        return self._call(
            lambda: self._media.script(
                topic, audience=audience, tone=tone, style=style, platform=platform, duration=duration, model=model
            )
        )

    def improve_prompt(self, prompt: str, *, kind: Kind = "image", style: str = "", model: str | None = None) -> str:
        """Rewrite a prompt so that a model can do more with it."""
        return self._call(lambda: self._media.improve_prompt(prompt, kind=kind, style=style, model=model))

    # -- what is stored, and what there is -----------------------------------------------------------------------------

    def url(self, asset: Asset, *, expires_in: float | None = None) -> ObjectURL:
        """Return where an asset can be fetched."""
        return self._call(lambda: self._media.url(asset, expires_in=expires_in))

    def delete(self, asset: Asset) -> None:
        """Remove an asset from the storage."""
        self._call(lambda: self._media.delete(asset))

    def models(
        self,
        kind: Kind | None = None,
        *,
        duration: float | None = None,
        size: str | Size | None = None,
        aspect_ratio: str | None = None,
        image: bool = False,
        max_cost: Decimal | float | str | None = None,
    ) -> list[tuple[str, Capability]]:
        """Return the known models that can do what is given, without asking anyone."""
        return self._media.models(
            kind, duration=duration, size=size, aspect_ratio=aspect_ratio, image=image, max_cost=max_cost
        )

    def check(self) -> HealthReport:
        """Find out whether everything is set up. Spends nothing."""
        return self._call(self._media.check)

    # -- lifetime ------------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        self._acquire(hold=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._release()

    def _call(self, method: Callable[[], Awaitable[T]]) -> T:
        with self._thread() as portal:
            ended = threading.Event()

            async def run() -> T:
                try:
                    return await method()
                finally:
                    ended.set()

            future = portal.start_task_soon(run)
            try:
                return future.result()
            except KeyboardInterrupt:
                # Cancelling reaches the provider; leaving before that would let the job run on and be billed.
                future.cancel()
                ended.wait(INTERRUPT_LIMIT)
                raise

    @contextmanager
    def _thread(self) -> Generator[BlockingPortal]:
        portal = self._acquire(hold=False)
        try:
            yield portal
        finally:
            self._release()

    def _acquire(self, *, hold: bool) -> BlockingPortal:
        with self._lock:
            if self._portal is None:
                from anyio.from_thread import start_blocking_portal

                with ExitStack() as stack:
                    self._portal = stack.enter_context(start_blocking_portal())
                    self._stack = stack.pop_all()
            self._users += 1
            portal, stack_held = self._portal, self._stack
        if hold and stack_held is not None:
            try:
                stack_held.enter_context(portal.wrap_async_context_manager(self._media))
            except (
                BaseException
            ):  # nobody will leave a block that was not entered, and the loop's thread would stay for ever
                self._release(*sys.exc_info())
                raise
        return portal

    def _release(
        self,
        kind: type[BaseException] | None = None,
        error: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._stack is not None:
                # Within the lock, so that no other thread begins on a second loop while the first still holds the connections.
                stack, self._stack, self._portal = self._stack, None, None
                # With the error, so that what is still under way on the loop is cancelled and not waited for.
                stack.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        return f"Sync{self._media!r}"
