"""Runway from the generator's door to the storage: made, waited for, cancelled, resumed, refused."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from PIL import Image
from tests.canaries import KEY

from aifs_media import (
    AuthenticationError,
    ContentRejectedError,
    DownloadError,
    GenerationFailedError,
    GenerationTimeoutError,
    JobCanceledError,
    JobNotFoundError,
    MediaGenerator,
    NoMediaError,
    PaymentRequiredError,
    RateLimitedError,
    Settings,
    SubmissionUncertainError,
    UnsafeURLError,
    UnsupportedOptionError,
)
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.records import Job

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media.events import Event
    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing import EmulatedClock
    from aifs_media.testing.emulator import Emulator


pytestmark = pytest.mark.anyio

PICTURE = "runway:gen4_image"
FILM = "runway:gen4.5"
TURBO = "runway:gen4_turbo"


def picture(side: int) -> bytes:
    """A PNG that does not compress."""
    out = io.BytesIO()
    Image.effect_noise((side, side), 90).convert("RGB").save(out, "PNG", compress_level=0)
    return out.getvalue()


@pytest.fixture
def durable(
    emulator: Emulator, clock: EmulatedClock, tmp_path: Path, storage: MemoryStorage
) -> Callable[[], MediaGenerator]:
    """Build generators that share one SQLite ledger, as processes of one host would."""

    def build() -> MediaGenerator:
        ledger = SqliteLedger(tmp_path / "jobs.db", clock=clock)
        settings = Settings.from_env(emulator.settings())
        return MediaGenerator(settings=settings, storage=storage, ledger=ledger, clock=clock)

    return build


# -- making ------------------------------------------------------------------------------------------------------------


async def test_an_image(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """Stored, measured, and what Runway charged for it."""
    asset = await media.image("a fox", model=PICTURE, aspect_ratio="16:9", seed=5)
    assert (asset.width, asset.height, asset.media_type) == (1280, 720, "image/png")
    assert (asset.cost.amount, asset.cost.currency, asset.cost.status) == (Decimal("0.05"), "USD", "reported")
    assert (asset.seed, asset.emulated, asset.warnings) == (5, True, ())
    assert list(storage.objects) == [asset.object_key]
    assert emulator.books().leaks == 0


async def test_several_images_share_the_cost(media: MediaGenerator, emulator: Emulator) -> None:
    """One task, two files."""
    assets = await media.images("a fox", n=2, model="runway:gpt_image_2")
    assert [asset.cost.amount for asset in assets] == [Decimal("0.2")] * 2
    assert emulator.books().creates == 1


async def test_a_video(media: MediaGenerator, emulator: Emulator, clock: EmulatedClock) -> None:
    """Of a text; nobody asks more than once in five seconds, throttled or not."""
    emulator.switches.latency, emulator.switches.runway_concurrency = 22, 1
    await media.start("video", "another fox", model=FILM, duration=2)
    asset = await media.video("a fox", model=FILM, duration=2)
    assert (asset.width, asset.height, asset.media_type) == (1280, 720, "video/mp4")
    assert asset.duration == pytest.approx(2, abs=0.05)
    assert asset.cost.amount == Decimal("0.24")
    assert clock.slept
    assert min(clock.slept) >= 5


async def test_a_small_start_image_goes_inside_the_request(media: MediaGenerator, emulator: Emulator) -> None:
    """As a data URI."""
    await media.start("video", "it runs", model=TURBO, image=picture(64), duration=2)
    sent = emulator.last_request("runway.create")
    assert sent.path == "/runway/v1/image_to_video"
    assert sent.json["promptImage"].startswith("data:image/png;base64,")  # type: ignore[index]
    assert emulator.books().requested("runway.upload") == ()


async def test_a_large_start_image_is_uploaded(media: MediaGenerator, emulator: Emulator) -> None:
    """4.3 MB would be more than 5 MiB as a data URI."""
    await media.start("video", "it runs", model=TURBO, image=picture(1200), duration=2)
    assert emulator.last_request("runway.create").json["promptImage"].startswith("runway://")  # type: ignore[index]
    assert not emulator.last_request("delivery.upload").authorized
    assert emulator.books().leaks == 0


async def test_a_reference_image(media: MediaGenerator, emulator: Emulator) -> None:
    """In the list of objects that Runway takes."""
    await media.start("image", "in the snow", model="runway:gen4_image_turbo", image="https://x.example/fox.png")
    sent: Any = emulator.last_request("runway.create").json
    assert sent["referenceImages"] == [{"uri": "https://x.example/fox.png"}]


async def test_a_place_for_uploads_that_must_not_be_reached(media: MediaGenerator, emulator: Emulator) -> None:
    """No create is sent, and nothing else."""
    place = {"runwayUri": "runway://x", "uploadUrl": "https://169.254.169.254/", "fields": {}}
    emulator.fault("runway.upload", "status", status=200, body=place)
    with pytest.raises(UnsafeURLError):
        await media.video("it runs", model=TURBO, image=picture(1200))
    assert emulator.books().requested("runway.create") == ()


async def test_what_a_model_does_not_do_is_refused_for_free(media: MediaGenerator, emulator: Emulator) -> None:
    """A start image that is missing, a size that needs one, a duration that is too long."""
    for options in ({"model": TURBO}, {"model": FILM, "duration": 11}, {"model": FILM, "size": "960x960"}):
        with pytest.raises(UnsupportedOptionError):
            await media.video("a fox", **options)  # type: ignore[arg-type]
    assert emulator.books().requested("runway.create") == ()


async def test_a_model_that_is_not_built_in(media: MediaGenerator, emulator: Emulator) -> None:
    """Unchecked, if the caller wants it so."""
    asset = await media.image("a fox", model="runway:seedream5_lite", size="1024x1024", check_options=False)
    assert asset.width == 1024
    assert emulator.last_request("runway.create").json["ratio"] == "1024:1024"  # type: ignore[index]


# -- cancelling and waiting --------------------------------------------------------------------------------------------


async def test_cancel(media: MediaGenerator, emulator: Emulator) -> None:
    """A task that ran is charged and says so; asking again changes nothing."""
    emulator.switches.latency = 100
    job = await media.start("video", "a fox", model=FILM, duration=2)
    ended = await media.cancel(job)
    assert ended.stage == "canceled"
    assert ended.failure is not None
    assert ended.failure.billed == "yes"
    assert ended.cost is not None
    assert (ended.cost.amount, ended.cost.status) == (Decimal("0.24"), "estimated")
    with pytest.raises(JobCanceledError):
        await media.wait(job)
    assert (emulator.books().cancels, emulator.books().billed("USD")) == (1, 0.24)


async def test_a_result_that_came_before_the_cancel_is_kept(media: MediaGenerator, emulator: Emulator) -> None:
    """It is paid for, and never deleted."""
    job = await media.start("image", "a fox", model=PICTURE)
    ended = await media.cancel(job)
    assert ended.stage == "stored"
    assert emulator.books().requested("runway.cancel") == ()


async def test_cancel_ends_a_wait_that_is_going_on(media: MediaGenerator, emulator: Emulator) -> None:
    """One task waits, another cancels; the one that waits finds the task gone, and knows why."""
    emulator.switches.latency = 1700
    job = await media.start("video", "a fox", model=FILM, duration=2)
    ended: list[str] = []

    async def waits() -> None:
        with pytest.raises(JobCanceledError):
            await media.wait(job, timeout=100_000)
        ended.append("waiting")

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(waits)
            while not emulator.books().requested("runway.get"):
                await anyio.sleep(0.001)
            assert (await media.cancel(job)).stage == "canceled"
    assert ended == ["waiting"]
    assert emulator.books().cancels == 1


async def test_a_wait_that_runs_out_cancels(media: MediaGenerator, emulator: Emulator) -> None:
    """With a ledger in memory, nobody could fetch it later."""
    emulator.switches.latency = 1000
    with pytest.raises(GenerationTimeoutError, match="was cancelled"):
        await media.video("a fox", model=FILM, duration=2, timeout=30)
    assert emulator.books().cancels == 1


async def test_a_cancel_that_does_not_stop_the_work(media: MediaGenerator, emulator: Emulator) -> None:
    """Runway promises no more than to try: the task is looked at in its own rhythm, and a late success is kept."""
    emulator.switches.latency = 100
    job = await media.start("image", "a fox", model=PICTURE)
    emulator.fault("runway.cancel", "status", status=204, body="")
    assert (await media.cancel(job)).stage == "submitted"
    # One look before the cancel, three within the ten seconds after it.
    assert len(emulator.books().requested("runway.get")) <= 4
    assert (await media.resume(job.job_id))[0].width == 1280
    assert emulator.books().cancels == 0


async def test_a_process_that_died_while_cancelling(durable: Callable[[], MediaGenerator], emulator: Emulator) -> None:
    """The answer to the cancel was lost with the process: the next one finds the task gone, and says what it was."""
    emulator.switches.latency = 1000
    first = durable()
    job = await first.start("video", "a fox", model=FILM, duration=2)
    emulator.fault("runway.cancel", "drop_after")
    assert (await first.cancel(job)).stage == "submitted"
    with pytest.raises(JobCanceledError, match="does not know it any more"):
        await durable().resume(job.job_id)
    assert emulator.books().cancels == 1


async def test_a_task_that_is_gone_without_our_doing(media: MediaGenerator, emulator: Emulator) -> None:
    """Is not called cancelled: the key may be another organization's."""
    job = await media.start("image", "a fox", model=PICTURE)
    emulator.fault("runway.get", "not_found_grace")
    with pytest.raises(JobNotFoundError):
        await media.wait(job)
    assert (await media.resume(job.job_id))[0].width == 1280


# -- going on later ----------------------------------------------------------------------------------------------------


async def test_another_process_finishes_a_job(durable: Callable[[], MediaGenerator], emulator: Emulator) -> None:
    """From the ledger, with one create."""
    emulator.switches.latency = 30
    job = await durable().start("image", "a fox", model=PICTURE)
    report = await durable().recover()
    assert [asset.job_id for asset in report.assets] == [job.job_id]
    assert report.assets[0].cost.amount == Decimal("0.05")
    assert emulator.books().creates == 1


async def test_a_job_goes_on_from_its_json(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """Without a shared ledger."""
    job = await make().start("image", "a fox", model=PICTURE)
    (asset,) = await make().resume(Job.model_validate_json(json.dumps(json.loads(job.model_dump_json()))))
    assert asset.job_id == job.job_id
    assert emulator.books().creates == 1


async def test_a_task_is_adopted(media: MediaGenerator, emulator: Emulator) -> None:
    """By its id, for example from Runway's dashboard."""
    job = await media.start("image", "a fox", model=PICTURE)
    (asset,) = await media.adopt(f"runway:{job.ref}", kind="image", prompt="a fox")
    assert asset.width == 1280
    assert emulator.books().creates == 1


async def test_links_that_have_expired_are_renewed(
    make: Callable[..., MediaGenerator], emulator: Emulator, storage: MemoryStorage
) -> None:
    """Two days later the task is asked again, and gives fresh ones."""
    media = make()
    emulator.fault("delivery.get", "status", status=500, times=3)
    with pytest.raises(DownloadError):
        await media.image("a fox", model=PICTURE, job_id="one")
    emulator.advance(48 * 3600)
    (asset,) = await media.resume("one")
    assert list(storage.objects) == [asset.object_key]
    assert emulator.books().creates == 1


async def test_a_task_that_is_gone_with_its_output(media: MediaGenerator, emulator: Emulator) -> None:
    """It was paid for: that is said, and the job stays open as long as anybody could still find it."""
    emulator.fault("delivery.get", "status", status=500, times=3)
    with pytest.raises(DownloadError):
        await media.image("a fox", model=PICTURE, job_id="one")
    emulator.fault("delivery.get", "expired", times=9)
    emulator.fault("runway.get", "not_found_grace", times=9)
    with pytest.raises(JobNotFoundError, match="deleted"):
        await media.resume("one")
    emulator.clear_faults()
    assert (await media.resume("one"))[0].width == 1280
    assert emulator.books().creates == 1


# -- refusals and failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "half_body", "truncated"])
async def test_a_lost_answer_is_uncertain(media: MediaGenerator, emulator: Emulator, kind: Any) -> None:
    """Runway has no list of tasks: it is said, and not sent again, not even for the same job id."""
    emulator.fault("runway.create", kind)
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError) as lost:
            await media.image("a fox", model=PICTURE, job_id="one")
        assert lost.value.maybe_billed
    assert len(emulator.books().requested("runway.create")) == 1


async def test_load_that_is_shed_is_sent_again(media: MediaGenerator, emulator: Emulator) -> None:
    """502, 503 and a rate limit accept nothing."""
    for status in (502, 503):
        emulator.fault("runway.create", "status", status=status)
    assert (await media.image("a fox", model=PICTURE)).width == 1280
    emulator.fault("runway.create", "status", status=429, body={"error": "Slow down."})
    assert (await media.image("a fox", model=PICTURE)).width == 1280
    assert emulator.books().creates == 2


async def test_the_daily_limit(media: MediaGenerator, emulator: Emulator) -> None:
    """Is told at once."""
    emulator.fault("runway.create", "status", status=429, times=9)
    with pytest.raises(RateLimitedError, match="daily task limit"):
        await media.image("a fox", model=PICTURE)
    assert len(emulator.books().requested("runway.create")) == 1


async def test_no_credit(media: MediaGenerator, emulator: Emulator) -> None:
    """A 400 that is about money."""
    emulator.switches.runway_credits = 0
    with pytest.raises(PaymentRequiredError, match=r"dev\.runwayml\.com"):
        await media.image("a fox", model=PICTURE)


async def test_a_wrong_key(make: Callable[..., MediaGenerator]) -> None:
    """The error names the setting."""
    with pytest.raises(AuthenticationError, match="RUNWAYML_API_SECRET"):
        await make(runwayml_api_secret=KEY).image("a fox", model=PICTURE)


async def test_moderation(media: MediaGenerator, emulator: Emulator) -> None:
    """It costs as much as a success."""
    emulator.fault("runway.create", "moderated")
    with pytest.raises(ContentRejectedError) as refused:
        await media.image("a fox", model=PICTURE, job_id="one")
    assert refused.value.maybe_billed
    (job,) = await media.jobs()
    assert job.cost is not None
    assert job.cost.amount == Decimal("0.05")
    assert emulator.books().billed("USD") == 0.05


async def test_a_generation_that_failed(media: MediaGenerator, emulator: Emulator) -> None:
    """Refunded, and worth another try."""
    emulator.fault("runway.create", "failed", text="INTERNAL.BAD_OUTPUT.CODE01")
    with pytest.raises(GenerationFailedError, match=r"INTERNAL\.BAD_OUTPUT") as failed:
        await media.image("a fox", model=PICTURE)
    assert (failed.value.retryable, failed.value.maybe_billed) == (True, False)


async def test_success_without_a_file(media: MediaGenerator, emulator: Emulator, events: list[Event]) -> None:
    """No empty asset."""
    emulator.fault("runway.create", "empty_output")
    with pytest.raises(NoMediaError) as nothing:
        await media.image("a fox", model=PICTURE)
    assert nothing.value.maybe_billed
    assert events


async def test_check(make: Callable[..., MediaGenerator]) -> None:
    """The credits that are left, for nothing."""
    report = await make(video_provider="runway").check()
    (found,) = [check for check in report.checks if check.name == "runway"]
    assert found.ok
    assert found.facts == {"credits": 10_000}
