"""From a prompt to an asset through fal's queue, and what becomes of it when things go wrong."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import anyio
import pytest
from tests.canaries import KEY
from tests.servers.inbox import Inbox

from aifs_media import (
    AuthenticationError,
    ContentRejectedError,
    DownloadError,
    GenerationFailedError,
    GenerationTimeoutError,
    Job,
    JobCanceledError,
    MediaGenerator,
    NoMediaError,
    PaymentRequiredError,
    Settings,
    SubmissionUncertainError,
    UnsupportedOptionError,
)
from aifs_media.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing.emulator import Emulator

    from .conftest import EmulatedClock

pytestmark = pytest.mark.anyio

FLUX = "fal:fal-ai/flux/schnell"
FILM = "fal:minimax/h3/text-to-video"
SMALL = {"resolution": "480P"}


@pytest.fixture
def durable(
    emulator: Emulator, clock: EmulatedClock, tmp_path: Path, storage: MemoryStorage
) -> Callable[[], MediaGenerator]:
    """Build generators that share one SQLite ledger, as processes of one host would."""

    def build() -> MediaGenerator:
        ledger = SqliteLedger(tmp_path / "jobs.db", clock=clock)
        return MediaGenerator(
            settings=Settings.from_env(emulator.settings()), storage=storage, ledger=ledger, clock=clock
        )

    return build


async def test_an_image(media: MediaGenerator, emulator: Emulator) -> None:
    """Exactly the size, seed and format asked for, and what fal would bill."""
    emulator.switches.queue_time = emulator.switches.latency = 3
    asset = await media.image("a red fox", model=FLUX, size="640x480", seed=2**60, output_format="png")
    assert (asset.width, asset.height, asset.media_type, asset.seed) == (640, 480, "image/png", 2**60)
    assert (asset.provider, asset.model, asset.emulated, asset.warnings) == ("fal", FLUX[4:], True, ())
    assert (asset.cost.amount, asset.cost.status, asset.cost.as_of) == (Decimal("0.003"), "estimated", "2026-11-22")
    assert emulator.books().billed("USD") == 0.003
    assert emulator.books().leaks == 0


async def test_it_can_be_the_default_of_images(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """IMAGE_PROVIDER=fal, and its ratios become sizes."""
    assets = await make(image_provider="fal").images("a fox", n=2, aspect_ratio="16:9")
    assert [(asset.width, asset.height) for asset in assets] == [(1024, 576)] * 2
    assert emulator.last_request("fal.create").json == {
        "prompt": "a fox",
        "num_images": 2,
        "image_size": {"width": 1024, "height": 576},
    }
    assert emulator.books().creates == 1


async def test_megapixels_are_counted_on_the_file(media: MediaGenerator, emulator: Emulator) -> None:
    """1.25 megapixels are two."""
    asset = await media.image("a fox", model="fal:fal-ai/flux/dev", size="1280x1024")
    assert (asset.cost.amount, asset.cost.basis, asset.cost.quantity) == (Decimal("0.050"), "megapixel", 2)
    assert float(asset.cost.amount or 0) == emulator.books().billed("USD")


async def test_a_video_and_its_price(media: MediaGenerator, emulator: Emulator) -> None:
    """At the resolution whose price is known the cost is that; at another one it is unknown rather than wrong."""
    priced = await media.video("waves", model=FILM, duration=1)
    assert (priced.height, priced.duration, priced.cost.amount) == (768, 1.0, Decimal("0.060"))
    assert emulator.books().billed("USD") == 0.06
    unpriced = await media.video("waves", model=FILM, duration=1, options=SMALL)
    assert (unpriced.height, unpriced.cost.status, unpriced.cost.amount) == (480, "unknown", None)


async def test_a_start_frame_and_references(media: MediaGenerator, emulator: Emulator) -> None:
    """Inside the request, as one text or in a list, as the model takes it."""
    frame = await media.image("a fox", model=FLUX, size="64x64")
    film = "fal:bytedance/seedance-2.0/image-to-video"
    await media.video("it runs", model=film, image=frame, duration=1, options={"resolution": "480p"})
    sent = emulator.last_request("fal.create").json
    assert isinstance(sent, dict)
    assert str(sent["image_url"]).startswith("data:image/jpeg;base64,")
    assert sent["duration"] == "1"
    await media.video("it runs", model="fal:minimax/h3/reference-to-video", image=frame, duration=1, options=SMALL)
    sent = emulator.last_request("fal.create").json
    assert isinstance(sent, dict)
    assert [text[:22] for text in sent["reference_image_urls"]] == ["data:image/jpeg;base64"]


async def test_any_app_runs_with_a_prompt(media: MediaGenerator, emulator: Emulator) -> None:
    """What it takes is not published in one place, so options need check_options=False."""
    asset = await media.image("a card", model="fal:workflows/emulated/postcard")
    assert asset.cost.status == "unknown"
    with pytest.raises(UnsupportedOptionError, match="not known"):
        await media.image("a card", model="fal:workflows/emulated/postcard", options={"style": "old"})
    await media.image("a card", model="fal:workflows/emulated/postcard", options={"style": "old"}, check_options=False)
    assert emulator.last_request("fal.create").json == {"prompt": "a card", "style": "old"}


@pytest.mark.parametrize("kind", ["drop_before", "drop_after", "half_body"])
async def test_a_lost_answer_is_uncertain(durable: Callable[[], MediaGenerator], emulator: Emulator, kind: str) -> None:
    """Fal has neither a list nor an idempotency key: it is said, and never sent again, by no process."""
    emulator.fault("fal.create", kind)
    with pytest.raises(SubmissionUncertainError) as lost:
        await durable().image("a fox", model=FLUX, job_id="one")
    assert lost.value.maybe_billed
    emulator.advance(10_000)
    report = await durable().recover()
    assert report.assets == ()
    with pytest.raises(SubmissionUncertainError):
        await durable().resume("one")
    assert len(emulator.books().requested("fal.create")) == 1
    assert emulator.books().creates == (0 if kind == "drop_before" else 1)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_5xx_of_a_create_is_uncertain(media: MediaGenerator, emulator: Emulator, status: int) -> None:
    """Fal does not say that nothing was accepted."""
    emulator.fault("fal.create", "status", status=status)
    with pytest.raises(SubmissionUncertainError):
        await media.image("a fox", model=FLUX)
    assert len(emulator.books().requested("fal.create")) == 1


async def test_a_rate_limited_create_is_sent_again(media: MediaGenerator, emulator: Emulator) -> None:
    """429 says that nothing was accepted."""
    emulator.fault("fal.create", "status", status=429, headers={"retry-after": "3"}, times=2)
    await media.image("a fox", model=FLUX)
    assert emulator.books().creates == 1


@pytest.mark.parametrize(
    ("route", "kind", "fields"),
    [
        ("fal.status", "status", {"status": 502}),
        ("fal.status", "drop_before", {}),
        ("fal.status", "status", {"status": 200, "body": "<html>"}),
        ("fal.status", "unknown_status", {}),
        ("fal.result", "status", {"status": 502}),
        ("fal.result", "status", {"status": 429}),
        ("fal.result", "status", {"status": 400, "body": {"detail": "Request is still in progress"}}),
        ("fal.result", "half_body", {}),
        ("fal.result", "truncated", {}),
    ],
)
async def test_reads_that_fail_say_nothing_about_the_job(
    media: MediaGenerator, emulator: Emulator, route: str, kind: str, fields: dict[str, object]
) -> None:
    """They are asked again, and the asset comes home from its one create."""
    emulator.fault(route, kind, times=2, **fields)
    assert (await media.image("a fox", model=FLUX)).width == 1024
    assert emulator.books().creates == 1


async def test_another_process_goes_on(durable: Callable[[], MediaGenerator], emulator: Emulator) -> None:
    """From the ledger, or from the job's JSON."""
    emulator.switches.latency = 30
    job = await durable().start("image", "a fox", model=FLUX)
    assert Job.model_validate_json(job.model_dump_json()) == job
    report = await durable().recover()
    assert [asset.job_id for asset in report.assets] == [job.job_id]
    assert emulator.books().creates == 1


async def test_a_job_is_found_by_what_a_webhook_names(
    durable: Callable[[], MediaGenerator], make: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """The ledger knows it by its id at fal, though the ref holds addresses as well; a status address is enough elsewhere."""
    asset = await durable().image("a fox", model=FLUX)
    made = emulator.books().predictions[0].id
    (same,) = await durable().adopt(f"fal:{made}", kind="image")
    assert same == asset
    address = f"{emulator.fal_url}/fal-ai/flux/requests/{made}/status"
    (adopted,) = await make().adopt(f"fal:{address}", kind="image")
    assert adopted.sha256 == asset.sha256
    assert emulator.books().creates == 1


async def test_a_webhook_brings_a_job_home(
    emulator: Emulator, clock: EmulatedClock, storage: MemoryStorage, tmp_path: Path
) -> None:
    """Fal names the job by its id alone, and the ledger finds it; a webhook that nobody of us asked for changes nothing."""
    inbox = Inbox()
    own = emulator.settings()
    own["MEDIA_TRUSTED_HOSTS"] += f",{inbox.host}"
    settings = Settings.from_env({**own, "MEDIA_WEBHOOK_URL": f"http://{inbox.host}/hooks"})
    ledger = SqliteLedger(tmp_path / "jobs.db", clock=clock)
    try:
        async with MediaGenerator(settings=settings, storage=storage, ledger=ledger, clock=clock) as media:
            emulator.switches.latency = 30
            job = await media.start("image", "a fox", model=FLUX)
            emulator.advance(31)
            (sent,) = await anyio.to_thread.run_sync(inbox.wait_for, 1)
            told = await media.receive_webhook("fal", sent.headers, sent.body)
            assert told is not None
            assert told.job_id == job.job_id
            assert await media.receive_webhook("fal", sent.headers, sent.body) is None
            (asset,) = await media.resume(told)
            assert asset.width == 1024
        async with MediaGenerator(settings=settings, storage=storage, clock=clock) as other:
            assert await other.receive_webhook("fal", sent.headers, sent.body) is None
            assert await other.jobs() == []
    finally:
        await anyio.to_thread.run_sync(inbox.close)
    assert emulator.last_request("fal.create").query.startswith("fal_webhook=http%3A%2F%2F127.0.0.1")
    assert emulator.books().creates == 1


@pytest.mark.parametrize("started", [False, True])
async def test_out_of_time(media: MediaGenerator, emulator: Emulator, *, started: bool) -> None:
    """Cancelled at fal, whether it waited or ran, and its end is seen."""
    emulator.switches.queue_time, emulator.switches.latency = (0, 1000) if started else (1000, 0)
    with pytest.raises(GenerationTimeoutError, match="was cancelled at the provider"):
        await media.image("a fox", model=FLUX, timeout=20)
    assert emulator.books().cancels == 1
    assert emulator.books().billed("USD") == 0


async def test_a_success_that_came_before_the_cancel_is_kept(media: MediaGenerator, emulator: Emulator) -> None:
    """ALREADY_COMPLETED: the asset was paid for."""
    emulator.switches.latency = 30
    emulator.fault("fal.status", "unknown_status", times=8)
    asset = await media.image("a fox", model=FLUX, timeout=31)
    assert asset.width == 1024
    assert [one.status for one in emulator.books().requested("fal.cancel")] == [400]


async def test_a_cancelled_task_cancels_the_job(media: MediaGenerator, emulator: Emulator) -> None:
    """The cancellation goes on, and so does the cancel at fal."""
    emulator.switches.latency = 10_000
    with anyio.move_on_after(0.5) as scope:
        await media.image("a fox", model=FLUX, timeout=9_000)
    assert scope.cancelled_caught
    assert emulator.books().cancels == 1


async def test_a_job_that_was_not_started_by_its_deadline(media: MediaGenerator, emulator: Emulator) -> None:
    """Every create bounds its time in the queue, so that one that nobody waits for does not run for money."""
    emulator.switches.queue_time = 5_000
    job = await media.start("image", "a fox", model=FLUX, timeout=60)
    emulator.advance(4_000)
    with pytest.raises(JobCanceledError, match="did not start in time") as ended:
        await media.wait(job)
    assert not ended.value.maybe_billed


@pytest.mark.parametrize(
    ("kind", "text", "expected", "maybe_billed"),
    [
        ("failed", "boom", GenerationFailedError, False),
        ("aborted", "", GenerationFailedError, False),
        ("moderated", "", ContentRejectedError, True),
        ("moderated", "nsfw", ContentRejectedError, True),
        ("null_output", "", NoMediaError, True),
        ("text_only", "", NoMediaError, True),
    ],
)
async def test_jobs_that_fail(
    media: MediaGenerator, emulator: Emulator, kind: str, text: str, expected: type, *, maybe_billed: bool
) -> None:
    """Typed, said to be billed where it may be, and the same for whoever asks again."""
    emulator.fault("fal.create", kind, text=text)
    for _ in range(2):
        with pytest.raises(expected) as failed:
            await media.image("a fox", model=FLUX, job_id="one")
        assert failed.value.maybe_billed is maybe_billed
    assert emulator.books().creates == 1


async def test_one_black_picture_of_three(media: MediaGenerator, emulator: Emulator) -> None:
    """The others are kept, with what is missing."""
    emulator.fault("fal.create", "moderated", text="nsfw", count=1)
    assets = await media.images("a fox", model=FLUX, n=3)
    assert len(assets) == 2
    assert all("1 of 3 images" in " ".join(asset.warnings) for asset in assets)


async def test_wrong_key_and_no_credit(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """Said with where to go."""
    with pytest.raises(AuthenticationError, match="FAL_KEY"):
        await make(fal_key=KEY).image("a fox", model=FLUX)
    emulator.switches.fal_credit = 0
    with pytest.raises(PaymentRequiredError, match=r"fal\.ai/dashboard/billing"):
        await make().image("a fox", model=FLUX)
    assert emulator.books().creates == 0


async def test_a_file_that_is_gone_is_said_to_be(media: MediaGenerator, emulator: Emulator) -> None:
    """How long fal keeps files depends on the account, and a result goes on naming one that is gone: so it is not called the end."""
    job = await media.start("image", "a fox", model=FLUX)
    emulator.advance(8 * 86400)
    with pytest.raises(DownloadError, match="may have deleted the file") as gone:
        await media.resume(job.job_id)
    assert gone.value.maybe_billed
    assert emulator.books().creates == 1


async def test_a_file_that_fails_once_is_fetched_again(media: MediaGenerator, emulator: Emulator) -> None:
    """A 404 of the delivery host alone is no end either."""
    emulator.fault("delivery.get", "expired")
    assert (await media.image("a fox", model=FLUX)).width == 1024
    assert emulator.books().creates == 1
