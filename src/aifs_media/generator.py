"""MediaGenerator: from a prompt to a media asset that is yours."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from decimal import Decimal
    from types import TracebackType
    from typing import Self, Unpack

    from aifs_media._jobs import Jobs
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


class MediaGenerator:
    """Turns prompts into verified files in your own storage.

    As a one-liner, or inside `async with`, which keeps connections open between calls:

        asset = await MediaGenerator.from_env().image("A serene mountain landscape at sunset")

    Args:
        providers: providers by name, or objects to use beside or instead of the built-in ones.
        storage: where assets go; by default as the settings say.
        ledger: the record of jobs; in memory by default.
        settings: see Settings; by default the process's environment.
        on_event: called with every event of every job, in order, on the loop's thread; see aifs_media.events.
        on_asset: awaited with every stored asset, at least once; a job is done only when it has returned, so that with a
            durable ledger another process calls it again after a crash. Commit your own records in it.
        clock: time; real by default.
    """

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
        self._providers = tuple(providers)
        self._storage = storage
        self._ledger = ledger
        self._settings = settings
        self._on_event = on_event
        self._on_asset = on_asset
        self._clock = clock
        self._made: Jobs | None = None
        self._held: list[AbstractAsyncContextManager[object]] = []

    @classmethod
    def from_env(
        cls,
        environ: Mapping[str, str] | None = None,
        *,
        env_file: str | os.PathLike[str] | None = None,
        on_event: OnEvent | None = None,
        **settings: str | float | None,
    ) -> Self:
        """Build a generator from environment names, a mapping or a `.env` file; see docs/configuration.md.

        Args:
            environ: a mapping to read instead of the process's environment.
            env_file: a `.env` file; the environment counts more.
            on_event: called with every event.
            settings: single settings by their lower-case names; they count most.

        Raises:
            ConfigurationError: a setting is unknown, incomplete or contradicts another.
        """
        from aifs_media.settings import Settings

        return cls(settings=Settings.from_env(environ, env_file=env_file, **settings), on_event=on_event)

    @property
    def _jobs(self) -> Jobs:
        if self._made is None:
            from aifs_media._jobs import Jobs
            from aifs_media._parts import Parts

            parts = Parts(
                providers=self._providers, storage=self._storage, ledger=self._ledger, settings=self._settings,
                clock=self._clock,
            )  # fmt: skip
            self._made = Jobs(parts, on_event=self._on_event, on_asset=self._on_asset)
        return self._made

    # -- media ---------------------------------------------------------------------------------------------------------

    async def image(self, prompt: str, **options: Unpack[ImageOptions]) -> Asset:
        """Make one image and store it.

        Args:
            prompt: what should be seen.
            options: above all `model`, `size` or `aspect_ratio`, `seed`, `image`, `options` (the model's own), `tags`, `timeout` and
                `job_id`; all of them with their meaning are in `aifs_media.call_options.ImageOptions`.

        Raises:
            UnsupportedOptionError: there is no such option, or the model does not take it; nothing was sent.
            MediaError: see aifs_media.errors for which error asks for what.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.one("image", prompt, options)

    async def images(self, prompt: str, *, n: int, **options: Unpack[ImageOptions]) -> list[Asset]:
        """Make several images of one prompt, in one create where the model can.

        Args:
            prompt: what should be seen.
            n: how many.
            options: as for `image`, see `aifs_media.call_options.ImageOptions`.

        Raises:
            PartialResultError: some were stored and others were not; it holds the ones that were.
            MediaError: none was stored.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.many("image", prompt, n, options)

    async def video(self, prompt: str | Script, **options: Unpack[VideoOptions]) -> Asset:
        """Make one video, from a prompt or a script, and store it.

        Args:
            prompt: what should be seen, or a script.
            options: above all `model`, `duration` and `fps`, `aspect_ratio` or `size`, `image` (a start frame), `options` (the model's
                own), `tags`, `timeout` and `job_id`; all of them with their meaning are in `aifs_media.call_options.VideoOptions`.

        Raises:
            UnsupportedOptionError: there is no such option, or the model does not take it; nothing was sent.
            MediaError: see aifs_media.errors for which error asks for what.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.one("video", prompt, options)

    # -- jobs ----------------------------------------------------------------------------------------------------------

    async def start(self, kind: Kind, prompt: str | Script, *, n: int = 1, **options: Unpack[VideoOptions]) -> Job:
        """Create a job and return as soon as the provider has accepted it. Keep the job as JSON if you like.

        Args:
            kind: "image" or "video".
            prompt: what should be seen, or a script.
            n: how many outputs, as many as the model makes in one create.
            options: as for `image` and `video`, see `aifs_media.call_options`.

        Raises:
            MediaError: it was refused, or its answer was lost.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.begin(kind, prompt, n, options)

    async def wait(self, job: Job, *, timeout: float | None = None) -> list[Asset]:
        """Wait for a job of `start` and return its assets.

        Args:
            job: what `start` returned, or the same kept as JSON.
            timeout: seconds to wait, by default as long as the job was made with; then the job is cancelled or goes on, as its
                `on_cancel` says. 0 looks once: the provider is asked one time, and a job that has not ended goes on, always.

        Raises:
            GenerationTimeoutError: the job has not ended in time.
            MediaError: the job cannot be brought to an end.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.finish(job, timeout=timeout)

    async def resume(self, job: Job | str, *, namespace: str = "", timeout: float | None = None) -> list[Asset]:
        """Go on with a job from wherever it stands: by its id in this ledger, or as a job kept elsewhere as JSON.

        Args:
            job: the job, or its id.
            namespace: whose job the id names.
            timeout: seconds to wait, as for `wait`. 0 looks once: the provider is asked one time, and nothing is sent or stopped.

        Raises:
            GenerationTimeoutError: the job has not ended in time.
            JobNotFoundError: the ledger has no job with that id.
            MediaError: the job cannot be brought to an end.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.finish(await self._jobs.load(job, namespace), timeout=timeout)

    async def recover(self, *, limit: int = 100) -> RecoveryReport:
        """Bring the unfinished jobs of this ledger to their ends, at most `limit`, those that expire soonest first.

        Call it at start-up where the ledger is durable: what a crash left behind is stored, or named in the report. A job
        that was never sent is not sent now.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.recover(limit=limit)

    async def jobs(
        self,
        *,
        namespace: str | None = None,
        tags: Mapping[str, str] | None = None,
        stages: Collection[Stage] | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """Return the jobs of this ledger that fit all that is given, newest first. `namespace=None` means every one."""
        async with self._jobs.parts.lease():
            return await self._jobs.search(namespace=namespace, tags=tags, stages=stages, limit=limit)

    async def adopt(self, name: str, *, kind: Kind, prompt: str = "", namespace: str = "") -> list[Asset]:
        """Store the media of a job that exists at a provider and in no ledger, by `provider:id`.

        Raises:
            JobNotFoundError: the provider does not know it.
            MediaError: it has no media, or they cannot be stored.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.adopt(name, kind, prompt, namespace)

    async def cancel(self, job: Job | str, *, namespace: str = "") -> Job:
        """Stop a job at its provider. A result that came first is stored and kept; look at `job.stage` and `job.assets`."""
        async with self._jobs.parts.lease():
            return await self._jobs.cancel(await self._jobs.load(job, namespace))

    async def receive_webhook(self, provider: str, headers: Mapping[str, str], body: bytes) -> Job | None:
        """Take a webhook of a provider: it wakes the call that waits for the job, which asks the provider before it acts.

        Args:
            provider: the provider's name, as it stands in the webhook's URL.
            headers: the request's headers, one value each; upper and lower case do not matter.
            body: the request's body as it arrived: the signature covers these very bytes.

        Returns:
            The job where nobody in this process waits for it, so that `resume(job)` should be called; else None: it came before,
            the job has ended, or is no job of this ledger.

        Raises:
            WebhookRefusedError: it is not from the provider, too old, too large or not readable.
            UnknownProviderError: there is no such provider.
            MediaError: it could not be checked or recorded; answer 503, and it is sent again.
        """
        async with self._jobs.parts.lease():
            return await self._jobs.receive(provider, headers, body)

    # -- text ----------------------------------------------------------------------------------------------------------

    async def text(self, prompt: str, *, system: str = "", model: str | None = None) -> TextResult:
        """Write a text. It is asked for once: a lost answer is an error. Raises ProviderError."""
        async with self._jobs.parts.lease():
            return await self._jobs.write(prompt, system=system, model=model)

    async def caption(
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
        """Write a caption with hashtags for a post about a topic. Raises UnexpectedResponseError if the answer is not one."""
        from aifs_media import _texts

        prompt = _texts.caption_prompt(
            topic, audience=audience, tone=tone, style=style, platform=platform, hashtag_count=hashtag_count
        )
        answer = await self.text(prompt, model=model)
        return _texts.parse_caption(answer.text, hashtag_count=hashtag_count)

    async def script(
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
        """Write a video script about a topic. Raises UnexpectedResponseError if the answer is not one."""
        from aifs_media import _texts

        prompt = _texts.script_prompt(
            topic, audience=audience, tone=tone, style=style, platform=platform, duration=duration
        )
        return _texts.parse_script((await self.text(prompt, model=model)).text)

    async def improve_prompt(
        self, prompt: str, *, kind: Kind = "image", style: str = "", model: str | None = None
    ) -> str:
        """Rewrite a prompt so that a model can do more with it. Raises UnexpectedResponseError."""
        from aifs_media import _texts

        answer = await self.text(_texts.improve_prompt_prompt(prompt, kind=kind, style=style), model=model)
        return _texts.parse_prompt(answer.text)

    # -- what is stored ------------------------------------------------------------------------------------------------

    async def url(self, asset: Asset, *, expires_in: float | None = None) -> ObjectURL:
        """Return where an asset can be fetched. `expires_in` seconds asks for a URL that ends by itself."""
        async with self._jobs.parts.lease():
            return await self._jobs.parts.storage.url(asset.object_key, expires_in=expires_in)

    async def delete(self, asset: Asset) -> None:
        """Remove an asset from the storage; one that is gone already is fine."""
        async with self._jobs.parts.lease():
            await self._jobs.parts.storage.delete(asset.object_key)

    # -- what there is -------------------------------------------------------------------------------------------------

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
        """Return the known models that can do what is given, as pairs of provider name and capability. Nobody is asked.

        Args:
            kind: "image" or "video"; both by default.
            duration: seconds of a video.
            size: pixels, or the nearest aspect ratio of models that take none.
            aspect_ratio: for example "9:16".
            image: whether it has to start from an image.
            max_cost: USD for one output by the published price; models without one are left out then.

        Raises:
            UnsupportedOptionError: no model could take one of these values.
        """
        from aifs_media._choosing import fitting, wanted

        asked = wanted(
            kind=kind, duration=duration, size=size, aspect_ratio=aspect_ratio, image=image, max_cost=max_cost
        )
        return fitting(self._jobs.parts.known(), asked)

    async def check(self) -> HealthReport:
        """Find out whether everything is set up: keys, storage, public URL, clock, settings. Spends nothing."""
        from aifs_media._health import health

        async with self._jobs.parts.lease():
            return await health(self._jobs.parts)

    # -- lifetime ------------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        lease = self._jobs.parts.lease()
        await lease.__aenter__()
        self._held.append(lease)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Which of several is given back does not matter: they only count.
        await self._held.pop().__aexit__(kind, error, trace)

    def __repr__(self) -> str:
        return f"MediaGenerator({self._settings!r})"
