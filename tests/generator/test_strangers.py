"""Parts written by strangers, answers that make no sense, and callers who meet: nothing is paid twice, nothing paid is lost."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from PIL import Image

from aifs_media import (
    DownloadError,
    GenerationTimeoutError,
    JobCanceledError,
    MediaGenerator,
    NoMediaError,
    PartialResultError,
    Settings,
    SubmissionUncertainError,
    UnexpectedResponseError,
    UploadError,
)
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.providers.poe import PoeProvider
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.records import Succeeded
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media import Asset
    from aifs_media.testing import EmulatedClock
    from aifs_media.testing.emulator import Emulator


pytestmark = pytest.mark.anyio

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


@pytest.mark.parametrize("body", ["<html>a proxy's page</html>", "[]", '{"choices": []}'])
async def test_an_answer_without_sense_is_no_refusal(
    make: Callable[..., MediaGenerator], emulator: Emulator, body: str
) -> None:
    """A 200 that is no chat completion may hide a paid one: it is not sent again, not even for the same job id later."""
    emulator.fault("poe.chat", "status", status=200, body=body)
    media = make(image_provider="poe")
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError):
            await media.image("a fox", job_id="one")
    assert len(emulator.books().requested("poe.chat")) == 1


async def test_a_redirected_create_is_no_refusal(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """Where a create was redirected to nobody knows; the key is not sent after it."""
    emulator.fault("poe.chat", "redirect", url=f"{emulator.delivery_url}/elsewhere")
    with pytest.raises(SubmissionUncertainError):
        await make(image_provider="poe").image("a fox")
    assert emulator.books().leaks == 0


async def test_retry_is_bounded_for_the_life_of_a_job(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """Who accepts a second payment does not accept any number of them."""
    emulator.fault("poe.chat", "drop_after", times=50)
    media = make(image_provider="poe")
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError):
            await media.image("a fox", job_id="one", on_unknown="retry")
    assert emulator.books().creates == 3


async def test_a_wait_that_ends_before_the_create_says_that_nothing_is_billed(
    media: MediaGenerator, emulator: Emulator
) -> None:
    """The upload of the start frame took all the time: no create has left."""
    out = io.BytesIO()
    Image.effect_noise((800, 800), 90).save(out, "PNG")
    emulator.fault("replicate.files", "hang")
    with pytest.raises(GenerationTimeoutError, match="nothing is billed"):
        await media.video("it runs", model="replicate:minimax/video-01", image=out.getvalue(), timeout=0.3)
    assert emulator.books().requested("replicate.create") == ()


async def test_cancel_ends_a_wait_that_is_going_on(media: MediaGenerator, emulator: Emulator) -> None:
    """One task waits, another cancels: the provider hears of it at once, and the waiting one is told."""
    emulator.switches.latency = 1700
    job = await media.start("video", "a fox", model=FILM, duration=1)
    ended: list[str] = []

    async def waits() -> None:
        with pytest.raises(JobCanceledError):
            await media.wait(job, timeout=100_000)
        ended.append("waiting")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(waits)
            while not emulator.books().requested("replicate.get"):
                await anyio.sleep(0.001)
            assert (await media.cancel(job)).stage == "canceled"
    assert ended == ["waiting"]
    assert emulator.books().cancels == 1


async def test_cancel_of_a_lost_create_finds_and_stops_it(media: MediaGenerator, emulator: Emulator) -> None:
    """Nobody knows the job's name yet: it is looked for, then stopped."""
    emulator.switches.latency = 1700
    emulator.fault("replicate.create", "drop_after")
    emulator.fault("replicate.list", "status", status=500, times=30)
    with pytest.raises(SubmissionUncertainError):
        await media.video("a fox", model=FILM, duration=1, timeout=5, job_id="one")
    emulator.clear_faults()
    assert (await media.cancel("one")).stage == "canceled"
    assert (emulator.books().creates, emulator.books().cancels) == (1, 1)


async def test_a_cancelled_start_cancels_at_the_provider(media: MediaGenerator, emulator: Emulator) -> None:
    """The caller left before it had a job to cancel."""
    emulator.switches.latency = 10_000
    with anyio.move_on_after(0.3) as scope:
        await media.start("image", "a fox")
    assert scope.cancelled_caught
    assert (emulator.books().creates, emulator.books().cancels) == (1, 1)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
async def test_a_refused_fetch_of_a_fresh_output_is_not_its_end(
    media: MediaGenerator, emulator: Emulator, status: int
) -> None:
    """The provider still has it: the job can be resumed, and is not given up."""
    emulator.fault("delivery.get", "status", status=status, times=50)
    with pytest.raises(DownloadError):
        await media.image("a fox", job_id="one")
    emulator.clear_faults()
    assert len(await media.resume("one")) == 1
    assert emulator.books().creates == 1


class Stumbling(ReplicateProvider):
    """An adapter with a mistake in it."""

    async def poll(self, ref: Any) -> Any:
        """Stumble over the answer."""
        raise KeyError("state")


async def test_an_adapter_that_stumbles_loses_no_job(emulator: Emulator, clock: EmulatedClock) -> None:
    """Its error is typed, the job stays where it is, and a mended adapter brings it home."""
    emulator.switches.latency = 5
    settings = Settings.from_env(emulator.settings())
    ledgerless = MemoryStorage()
    broken = Stumbling.from_settings(settings.environ())
    media = MediaGenerator(providers=[broken], settings=settings, storage=ledgerless, clock=clock)
    job = await media.start("video", "a fox", model=FILM, duration=1)
    with pytest.raises(UnexpectedResponseError, match="KeyError"):
        await media.wait(job)
    assert emulator.books().cancels == 0
    mended = MediaGenerator(settings=settings, storage=ledgerless, clock=clock)
    assert len(await mended.resume(job)) == 1


class Empty(ReplicateProvider):
    """An adapter that takes any success for one."""

    async def submit(self, request: Any, *, submit_key: str) -> Any:
        """Report a success without any output."""
        return Succeeded(outputs=(), ref="one")


async def test_a_success_without_media_is_an_error(emulator: Emulator, storage: MemoryStorage) -> None:
    """No empty list and no empty asset: it failed, now and for whoever asks again."""
    settings = Settings.from_env(emulator.settings())
    media = MediaGenerator(providers=[Empty.from_settings(settings.environ())], settings=settings, storage=storage)
    for _ in range(2):
        with pytest.raises(NoMediaError) as nothing:
            await media.images("a fox", n=2, job_id="one")
        assert nothing.value.maybe_billed
    assert storage.objects == {}


class Forgetful(PoeProvider):
    """An adapter that cannot tell costs."""

    async def report_cost(self, request: Any, attempt: Any) -> Any:
        """Stumble."""
        raise KeyError("points")


async def test_a_cost_that_cannot_be_told_costs_no_asset(emulator: Emulator) -> None:
    """The figure is no report; the asset is there."""
    settings = Settings.from_env(emulator.settings())
    media = MediaGenerator(
        providers=[Forgetful.from_settings(settings.environ())], settings=settings, storage=MemoryStorage()
    )
    asset = await media.image("a fox", model="poe:imagen-4")
    assert asset.cost.status == "estimated"


class Odd(MemoryStorage):
    """A storage that fails in its own words, for one of the outputs."""

    async def put(self, object_key: str, source: Any, *, media_type: str, labels: Any) -> Any:
        """Refuse the second output."""
        if object_key.rpartition(".")[0].endswith("-1"):
            raise ValueError("odd")
        return await super().put(object_key, source, media_type=media_type, labels=labels)


async def test_a_storage_that_raises_anything_keeps_the_other_outputs(emulator: Emulator, clock: EmulatedClock) -> None:
    """One typed error, three assets kept."""
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=Odd(), clock=clock)
    with pytest.raises(PartialResultError) as partial:
        await media.images("a fox", n=4)
    assert len(partial.value.assets) == 3
    assert isinstance(partial.value.failed[1], UploadError)


async def test_a_partial_result_is_handed_over_too(
    emulator: Emulator, clock: EmulatedClock, tmp_path: Path, storage: MemoryStorage
) -> None:
    """The host gets what was stored, also when the rest is gone for good, and the job comes to its end."""
    taken: list[Asset] = []

    async def take(asset: Asset) -> None:
        taken.append(asset)

    media = MediaGenerator(
        settings=Settings.from_env(emulator.settings()),
        storage=storage,
        ledger=SqliteLedger(tmp_path / "jobs.db", clock=clock),
        clock=clock,
        on_asset=take,
    )
    emulator.fault("delivery.get", "status", status=500, times=50, match="out-1")
    with pytest.raises(PartialResultError):
        await media.images("a fox", n=2, job_id="two")
    assert [asset.index for asset in taken] == [0]
    emulator.clear_faults()
    emulator.advance(2 * 3600)
    with pytest.raises(PartialResultError):
        await media.resume("two")
    assert (await media.jobs())[0].stage == "stored"
    assert (await media.recover()).failed == {}


class Slow(MemoryStorage):
    """A storage that takes its time to close, and minds being used meanwhile."""

    closing = False

    async def put(self, object_key: str, source: Any, *, media_type: str, labels: Any) -> Any:
        """Store, unless it is being closed."""
        assert not self.closing
        return await super().put(object_key, source, media_type=media_type, labels=labels)

    async def aclose(self) -> None:
        """Take a moment."""
        self.closing = True
        await anyio.sleep(0.3)
        self.closing = False


async def test_a_call_that_begins_while_another_closes_waits(emulator: Emulator) -> None:
    """Connections are never closed under a call that has just begun."""
    storage = Slow()
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=storage)

    async def second() -> None:
        while not storage.closing:
            await anyio.sleep(0.001)
        assert (await media.image("another fox")).width == 1024

    async with anyio.create_task_group() as group:
        group.start_soon(second)
        await media.image("a fox")
    assert len(storage.objects) == 2


class Unclosable(MemoryStorage):
    """A storage that cannot be closed."""

    async def aclose(self) -> None:
        """Fail."""
        raise OSError("no")


async def test_a_part_that_cannot_be_closed_costs_no_asset(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged; the asset is returned."""
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=Unclosable())
    assert (await media.image("a fox")).width == 1024
    assert "could not be closed" in caplog.text


async def test_one_generator_held_by_two_tasks(emulator: Emulator) -> None:
    """Two blocks at once hold it twice; the one that ends first closes nothing."""
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())
    async with media:
        async with media:
            await media.image("a fox")
        assert media._jobs.parts._leases == 1
        await media.image("a fox")
    assert media._jobs.parts._leases == 0
