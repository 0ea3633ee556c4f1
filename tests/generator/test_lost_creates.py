"""What becomes of a create whose answer was lost, came late, or came twice; and of what a dead process left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aifs_media import GenerationFailedError, GenerationTimeoutError, MediaGenerator, Settings, StaleJobError, _submit
from aifs_media.errors import (
    DownloadError,
    JobCanceledError,
    LedgerError,
    OutputExpiredError,
    RequestRejectedError,
    StorageError,
    SubmissionUncertainError,
)
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.providers.runway import RunwayProvider
from aifs_media.records import Failed, Failure, ObjectURL
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing import EmulatedClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media.protocols import ByteSource, Clock, Ledger, MediaProvider
    from aifs_media.records import Asset, Job
    from aifs_media.testing.emulator import Emulator

pytestmark = pytest.mark.anyio

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
PICTURE = "runway:gen4_image"


@pytest.fixture
def build(emulator: Emulator, clock: EmulatedClock) -> Callable[..., MediaGenerator]:
    """Build a generator with parts of the test's own."""

    def built(
        provider: type[ReplicateProvider | RunwayProvider] | None = None,
        *,
        ledger: Ledger | None = None,
        time: Clock | None = None,
    ) -> MediaGenerator:
        settings = Settings.from_env(emulator.settings())
        providers: list[MediaProvider] = [provider.from_settings(settings.environ())] if provider else []
        return MediaGenerator(
            providers=providers, settings=settings, storage=MemoryStorage(), ledger=ledger, clock=time or clock
        )

    return built


# -- found in the list -------------------------------------------------------------------------------------------------


class ListedTwice(ReplicateProvider):
    """The pages of the list move while they are read, and a job is on two of them."""

    async def find(self, request: Any, *, since: Any, until: Any) -> Any:
        """Return everything twice."""
        return [*await super().find(request, since=since, until=until)] * 2


async def test_a_job_that_is_listed_twice_is_one_job(build: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """It is adopted, and not cancelled as its own double."""
    emulator.switches.latency = 50
    emulator.fault("replicate.create", "drop_after")
    film = await build(ListedTwice).video("a fox", model=FILM, duration=1, on_cancel="cancel")
    assert film.warnings == ()
    assert (emulator.books().creates, emulator.books().cancels) == (1, 0)


class MadeTwice(ReplicateProvider):
    """One send was accepted twice; the older of the two jobs failed."""

    async def find(self, request: Any, *, since: Any, until: Any) -> Any:
        """Tell of a second job."""
        (mine,) = await super().find(request, since=since, until=until)
        older = mine.model_copy(
            update={
                "ref": "the-older-one",
                "created_at": mine.created_at - timedelta(seconds=1),
                "state": Failed(reason="generation_failed", message="no", ref="the-older-one"),
            }
        )
        return [older, mine]


async def test_of_two_jobs_of_one_create_the_one_with_media_is_kept(
    build: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """The other stays in the row by its name, and the warning says what became of it."""
    emulator.fault("replicate.create", "drop_after")
    media = build(MadeTwice)
    asset = await media.image("a fox", job_id="one")
    assert any("replicate:the-older-one; had ended" in warning for warning in asset.warnings)
    (job,) = await media.jobs()
    assert [attempt.ref == "the-older-one" for attempt in job.attempts] == [True, False]
    assert emulator.books().creates == 1


class Ahead(EmulatedClock):
    """This machine's clock, which is some minutes off from the provider's."""

    minutes = 0.0

    def now(self) -> datetime:
        """Return the time that this machine believes in."""
        return super().now() + timedelta(minutes=self.minutes)


@pytest.mark.parametrize("minutes", [-5, 5])
async def test_clocks_that_differ_hide_no_job(
    build: Callable[..., MediaGenerator], emulator: Emulator, minutes: float
) -> None:
    """A window that missed our own job would prove that the create was not accepted, and it would be sent again."""
    clock = Ahead(emulator)
    clock.minutes = minutes
    emulator.fault("replicate.create", "drop_after")
    await build(time=clock).image("a fox", timeout=600)
    assert emulator.books().creates == 1


@pytest.mark.parametrize("seed", [None, 5])
async def test_a_job_that_was_adopted_by_hand_is_not_made_again(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock, seed: int | None
) -> None:
    """The list did not show it yet, so that somebody adopted it by its id; the row that sent it learns so.

    With a seed of the user's as well: nobody but us would have adopted it into this ledger.
    """
    media = build(ledger=MemoryLedger(clock=clock))
    emulator.fault("replicate.list", "lag", seconds=60, times=9)
    emulator.fault("replicate.create", "drop_after")
    with pytest.raises(SubmissionUncertainError):
        await media.image("a fox", seed=seed, timeout=5, job_id="one")
    await media.adopt(f"replicate:{emulator.books().predictions[0].id}", kind="image")
    emulator.advance(1000)
    with pytest.raises(SubmissionUncertainError, match="go on with that"):
        await media.resume("one")
    assert emulator.books().creates == 1


async def test_a_second_job_of_a_create_is_adopted_only_if_the_first_has_failed(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """It never brings the other one's media under its own name."""
    ledger = MemoryLedger(clock=clock)
    media = build(ledger=ledger)
    await media.image("a fox", job_id="one")
    second = await media.start("image", "another fox", job_id="two")
    job, other = await ledger.load("one"), await ledger.load("two")
    assert job is not None
    assert other is not None
    twin = other.attempts[-1].model_copy(update={"reason": "duplicate"})
    await ledger.update(other.model_copy(update={"attempts": ()}), expected_version=other.version)
    await ledger.prune(before=datetime(2100, 1, 1, tzinfo=UTC))
    ledger = MemoryLedger(clock=clock)
    media = build(ledger=ledger)
    kept = await ledger.create_or_load(job.model_copy(update={"attempts": (twin, *job.attempts)}))
    with pytest.raises(RequestRejectedError, match="second job"):
        await media.adopt(f"replicate:{second.ref}", kind="image")
    failure = Failure(reason="generation_failed", message="no")
    failed = kept.model_copy(update={"stage": "failed", "failure": failure, "parts": ()})
    await ledger.update(failed, expected_version=kept.version)
    (asset,) = await media.adopt(f"replicate:{second.ref}", kind="image")
    assert asset.job_id == "one"
    assert emulator.books().creates == 2


# -- cancelled ---------------------------------------------------------------------------------------------------------


async def test_a_cancelled_job_is_not_sent_when_its_create_proves_absent(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """Nobody knew at the time whether it had arrived; later it shows that it had not."""
    media = build(ledger=MemoryLedger(clock=clock))
    emulator.fault("replicate.create", "drop_before")
    with pytest.raises(SubmissionUncertainError):
        await media.image("a fox", timeout=5, job_id="one")
    job = await media.cancel("one")
    assert (job.stage, job.cancel_requested) == ("unknown", True)
    emulator.advance(1000)
    with pytest.raises(JobCanceledError) as caught:
        await media.resume("one")
    assert not caught.value.maybe_billed
    assert emulator.books().creates == 0


async def test_what_may_have_been_accepted_is_not_called_unsent(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """With on_unknown="retry" the row is free to send again; cancelling it does not make the first create free of charge."""
    media = build(ledger=MemoryLedger(clock=clock))
    emulator.fault("poe.chat", "drop_after", times=9)
    with pytest.raises(SubmissionUncertainError):
        await media.image("a fox", model="poe:imagen-4", on_unknown="retry", job_id="one")
    other = Unanswered(clock=clock)
    with pytest.raises(LedgerError):
        await build(ledger=other).image("a fox", model="poe:imagen-4", on_unknown="retry", job_id="two")
    job = await build(ledger=other).cancel("two")
    assert job.failure is not None
    assert (job.stage, job.failure.billed) == ("canceled", "unknown")
    assert "may have been accepted" in job.failure.message


class Unanswered(MemoryLedger):
    """A ledger that takes no word of how the create ended, as if the process had been killed there."""

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Refuse the first thing after the intent."""
        if job.stage == "unknown":
            raise LedgerError("There is no room.")
        return await super().update(job, expected_version=expected_version, fence=fence)


# -- answered late -----------------------------------------------------------------------------------------------------


class Late(RunwayProvider):
    """The answer to a create comes when its caller's time is up."""

    async def submit(self, request: Any, *, submit_key: str) -> Any:
        """Take longer than the caller waits, and less than a create in flight is given."""
        await anyio.sleep(0.6)
        return await super().submit(request, submit_key=submit_key)


class LateAndRefused(RunwayProvider):
    """The same, where the job has failed at once."""

    async def submit(self, request: Any, *, submit_key: str) -> Any:
        """Fail."""
        await anyio.sleep(0.6)
        return Failed(reason="generation_failed", message="out of order", ref="v1", billed="no")


async def test_a_job_that_was_accepted_in_the_last_seconds_is_known(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """Its id is in the row, which nobody may overwrite with "uncertain"; the media are fetched later."""
    emulator.switches.latency = 30
    ledger = MemoryLedger(clock=clock)
    media = build(Late, ledger=ledger)
    with pytest.raises(GenerationTimeoutError, match="goes on at the provider"):
        await media.image("a fox", model=PICTURE, timeout=0.3, job_id="one", on_cancel="detach")
    job = await ledger.load("one")
    assert job is not None
    assert (job.stage, job.ref is not None) == ("submitted", True)
    (picture,) = await media.resume("one", timeout=500)
    assert picture.width
    assert emulator.books().creates == 1


async def test_a_failure_in_the_last_seconds_is_a_failure(build: Callable[..., MediaGenerator]) -> None:
    """It is said to be free of charge, and stays so."""
    with pytest.raises(GenerationFailedError, match="out of order") as caught:
        await build(LateAndRefused).image("a fox", model=PICTURE, timeout=0.3)
    assert not caught.value.maybe_billed


async def test_start_goes_on_with_a_create_that_was_left_behind(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """The process died with the answer; the same call in another one returns a job that the provider has accepted."""
    ledger = Full(clock=clock)
    with pytest.raises(LedgerError, match="has accepted the create as"):
        await build(ledger=ledger).start("image", "a fox", job_id="one")
    ledger.full = False
    job = await build(ledger=ledger).start("image", "a fox", job_id="one")
    assert job.ref == emulator.books().predictions[0].id
    assert emulator.books().creates == 1


async def test_a_ledger_that_takes_too_long_for_an_answer_hides_nothing(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The call ends with an error that names the provider's handle; whoever resumes finds the job."""
    monkeypatch.setattr(_submit, "ANSWER_LIMIT", 0.1)
    ledger = Slow(clock=clock)
    with pytest.raises(LedgerError, match="has accepted the create as") as caught:
        await build(ledger=ledger).image("a fox", job_id="one")
    assert emulator.books().predictions[0].id in str(caught.value)
    assert (caught.value.maybe_billed, caught.value.resumable) == (True, True)
    ledger.slow = False
    assert (await build(ledger=ledger).resume("one"))[0].width == 1024
    assert emulator.books().creates == 1


class Slow(MemoryLedger):
    """A ledger that hangs when it is to record the answer to a create."""

    slow = True

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Hang."""
        if self.slow and job.attempts and job.attempts[-1].outcome == "accepted":
            await anyio.sleep(30)
        return await super().update(job, expected_version=expected_version, fence=fence)


class Full(MemoryLedger):
    """A ledger without room for the answer to a create."""

    full = True

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Refuse it."""
        if self.full and job.attempts and job.attempts[-1].outcome == "accepted":
            raise LedgerError("There is no room for the ledger.")
        return await super().update(job, expected_version=expected_version, fence=fence)


async def test_a_worker_that_slept_tells_what_it_learned(
    build: Callable[..., MediaGenerator], clock: EmulatedClock
) -> None:
    """Another one took the job over meanwhile and gave it up as uncertain; the ref of the answer rescues it."""
    ledger = MemoryLedger(clock=clock)

    class Asleep(RunwayProvider):
        async def submit(self, request: Any, *, submit_key: str) -> Any:
            state = await super().submit(request, submit_key=submit_key)
            job = await ledger.load("one")
            assert job is not None
            await ledger.update(job.model_copy(update={"stage": "uncertain"}), expected_version=job.version)
            return state

    media = build(Asleep, ledger=ledger)
    with pytest.raises(StaleJobError):
        await media.image("a fox", model=PICTURE, job_id="one")
    (picture,) = await media.resume("one")
    assert picture.width


async def test_a_job_that_was_given_up_is_adopted_by_its_ref(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """Its row is the one that goes on."""
    ledger = MemoryLedger(clock=clock)
    media = build(ledger=ledger)
    job = await media.start("image", "a fox", model=PICTURE, job_id="one")
    kept = await ledger.load("one")
    assert kept is not None
    await ledger.update(kept.model_copy(update={"stage": "uncertain"}), expected_version=kept.version)
    emulator.advance(100)
    (picture,) = await media.adopt(f"runway:{job.ref}", kind="image")
    assert picture.job_id == "one"


@pytest.mark.parametrize("job_id", [None, "one"])
async def test_what_is_paid_for_is_not_called_retryable(
    build: Callable[..., MediaGenerator], emulator: Emulator, job_id: str | None
) -> None:
    """A download failed. Made once more, the call joins the job that has an id of the caller's; any other one would pay again."""
    emulator.fault("delivery.get", "half_body", times=20)
    with pytest.raises(DownloadError, match="resume") as caught:
        await build().image("a fox", job_id=job_id)
    assert (caught.value.resumable, caught.value.maybe_billed) == (True, True)
    assert caught.value.retryable == (job_id is not None)
    assert caught.value.job_id


# -- stored before it was known ----------------------------------------------------------------------------------------


class DiesAfterStoring(MemoryLedger):
    """A ledger that does not learn that an output is stored: the process died there."""

    dies = True

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Refuse it once."""
        if self.dies and job.assets:
            self.dies = False
            raise LedgerError("The process died.")
        return await super().update(job, expected_version=expected_version, fence=fence)


async def test_an_output_that_was_stored_in_whole_is_not_called_expired(
    emulator: Emulator, clock: EmulatedClock
) -> None:
    """The provider has deleted it meanwhile; it lies in our own storage under the key that the row names."""
    media = MediaGenerator(
        settings=Settings.from_env(emulator.settings()),
        storage=MemoryStorage(),
        ledger=DiesAfterStoring(clock=clock),
        clock=clock,
    )
    with pytest.raises(LedgerError):
        await media.image("a fox", job_id="one")
    emulator.advance(24 * 3600)
    (asset,) = await media.resume("one")
    assert (asset.width, asset.size > 0, len(asset.sha256)) == (1024, True, 64)
    (job,) = await media.jobs()
    assert job.stage == "stored"


class Stumbling(MemoryLedger):
    """A stranger's ledger that raises anything about one job."""

    stumbles = True

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Raise."""
        if self.stumbles and job.job_id == "two" and job.stage == "succeeded":
            raise ZeroDivisionError
        return await super().update(job, expected_version=expected_version, fence=fence)


async def test_one_jobs_mistake_is_not_the_others(
    build: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """recover() brings home what it can, and says what it could not."""
    ledger = Stumbling(clock=clock)
    media = build(ledger=ledger)
    emulator.switches.latency = 50
    for name in ("one", "two", "three"):
        await media.start("video", "a fox", model=FILM, duration=1, job_id=name)
    emulator.advance(100)
    report = await media.recover()
    assert {asset.job_id for asset in report.assets} == {"one", "three"}
    assert "ZeroDivisionError" in str(report.failed["two"])
    ledger.stumbles = False
    assert [asset.job_id for asset in (await media.recover()).assets] == ["two"]


# -- addresses that end ------------------------------------------------------------------------------------------------


class Away(MemoryStorage):
    """A storage that cannot be reached while it is looked into."""

    away = True

    async def open(self, object_key: str) -> ByteSource:
        """Fail for a moment."""
        if self.away:
            raise StorageError("The bucket did not answer.", retryable=True)
        return await super().open(object_key)


async def test_a_storage_that_cannot_be_looked_into_proves_nothing(emulator: Emulator, clock: EmulatedClock) -> None:
    """The output is gone at the provider, and whether it lies in the storage is not known yet: it is not written off."""
    storage = Away()
    media = MediaGenerator(
        settings=Settings.from_env(emulator.settings()),
        storage=storage,
        ledger=DiesAfterStoring(clock=clock),
        clock=clock,
    )
    with pytest.raises(LedgerError):
        await media.image("a fox", job_id="one")
    emulator.advance(24 * 3600)
    with pytest.raises(StorageError, match="did not answer") as caught:
        await media.resume("one")
    assert caught.value.resumable
    storage.away = False
    assert (await media.resume("one"))[0].width == 1024


async def test_what_is_gone_for_good_is_not_called_resumable(emulator: Emulator, clock: EmulatedClock) -> None:
    """Nothing was stored, and the provider has deleted it."""
    ledger = MemoryLedger(clock=clock)
    media = MediaGenerator(
        settings=Settings.from_env(emulator.settings()), storage=MemoryStorage(), ledger=ledger, clock=clock
    )
    emulator.fault("delivery.get", "half_body", times=20)
    with pytest.raises(DownloadError):
        await media.image("a fox", job_id="one")
    emulator.clear_faults()
    emulator.advance(24 * 3600)
    with pytest.raises(OutputExpiredError) as caught:
        await media.resume("one")
    assert (caught.value.resumable, "resume(" in str(caught.value)) == (False, False)


class Signing(MemoryStorage):
    """A bucket without a public address: what it gives out is signed, and ends."""

    signed = 0

    async def url(self, object_key: str, *, expires_in: float | None = None) -> ObjectURL:
        """Sign."""
        self.signed += 1
        moment = datetime.now(UTC) + timedelta(days=7)
        return ObjectURL(url=f"https://b.test/{object_key}?signature=s{self.signed}", expires_at=moment)


async def test_the_ledger_keeps_no_signed_address(emulator: Emulator, clock: EmulatedClock) -> None:
    """Who makes an asset, joins its job or takes it over gets an address that works; the row has none."""
    handed: list[str] = []

    async def take(asset: Asset) -> None:
        handed.append(asset.url)

    media = MediaGenerator(
        settings=Settings.from_env(emulator.settings()),
        storage=Signing(),
        ledger=MemoryLedger(clock=clock),
        clock=clock,
        on_asset=take,
    )
    first = await media.image("a fox", job_id="one")
    (joined,) = await media.resume("one")
    assert first.url.endswith("?signature=s1")
    assert joined.url.endswith("?signature=s2")
    assert handed == [first.url]
    (job,) = await media.jobs()
    assert [asset.url for asset in job.assets] == [first.url.partition("?")[0]]
