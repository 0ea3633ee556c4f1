"""The public API as type checkers see it. Checked by mypy and pyright, never run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Unpack, assert_type

from pydantic import JsonValue

import aifs_media
from aifs_media import (
    Asset,
    Capability,
    Caption,
    Check,
    Cost,
    HealthReport,
    Job,
    MediaError,
    MediaGenerator,
    MediaRequest,
    ObjectURL,
    PartialResultError,
    Script,
    Settings,
    Size,
    SyncMediaGenerator,
    TextResult,
    UnsupportedOptionError,
    toolkit,
)
from aifs_media.events import Event, Stored
from aifs_media.protocols import Cancellable, Clock, Ledger, MediaProvider, Pollable, Storage, role
from aifs_media.storage.local import LocalStorage
from aifs_media.storage.memory import MemoryStorage
from aifs_media.storage.s3 import S3Storage
from aifs_media.testing import FakeClock, FakeProvider, ProviderContract, Reply, ServedJob, Service, forbid_spending

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from aifs_media.call_options import ImageOptions, VideoOptions


async def media(generator: MediaGenerator, script: Script) -> None:
    assert_type(await generator.image("a fox"), Asset)
    assert_type(await generator.images("a fox", n=4, size="1024x1024", seed=7), list[Asset])
    assert_type(await generator.video("a fox", duration=8, fps=24, image=Path("frame.png")), Asset)
    asset = await generator.video(script, image=b"...", timeout=600, on_cancel="detach")
    assert_type(await generator.video("a fox", image=asset), Asset)
    await generator.image(
        "a fox",
        model="replicate:black-forest-labs/flux-schnell",
        size=Size(width=1024, height=768),
        options={"num_inference_steps": 4, "megapixels": "1"},
        check_options=False,
        tags={"tenant": "acme"},
        job_id="order-1",
        namespace="acme",
        output_format="png",
        negative_prompt="people",
    )
    await generator.image("a fox", aspect_ratio="16:9", seed=None)


async def passed_on(generator: MediaGenerator, prompt: str, **options: Unpack[VideoOptions]) -> Asset:
    return await generator.video(prompt, **options)


async def image_passed_on(generator: MediaGenerator, prompt: str, **options: Unpack[ImageOptions]) -> list[Asset]:
    return await generator.images(prompt, n=2, **options)


async def refused(generator: MediaGenerator) -> None:
    await generator.image("a fox", sise="1024x1024")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await generator.image("a fox", duration=8)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await generator.image("a fox", on_cancel="wait")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    await generator.images("a fox")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    await generator.start("sound", "a fox")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert aifs_media.MediaGenerater  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]


async def jobs(generator: MediaGenerator) -> None:
    job = await generator.start("image", "a fox", n=2, seed=7)
    assert_type(job, Job)
    assert_type(await generator.wait(job, timeout=90), list[Asset])
    assert_type(await generator.resume("order-1", namespace="acme"), list[Asset])
    assert_type(await generator.resume(Job.model_validate_json(job.model_dump_json())), list[Asset])
    assert_type(await generator.cancel(job), Job)
    assert_type(job.assets, tuple[Asset, ...])
    assert_type(job.ref, JsonValue)
    assert_type(job.request, MediaRequest)


async def texts(generator: MediaGenerator) -> None:
    assert_type(await generator.text("three colours", system="a painter", model="poe:gpt-5.4-mini"), TextResult)
    caption = await generator.caption("tea", audience="students", platform="Instagram", hashtag_count=3)
    assert_type(caption, Caption)
    assert_type(caption.hashtags, tuple[str, ...])
    assert_type(await generator.script("tea", tone="calm", duration=8), Script)
    assert_type(await generator.improve_prompt("a tea pot", kind="video"), str)


async def stored(generator: MediaGenerator, asset: Asset) -> None:
    assert_type(await generator.url(asset, expires_in=3600), ObjectURL)
    assert_type(await generator.delete(asset), None)
    assert_type(asset.cost, Cost)
    report = await generator.check()
    assert_type(report, HealthReport)
    assert_type(report.checks, tuple[Check, ...])
    assert_type(generator.models("image"), list[tuple[str, Capability]])


async def lifetimes() -> None:
    async with MediaGenerator.from_env(
        {"POE_API_KEY": "..."}, env_file=Path(".env"), media_image_timeout=90
    ) as generator:
        assert_type(generator, MediaGenerator)
    held: AbstractAsyncContextManager[MediaGenerator] = generator
    del held


def construction(provider: MediaProvider, storage: Storage, ledger: Ledger) -> None:
    MediaGenerator(
        providers=[provider],
        storage=storage,
        ledger=ledger,
        settings=Settings(replicate_api_key="..."),
        on_event=told,
    )
    storages: Sequence[Storage] = (
        LocalStorage("media"),
        MemoryStorage(),
        S3Storage.r2(bucket="media", account_id="0", access_key_id="0", secret_access_key="0"),
    )
    del storages
    assert_type(role(provider, Pollable), Pollable | None)


def told(event: Event) -> None:
    if isinstance(event, Stored):
        assert_type(event.cost, Cost)
    assert_type(event.seq, int)


def synchronous(generator: SyncMediaGenerator, **options: Unpack[VideoOptions]) -> None:
    assert_type(generator.image("a fox", size="1024x1024"), Asset)
    assert_type(generator.images("a fox", n=2), list[Asset])
    assert_type(generator.video("a fox", **options), Asset)
    assert_type(generator.wait(generator.start("video", "a fox")), list[Asset])
    assert_type(generator.text("three colours"), TextResult)
    assert_type(generator.caption("tea"), Caption)
    assert_type(generator.check(), HealthReport)
    with SyncMediaGenerator.from_env() as held:
        assert_type(held, SyncMediaGenerator)


def errors(error: MediaError) -> None:
    assert_type(error.retry_after, float | None)
    assert_type(error.http_status, int)
    if isinstance(error, PartialResultError):
        assert_type(error.assets, tuple[Asset, ...])
        assert_type(error.failed, dict[int, MediaError])
    if isinstance(error, UnsupportedOptionError):
        assert_type(error.option, str)


class Provider(toolkit.HttpProvider):
    """A provider by its smallest form."""

    name = "mine"
    base_url = "https://api.mine.example"
    capabilities = (toolkit.Capability(kind="image", model="one"),)

    async def submit(self, request: toolkit.MediaRequest, *, submit_key: str) -> toolkit.Succeeded:
        del submit_key
        answer = await self.call("POST", "/make", json=dict(request.inputs))
        assert_type(answer, JsonValue)
        return toolkit.Succeeded(outputs=(toolkit.InlineFile(data=b"..."),))


def third_party(environ: dict[str, str]) -> MediaProvider:
    provider: MediaProvider = Provider.from_settings(environ)
    return provider


def takes_pollable(part: Pollable) -> None:
    """Take what can be polled."""


def takes_cancellable(part: Cancellable) -> None:
    """Take what can be cancelled."""


def kit() -> None:
    """The fakes are what they stand in for."""
    provider: MediaProvider = FakeProvider([MediaError("no"), toolkit.Pending(ref=None)], name="replicate")
    takes_pollable(FakeProvider())
    takes_cancellable(FakeProvider())
    clock: Clock = FakeClock()
    with forbid_spending():
        MediaGenerator(providers=[provider], clock=clock)


class Contract(ProviderContract):
    """A provider's tests, typed."""

    create = "POST /jobs"

    def make_provider(self, service: Service) -> MediaProvider:
        """Build it."""
        return third_party(service.settings("ACME"))

    def answer(self, job: ServedJob) -> JsonValue | Reply:
        """Show a job."""
        return Reply(201, {"id": job.id}) if job.call == "create" else {"id": job.id, "urls": list(job.files)}
