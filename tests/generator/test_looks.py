"""`timeout=0`: a caller who only looks. The provider is asked once; nothing is sent, stopped or waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aifs_media import GenerationTimeoutError, MediaGenerator, RequestRejectedError, Settings
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.records import Attempt

if TYPE_CHECKING:
    from pathlib import Path

    from aifs_media import Asset
    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing import EmulatedClock
    from aifs_media.testing.emulator import Emulator

pytestmark = pytest.mark.anyio

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
FIRST, SECOND = "replicate:black-forest-labs/flux-schnell", "poe:imagen-4"


@pytest.fixture(params=["memory", "sqlite"])
def looking(
    request: pytest.FixtureRequest, emulator: Emulator, clock: EmulatedClock, tmp_path: Path, storage: MemoryStorage
) -> MediaGenerator:
    """A generator whose jobs are cancelled when a wait ends early, and one whose jobs go on."""
    return MediaGenerator(
        settings=Settings.from_env(emulator.settings()),
        storage=storage,
        clock=clock,
        ledger=SqliteLedger(tmp_path / "jobs.db", clock=clock) if request.param == "sqlite" else None,
    )


async def test_a_running_job_goes_on(looking: MediaGenerator, emulator: Emulator) -> None:
    """Also one that would be cancelled at the end of a wait. It is asked for once each time, and paid for once."""
    emulator.switches.latency = 60
    job = await looking.start("video", "a fox", model=FILM, duration=1, job_id="one", on_cancel="cancel")
    for looks, look in enumerate((lambda: looking.wait(job, timeout=0), lambda: looking.resume("one", timeout=0.0)), 1):
        with pytest.raises(GenerationTimeoutError, match="goes on at the provider") as running:
            await look()
        assert running.value.job is not None
        assert running.value.job.stage == "submitted"
        assert len(emulator.books().requested("replicate.get")) == looks
    emulator.advance(61)
    (asset,) = await looking.wait(job, timeout=0)
    assert asset.duration == 1.0
    assert (emulator.books().creates, emulator.books().cancels) == (1, 0)


async def test_the_next_wait_is_as_long_as_ever(looking: MediaGenerator, emulator: Emulator) -> None:
    """A look leaves no timeout behind."""
    emulator.switches.latency = 60
    await looking.start("video", "a fox", model=FILM, duration=1, job_id="one", timeout=100)
    with pytest.raises(GenerationTimeoutError):
        await looking.resume("one", timeout=0)
    (asset,) = await looking.resume("one")
    assert asset.duration == 1.0


async def test_a_look_that_fails_says_nothing_about_the_job(looking: MediaGenerator, emulator: Emulator) -> None:
    """Neither does an answer that does not come."""
    emulator.switches.latency = 60
    job = await looking.start("video", "a fox", model=FILM, duration=1, on_cancel="cancel")
    emulator.fault("replicate.get", "status", status=503, times=9)
    with pytest.raises(GenerationTimeoutError, match="goes on"):
        await looking.wait(job, timeout=0)
    assert emulator.books().cancels == 0


async def test_a_job_that_was_never_sent_is_not_sent(looking: MediaGenerator, emulator: Emulator) -> None:
    """Who looks pays for nothing, and passes over no model that has not had its turn."""
    await looking._jobs.new("image", "a fox", 1, {"job_id": "one", "models": [FIRST, SECOND]})
    with pytest.raises(GenerationTimeoutError, match="it was not sent; nothing is billed") as unsent:
        await looking.resume("one", timeout=0)
    assert not unsent.value.maybe_billed
    assert emulator.books().requests == ()
    (job,) = await looking.jobs()
    assert (job.stage, job.provider, job.attempts) == ("new", "replicate", ())
    (asset,) = await looking.resume("one")
    assert asset.provider == "replicate"


async def test_a_lost_create_is_looked_for_once(looking: MediaGenerator, emulator: Emulator) -> None:
    """What is found goes on as well."""
    emulator.switches.latency = 12
    emulator.fault("replicate.create", "drop_after")
    emulator.fault("replicate.list", "status", status=503, times=99)
    with pytest.raises(Exception, match="resume"):
        await looking.start("video", "a fox", model=FILM, duration=1, job_id="one", timeout=5, on_cancel="cancel")
    emulator.clear_faults()
    asked = len(emulator.books().requested("replicate.list"))
    with pytest.raises(GenerationTimeoutError, match="goes on"):
        await looking.resume("one", timeout=0)
    assert len(emulator.books().requested("replicate.list")) == asked + 1
    assert [(job.stage, job.timeout) for job in await looking.jobs()] == [("submitted", 5)]
    emulator.advance(10)
    assert len(await looking.resume("one", timeout=0)) == 1
    assert (emulator.books().creates, emulator.books().cancels) == (1, 0)


async def test_a_lost_create_is_not_sent_again(
    looking: MediaGenerator, emulator: Emulator, clock: EmulatedClock
) -> None:
    """Neither where it could not be looked for, and the caller accepts a second payment. That it may be paid is said."""
    job = await looking._jobs.new("image", "a fox", 1, {"job_id": "one", "model": SECOND, "on_unknown": "retry"})
    lost = Attempt(
        submit_key="one", provider="poe", model="imagen-4", started_at=clock.now(), send_by=clock.now(), outcome="sending"
    )  # fmt: skip
    await looking._jobs.parts.ledger.update(
        job.model_copy(update={"stage": "intent", "attempts": (lost,)}), expected_version=job.version
    )
    with pytest.raises(GenerationTimeoutError, match="answer was lost, and it was not sent again") as unsent:
        await looking.resume("one", timeout=0)
    assert unsent.value.maybe_billed
    assert emulator.books().requests == ()
    assert len(await looking.resume("one")) == 1


async def test_a_job_in_other_hands_is_not_waited_for(
    emulator: Emulator, clock: EmulatedClock, storage: MemoryStorage
) -> None:
    """Somebody else of this process waits for it: the look ends at once all the same."""
    seen: list[GenerationTimeoutError] = []

    async def look(asset: Asset) -> None:
        try:
            await media.resume(asset.job_id, timeout=0)
        except GenerationTimeoutError as error:
            seen.append(error)

    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=storage, clock=clock, on_asset=look)
    await media.image("a fox")
    assert ["another call of this process waits" in str(error) for error in seen] == [True]


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("inf"), "x", True])
async def test_times_that_nobody_can_wait(looking: MediaGenerator, emulator: Emulator, timeout: Any) -> None:
    """They are refused, and the job is left alone."""
    emulator.switches.latency = 60
    job = await looking.start("video", "a fox", model=FILM, duration=1, job_id="one", on_cancel="cancel")
    for wait in (lambda: looking.wait(job, timeout=timeout), lambda: looking.resume("one", timeout=timeout)):
        with pytest.raises(RequestRejectedError, match="0 to ask once"):
            await wait()
    assert emulator.books().requested("replicate.get") == ()
    assert emulator.books().cancels == 0
