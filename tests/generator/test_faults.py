"""When things go wrong at the provider: nothing paid twice, nothing paid lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest

from aifs_media import (
    BadMediaError,
    DownloadError,
    GenerationFailedError,
    GenerationTimeoutError,
    JobCanceledError,
    MediaError,
    OutputExpiredError,
    PartialResultError,
    RateLimitedError,
    SubmissionUncertainError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aifs_media import MediaGenerator
    from aifs_media.events import Event
    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing import EmulatedClock
    from aifs_media.testing.emulator import Emulator


pytestmark = pytest.mark.anyio

SLOW_MODEL = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


async def test_a_create_that_did_not_arrive_is_sent_again(media: MediaGenerator, emulator: Emulator) -> None:
    """429 says that nothing was accepted."""
    emulator.fault("replicate.create", "status", status=429, headers={"retry-after": "3"}, times=2)
    asset = await media.image("a fox")
    assert asset.width == 1024
    assert emulator.books().creates == 1


async def test_too_many_429s_give_up(media: MediaGenerator, emulator: Emulator) -> None:
    """After three tries the rate limit is the caller's to handle."""
    emulator.fault("replicate.create", "status", status=429, times=3)
    with pytest.raises(RateLimitedError):
        await media.image("a fox")
    assert emulator.books().creates == 0


@pytest.mark.parametrize("kind", ["drop_after", "half_body"])
async def test_a_lost_answer_is_found_by_our_seed(media: MediaGenerator, emulator: Emulator, kind: str) -> None:
    """The create was accepted and its answer lost: the job is found in the list, and never made twice."""
    emulator.fault("replicate.create", kind)
    asset = await media.image("a fox")
    assert asset.width == 1024
    assert emulator.books().creates == 1


async def test_a_lost_answer_before_anything_was_accepted_is_uncertain(
    media: MediaGenerator, emulator: Emulator
) -> None:
    """A connection that broke may have been accepted: without a find, it is said and not sent again."""
    emulator.fault("replicate.create", "drop_before")
    with pytest.raises(SubmissionUncertainError) as lost:
        await media.image("a fox")
    assert lost.value.maybe_billed
    assert len(emulator.books().requested("replicate.create")) == 1


async def test_a_lost_answer_with_the_callers_seed_is_uncertain(media: MediaGenerator, emulator: Emulator) -> None:
    """Somebody else may have used the same seed: nothing is adopted."""
    emulator.fault("replicate.create", "drop_after")
    with pytest.raises(SubmissionUncertainError):
        await media.image("a fox", seed=5)
    assert emulator.books().creates == 1


async def test_a_lost_answer_on_poe_is_uncertain(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """Poe's chat has neither id nor list: at most once."""
    emulator.fault("poe.chat", "drop_after")
    media = make(image_provider="poe")
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError):
            await media.image("a fox", job_id="one")
    assert emulator.books().creates == 1


@pytest.mark.parametrize("kind", ["wrong_length", "truncated", "half_body", "drop_before", "drop_after"])
async def test_a_broken_download_is_repaired(
    media: MediaGenerator, storage: MemoryStorage, emulator: Emulator, kind: str
) -> None:
    """The body breaks once; the asset is whole and stored once."""
    emulator.fault("delivery.get", kind)
    asset = await media.image("a fox")
    assert list(storage.objects) == [asset.object_key]
    assert emulator.books().creates == 1


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("status", {"status": 500}),
        ("status", {"status": 200, "body": "<html>not here</html>"}),
        ("status", {"status": 200, "body": '{"error": "no"}'}),
        ("status", {"status": 200, "body": ""}),
        ("encoded", {}),
    ],
    ids=str,
)
async def test_what_is_not_media_is_never_stored(
    media: MediaGenerator, storage: MemoryStorage, emulator: Emulator, kind: str, fields: dict[str, object]
) -> None:
    """Nothing is visible, the error says what came, and the job can be resumed."""
    emulator.fault("delivery.get", kind, times=50, **fields)
    with pytest.raises((BadMediaError, DownloadError)) as broken:
        await media.image("a fox", job_id="one")
    assert storage.objects == {}
    assert broken.value.job_id == "one"
    emulator.clear_faults()
    (asset,) = await media.resume("one")
    assert list(storage.objects) == [asset.object_key]
    assert emulator.books().creates == 1


async def test_an_expired_output_says_so(media: MediaGenerator, emulator: Emulator, clock: EmulatedClock) -> None:
    """After the provider's hour the output is gone: typed, terminal, never made again in silence."""
    job = await media.start("image", "a fox")
    emulator.advance(2 * 3600)
    with pytest.raises(OutputExpiredError) as gone:
        await media.wait(job)
    assert gone.value.maybe_billed
    with pytest.raises(OutputExpiredError):
        await media.resume(job.job_id)
    assert emulator.books().creates == 1


async def test_three_of_four_are_kept(media: MediaGenerator, emulator: Emulator) -> None:
    """The provider made fewer: what came is stored, and a warning says so."""
    emulator.fault("replicate.create", "partial_output", count=3)
    assets = await media.images("a fox", n=4)
    assert len(assets) == 3
    assert all("3 of 4" in " ".join(asset.warnings) for asset in assets)


async def test_one_failed_download_of_four_keeps_three(
    media: MediaGenerator, storage: MemoryStorage, emulator: Emulator
) -> None:
    """The error holds three assets and names the fourth; resume fetches it."""
    emulator.fault("delivery.get", "status", status=500, times=3, match="out-2")
    with pytest.raises(PartialResultError, match="3 of 4") as partial:
        await media.images("a fox", n=4, job_id="four")
    assert len(partial.value.assets) == 3
    assert list(partial.value.failed) == [2]
    assert len(await media.resume("four")) == 4
    assert len(storage.objects) == 4
    assert emulator.books().creates == 1


@pytest.mark.parametrize("kind", ["null_output", "empty_output"])
async def test_success_without_output(media: MediaGenerator, emulator: Emulator, kind: str) -> None:
    """Nothing is an error, not an empty asset."""
    emulator.fault("replicate.create", kind)
    with pytest.raises(MediaError) as nothing:
        await media.image("a fox")
    assert nothing.value.code in {"no_media", "generation_timeout"}


async def test_a_failed_generation(media: MediaGenerator, emulator: Emulator) -> None:
    """The provider's words are in the error, and whether a new job may succeed."""
    emulator.fault("replicate.create", "failed", text="Prediction interrupted; please retry (code: PA)")
    with pytest.raises(GenerationFailedError, match="PA") as failed:
        await media.image("a fox")
    assert failed.value.retryable


async def test_aborted_is_an_end(media: MediaGenerator, emulator: Emulator) -> None:
    """The sixth status does not spin."""
    emulator.fault("replicate.create", "aborted")
    with pytest.raises(MediaError) as ended:
        await media.image("a fox")
    assert ended.value.code in {"job_canceled", "generation_failed"}
    assert emulator.books().billed("USD") == 0


async def test_unknown_status_goes_on(media: MediaGenerator, emulator: Emulator) -> None:
    """A status nobody has heard of counts as running."""
    emulator.switches.latency = 5
    emulator.fault("replicate.get", "unknown_status", text="dreaming", times=2)
    assert (await media.video("a fox", model=SLOW_MODEL, duration=1)).duration == 1.0


async def test_timeout_cancels_at_the_provider(media: MediaGenerator, emulator: Emulator, events: list[Event]) -> None:
    """With the memory ledger a job that takes too long is stopped, and the error says so."""
    emulator.switches.latency = 10_000
    with pytest.raises(GenerationTimeoutError, match="was cancelled at the provider") as late:
        await media.video("a fox", model=SLOW_MODEL, duration=1, timeout=20)
    assert str(late.value).startswith("Prediction timeout - generation took too long")
    assert emulator.books().cancels == 1
    assert any(event.event == "cancel_requested" for event in events)


async def test_timeout_detaches_and_resume_fetches(media: MediaGenerator, emulator: Emulator) -> None:
    """on_cancel="detach" lets the job go on; its result is fetched later."""
    emulator.switches.latency = 60
    with pytest.raises(GenerationTimeoutError, match="goes on"):
        await media.video("a fox", model=SLOW_MODEL, duration=1, timeout=20, on_cancel="detach", job_id="later")
    (asset,) = await media.resume("later", timeout=120)
    assert asset.duration == 1.0
    assert emulator.books().cancels == 0


async def test_cancel_after_is_the_lifetime(media: MediaGenerator, emulator: Emulator) -> None:
    """Every create carries the job's lifetime, so that an abandoned job stops costing."""
    await media.image("a fox", timeout=30)
    assert emulator.last_request("replicate.create").headers["cancel-after"] == "40s"


async def test_cancel_stops_a_running_job(media: MediaGenerator, emulator: Emulator) -> None:
    """media.cancel reaches the provider; asking for the result then is a typed error."""
    emulator.switches.latency = 10_000
    job = await media.start("video", "a fox", model=SLOW_MODEL, duration=1)
    ended = await media.cancel(job)
    assert ended.stage == "canceled"
    assert emulator.books().cancels == 1
    with pytest.raises(JobCanceledError):
        await media.wait(job)


async def test_cancel_that_comes_too_late_keeps_the_asset(media: MediaGenerator, emulator: Emulator) -> None:
    """The result came first: it is paid for, so it is stored."""
    emulator.switches.latency = 5
    job = await media.start("video", "a fox", model=SLOW_MODEL, duration=1)
    emulator.advance(60)
    ended = await media.cancel(job)
    assert ended.stage == "stored"
    assert len(ended.assets) == 1


async def test_a_cancelled_task_cancels_at_the_provider(
    media: MediaGenerator, emulator: Emulator, clock: EmulatedClock
) -> None:
    """The caller's scope is cancelled while the job runs: the provider hears of it before the call returns."""
    emulator.switches.latency = 10_000
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: media.video("a fox", model=SLOW_MODEL, duration=1, timeout=100_000))
            while not emulator.books().requested("replicate.get"):
                await anyio.sleep(0.001)
            scope.cancel()
    assert scope.cancelled_caught
    assert emulator.books().cancels == 1


async def test_redirects_and_foreign_hosts(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """A redirect to a private address is refused; the provider's key goes to no delivery host."""
    emulator.fault("delivery.get", "redirect", url="http://169.254.169.254/latest/meta-data", times=9)
    with pytest.raises(MediaError) as refused:
        await media.image("a fox")
    assert refused.value.code == "unsafe_url"
    assert storage.objects == {}
    assert emulator.books().leaks == 0


async def test_data_uri_output(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """Replicate has answered with data URIs and may do so again."""
    emulator.fault("replicate.create", "data_uri")
    asset = await media.image("a fox")
    assert asset.width == 1024
    assert asset.emulated


async def test_a_held_create_ends_with_its_callers_patience(
    make: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """Poe's chat is held open and has no id: when the wait runs out that is said, and that it may be billed."""
    emulator.fault("poe.chat", "hang_after")
    media = make(image_provider="poe")
    with anyio.fail_after(20), pytest.raises(GenerationTimeoutError, match="may be billed") as late:
        await media.image("a fox", timeout=1, job_id="one")
    assert late.value.maybe_billed
    with pytest.raises(SubmissionUncertainError):
        await media.resume("one")
    assert emulator.books().creates == 1


async def test_a_held_answer_that_comes_within_the_grace_is_kept(
    make: Callable[..., MediaGenerator], emulator: Emulator, storage: MemoryStorage
) -> None:
    """The caller's wait ran out a moment before the paid answer came: it is stored, not dropped."""
    emulator.fault("poe.chat", "delay", seconds=1.0)
    asset = await make(image_provider="poe").image("a fox", timeout=0.3)
    assert list(storage.objects) == [asset.object_key]
    assert emulator.books().creates == 1


async def cancelled_at(route: str, emulator: Emulator, call: Callable[[], Awaitable[object]]) -> anyio.CancelScope:
    """Make a call and cancel it as soon as a request of it has reached the provider."""
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            while not emulator.books().requested(route):
                await anyio.sleep(0.001)
            scope.cancel()
    return scope


async def test_a_task_cancelled_during_a_held_create_keeps_the_asset(
    make: Callable[..., MediaGenerator], emulator: Emulator, storage: MemoryStorage
) -> None:
    """Cancelled while the create is held: the answer comes within the grace and its media are stored before the call ends."""
    emulator.fault("poe.chat", "delay", seconds=0.5)
    media = make(image_provider="poe")
    scope = await cancelled_at("poe.chat", emulator, lambda: media.image("a fox", job_id="one"))
    assert scope.cancelled_caught
    assert len(storage.objects) == 1
    assert len(await media.resume("one")) == 1
    assert emulator.books().creates == 1


async def test_a_task_cancelled_during_a_held_create_cancels_at_the_provider(
    media: MediaGenerator, emulator: Emulator
) -> None:
    """Nobody knows the job's id yet: it is found by our own seed, and stopped."""
    emulator.switches.latency = 10_000
    scope = await cancelled_at("replicate.create", emulator, lambda: media.image("a fox"))
    assert scope.cancelled_caught
    assert (emulator.books().creates, emulator.books().cancels) == (1, 1)
