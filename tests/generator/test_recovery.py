"""Jobs that were left behind: found, finished, taken over, handed over; and never made twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aifs_media import (
    JobError,
    JobNotFoundError,
    MediaGenerator,
    OutputExpiredError,
    PartialResultError,
    Settings,
    StaleJobError,
    SubmissionUncertainError,
)
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media import Asset
    from aifs_media.events import Event
    from aifs_media.protocols import Ledger
    from aifs_media.testing import EmulatedClock
    from aifs_media.testing.emulator import Emulator


pytestmark = pytest.mark.anyio

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


@pytest.fixture
def durable(
    emulator: Emulator, clock: EmulatedClock, tmp_path: Path, storage: MemoryStorage, events: list[Event]
) -> Callable[..., MediaGenerator]:
    """Build generators that share one SQLite ledger, as processes of one host would."""

    def build(**more: object) -> MediaGenerator:
        ledger: Ledger = SqliteLedger(tmp_path / "jobs.db", clock=clock)
        return MediaGenerator(
            settings=Settings.from_env(emulator.settings()),
            storage=storage,
            ledger=ledger,
            clock=clock,
            on_event=events.append,
            **more,  # type: ignore[arg-type]
        )

    return build


async def test_another_process_finishes_a_job(durable: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """A job that was started and left is stored by recover(), and costs one create."""
    emulator.switches.latency = 30
    job = await durable().start("video", "a fox", model=FILM, duration=1)
    report = await durable().recover()
    assert [asset.job_id for asset in report.assets] == [job.job_id]
    assert report.failed == {}
    assert emulator.books().creates == 1
    assert (await durable().recover()).assets == ()


async def test_a_job_is_found_by_id_tags_and_stage(durable: Callable[..., MediaGenerator]) -> None:
    """Any process on the ledger finds it; another namespace does not."""
    asset = await durable().image("a fox", job_id="mine", namespace="one", tags={"tenant": "acme"})
    (same,) = await durable().resume("mine", namespace="one")
    assert same == asset
    assert [job.job_id for job in await durable().jobs(tags={"tenant": "acme"})] == ["mine"]
    assert await durable().jobs(stages={"failed"}) == []
    with pytest.raises(JobNotFoundError):
        await durable().resume("mine", namespace="two")


async def test_a_create_that_never_arrived_is_sent_again_later(
    durable: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """The connection broke before anything was accepted: only a complete look after every delay allows a second send."""
    emulator.fault("replicate.create", "drop_before")
    with pytest.raises(SubmissionUncertainError, match="resume"):
        await durable().image("a fox", job_id="one", timeout=20)
    assert len(emulator.books().requested("replicate.create")) == 1
    emulator.advance(200)
    report = await durable().recover()
    assert [asset.job_id for asset in report.assets] == ["one"]
    assert emulator.books().creates == 1
    assert len(emulator.books().requested("replicate.create")) == 2


async def test_a_create_that_never_arrived_is_sent_again_within_a_long_wait(
    durable: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """A patient caller gets the same in one call, after the time in which it could still have shown up."""
    emulator.fault("replicate.create", "drop_before")
    began = clock.monotonic()
    asset = await durable().image("a fox", timeout=600)
    assert asset.width == 1024
    assert clock.monotonic() - began >= 100
    assert emulator.books().creates == 1


async def test_a_list_that_cannot_be_read_proves_nothing(
    durable: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """Without a complete look nothing is sent again, however long it takes."""
    emulator.fault("replicate.create", "drop_before")
    emulator.fault("replicate.list", "status", status=500, times=1000)
    with pytest.raises(SubmissionUncertainError):
        await durable().image("a fox", timeout=600)
    assert len(emulator.books().requested("replicate.create")) == 1


async def test_past_the_window_it_stays_uncertain(durable: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """After Replicate's hour the list no longer shows inputs: it is said, once and for all."""
    emulator.fault("replicate.create", "drop_after")
    emulator.fault("replicate.list", "status", status=500, times=1000)
    with pytest.raises(SubmissionUncertainError):
        await durable().image("a fox", job_id="one", timeout=20)
    emulator.clear_faults()
    emulator.advance(2 * 3600)
    report = await durable().recover()
    assert set(report.failed) == {"one"}
    (job,) = await durable().jobs()
    assert job.stage == "uncertain"
    assert emulator.books().creates == 1


async def test_retry_is_the_callers_explicit_choice(durable: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """on_unknown="retry" sends a lost create of Poe's chat again, and may pay twice."""
    emulator.fault("poe.chat", "drop_after")
    asset = await durable().image("a fox", model="poe:imagen-4", on_unknown="retry")
    assert asset.provider == "poe"
    assert emulator.books().creates == 2


async def test_two_workers_share_one_job(
    durable: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock, tmp_path: Path
) -> None:
    """While one process holds the lease another waits for it, and then finds what it achieved."""
    first, second = durable(), durable()
    job = await first.start("image", "a fox", job_id="one")
    ledger = SqliteLedger(tmp_path / "jobs.db", clock=clock)
    lease = await ledger.acquire("one", owner="somebody", seconds=10_000)
    assert lease is not None
    with pytest.raises(StaleJobError):
        await second.wait(job, timeout=5)
    assert (await second.recover()).held == ("one",)
    await ledger.release(lease)
    assert len(await second.wait(job)) == 1
    assert emulator.books().creates == 1
    await ledger.aclose()


async def test_a_dead_workers_lease_runs_out(
    durable: Callable[..., MediaGenerator], clock: EmulatedClock, tmp_path: Path
) -> None:
    """A process that died holds its lease for half a minute; recover() waits that long and takes over."""
    job = await durable().start("image", "a fox")
    ledger = SqliteLedger(tmp_path / "jobs.db", clock=clock)
    await ledger.acquire(job.job_id, owner="dead", seconds=30)
    assert len((await durable().recover()).assets) == 1
    await ledger.aclose()


async def test_an_existing_job_is_adopted(durable: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """What was made elsewhere is stored by its id, once."""
    elsewhere = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())
    job = await elsewhere.start("image", "a fox")
    assert isinstance(job.ref, str)
    (asset,) = await durable().adopt(f"replicate:{job.ref}", kind="image", prompt="a fox")
    assert asset.width == 1024
    assert await durable().adopt(f"replicate:{job.ref}", kind="image") == [asset]
    assert emulator.books().creates == 1
    with pytest.raises(JobNotFoundError):
        await durable().adopt("replicate:zzzzzzzzzzzzzzzzzzzzzzzzzz", kind="image")


async def test_the_host_gets_every_asset_at_least_once(
    durable: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """The job is done when the host's own code has taken the asset; until then another process hands it over again."""
    taken: list[Asset] = []

    async def fails(asset: Asset) -> None:
        raise RuntimeError("the host's database is away")

    async def takes(asset: Asset) -> None:
        taken.append(asset)

    with pytest.raises(JobError, match="database is away"):
        await durable(on_asset=fails).image("a fox", job_id="one")
    await durable(on_asset=takes).recover()
    assert [asset.job_id for asset in taken] == ["one"]
    assert (await durable(on_asset=takes).resume("one"))[0] == taken[0]
    assert len(taken) == 1
    assert emulator.books().creates == 1


async def test_what_expired_is_said_and_what_was_kept_stays(
    durable: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """One of two outputs could not be fetched in time: the job ends with the other, and says so to everyone who asks."""
    emulator.fault("delivery.get", "status", status=500, times=50, match="out-1")
    with pytest.raises(PartialResultError):
        await durable().images("a fox", n=2, job_id="two")
    emulator.clear_faults()
    emulator.advance(2 * 3600)
    for _ in range(2):
        with pytest.raises(PartialResultError) as partial:
            await durable().resume("two")
        assert len(partial.value.assets) == 1
        assert isinstance(partial.value.failed[1], OutputExpiredError)
    assert (await durable().recover()).failed == {}


async def test_rows_hold_no_signed_url_once_stored(durable: Callable[..., MediaGenerator]) -> None:
    """Outputs' addresses are wiped when the asset is stored."""
    await durable().image("a fox")
    (job,) = await durable().jobs()
    assert [part.output for part in job.parts] == [None]
