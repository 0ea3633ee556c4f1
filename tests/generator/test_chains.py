"""Several models in turn: the next one only when the one before has failed for certain and unbilled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aifs_media import (
    GenerationFailedError,
    GenerationTimeoutError,
    JobConflictError,
    MediaGenerator,
    PaymentRequiredError,
    RequestRejectedError,
    Settings,
    SubmissionUncertainError,
    UnsupportedOptionError,
)
from aifs_media.ledger.sqlite import SqliteLedger

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media.events import Event
    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing.emulator import Emulator

    from .conftest import EmulatedClock

pytestmark = pytest.mark.anyio

FIRST, SECOND = "replicate:black-forest-labs/flux-schnell", "poe:imagen-4"
FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


async def test_the_first_serves(media: MediaGenerator, emulator: Emulator) -> None:
    """Nothing else is asked while the first one does."""
    asset = await media.image("a fox", models=[FIRST, SECOND])
    assert (asset.provider, asset.warnings) == ("replicate", ())
    assert emulator.books().creates == 1


async def test_no_credit_turns_to_the_next(media: MediaGenerator, emulator: Emulator, events: list[Event]) -> None:
    """A refusal is certain and unbilled; the asset says who served and why the other did not."""
    emulator.switches.replicate_credit = 0
    asset = await media.image("a fox", models=[FIRST, SECOND])
    assert (asset.provider, asset.model) == ("poe", "imagen-4")
    assert f"{FIRST} did not serve: payment_required." in asset.warnings
    (job,) = await media.jobs()
    assert [(attempt.provider, attempt.outcome) for attempt in job.attempts] == [
        ("replicate", "not_accepted"),
        ("poe", "accepted"),
    ]
    assert job.passed_over == {FIRST: "payment_required"}
    assert [(event.event, event.provider) for event in events if event.event == "selected"] == [
        ("selected", "replicate"),
        ("selected", "poe"),
    ]
    assert emulator.books().creates == 1


async def test_all_fail(media: MediaGenerator, emulator: Emulator) -> None:
    """The last one's error is raised, and the same again for the same job."""
    emulator.switches.replicate_credit = 0
    emulator.switches.poe_points = 0
    for _ in range(2):
        with pytest.raises(PaymentRequiredError, match="Poe"):
            await media.image("a fox", models=[FIRST, SECOND], job_id="one")
    assert emulator.books().creates == 0


async def test_a_lost_answer_ends_the_chain(media: MediaGenerator, emulator: Emulator) -> None:
    """What may still be paid for is never doubled elsewhere."""
    emulator.fault("replicate.create", "drop_after")
    emulator.fault("replicate.list", "status", status=500, times=1000)
    with pytest.raises(SubmissionUncertainError):
        await media.image("a fox", models=[FIRST, SECOND])
    assert emulator.books().creates == 1


async def test_a_failure_that_may_be_billed_ends_the_chain(media: MediaGenerator, emulator: Emulator) -> None:
    """Replicate does not say whether a failed prediction is free."""
    emulator.fault("replicate.create", "failed", text="CUDA error")
    with pytest.raises(GenerationFailedError) as caught:
        await media.image("a fox", models=[FIRST, SECOND])
    assert caught.value.maybe_billed
    assert emulator.books().creates == 1


async def test_a_confirmed_cancel_turns_to_the_next(media: MediaGenerator, emulator: Emulator) -> None:
    """The caller's time for the first model ran out while the job waited in the queue, and Replicate says that it is cancelled."""
    emulator.switches.queue_time = 1000
    film = await media.video("a fox", models=[FILM, "poe:veo-3.1"], duration=4, timeout=20, on_cancel="cancel")
    assert film.provider == "poe"
    assert any("did not serve: generation_timeout" in warning or "canceled" in warning for warning in film.warnings)
    books = emulator.books()
    assert books.cancels == 1
    assert [record.provider for record in books.predictions] == ["replicate", "poe"]


async def test_a_cancelled_job_that_is_charged_for_ends_the_chain(media: MediaGenerator, emulator: Emulator) -> None:
    """It was running, and that costs: a second model would be paid for beside it."""
    emulator.fault("replicate.create", "slow", seconds=1000)
    with pytest.raises(GenerationTimeoutError) as caught:
        await media.video("a fox", models=[FILM, "poe:veo-3.1"], duration=4, timeout=20, on_cancel="cancel")
    assert caught.value.maybe_billed
    assert [record.provider for record in emulator.books().predictions] == ["replicate"]


async def test_detached_or_unconfirmed_ends_the_chain(media: MediaGenerator, emulator: Emulator) -> None:
    """A job that goes on at the provider is still to be paid for."""
    emulator.fault("replicate.create", "slow", seconds=1000)
    with pytest.raises(GenerationTimeoutError):
        await media.video("a fox", models=[FILM, "poe:veo-3.1"], duration=4, timeout=20, on_cancel="detach")
    emulator.fault("replicate.create", "slow", seconds=1000)
    emulator.fault("replicate.cancel", "status", status=500, times=100)
    with pytest.raises(GenerationTimeoutError):
        await media.video("a hen", models=[FILM, "poe:veo-3.1"], duration=4, timeout=20, on_cancel="cancel")
    assert [record.provider for record in emulator.books().predictions] == ["replicate", "replicate"]


async def test_the_callers_cancel_ends_the_chain(media: MediaGenerator, emulator: Emulator) -> None:
    """Who cancels a job does not want another one."""
    emulator.switches.latency = 1000
    job = await media.start("video", "a fox", models=[FILM, "poe:veo-3.1"], duration=4)
    assert (await media.cancel(job)).stage == "canceled"
    with pytest.raises(Exception, match=r"(?i)cancel"):
        await media.resume(job)
    assert emulator.books().creates == 1


async def test_every_model_must_be_able_to(media: MediaGenerator, emulator: Emulator) -> None:
    """What one of them cannot do is refused before anything is spent; so is a chain that is none."""
    with pytest.raises(UnsupportedOptionError):
        await media.video("a fox", models=[FILM, "poe:veo-3.1"], duration=7)
    for bad in ({"models": []}, {"models": FIRST}, {"models": [FIRST], "model": FIRST}):
        with pytest.raises(RequestRejectedError):
            await media.image("a fox", **bad)
    assert emulator.books().creates == 0


async def test_the_same_id_joins_whichever_model_serves(media: MediaGenerator, emulator: Emulator) -> None:
    """The chain is part of what was asked: the same one joins, another one is a conflict."""
    emulator.switches.replicate_credit = 0
    asset = await media.image("a fox", models=[FIRST, SECOND], job_id="one")
    assert await media.image("a fox", models=[FIRST, SECOND], job_id="one") == asset
    with pytest.raises(JobConflictError):
        await media.image("a fox", models=[SECOND, FIRST], job_id="one")
    with pytest.raises(JobConflictError):
        await media.image("a fox", model=SECOND, job_id="one")
    assert emulator.books().creates == 1


async def test_another_process_goes_on_with_the_chain(
    emulator: Emulator, clock: EmulatedClock, storage: MemoryStorage, tmp_path: Path
) -> None:
    """The models left to try are in the row."""

    def build() -> MediaGenerator:
        return MediaGenerator(
            settings=Settings.from_env(emulator.settings()), storage=storage, clock=clock,
            ledger=SqliteLedger(tmp_path / "jobs.db", clock=clock),
        )  # fmt: skip

    emulator.switches.replicate_credit = emulator.switches.poe_points = 0
    with pytest.raises(PaymentRequiredError):
        await build().image("a fox", models=[FIRST, SECOND, FIRST], job_id="one")
    emulator.switches.poe_points = 1000
    with pytest.raises(PaymentRequiredError, match="Replicate"):
        await build().resume("one")
    emulator.switches.replicate_credit = 10
    (asset,) = await build().resume("one")
    assert asset.provider == "replicate"
    assert emulator.books().creates == 1


async def test_several_outputs_of_a_chain(media: MediaGenerator, emulator: Emulator) -> None:
    """More outputs than one of the models can make at once become jobs with a chain each."""
    emulator.switches.replicate_credit = 0
    assets = await media.images("a fox", n=2, models=[FIRST, SECOND])
    assert [asset.provider for asset in assets] == ["poe", "poe"]
    assert emulator.books().creates == 2


def test_models_that_can(make: Callable[..., MediaGenerator]) -> None:
    """What is asked for leaves the models that can do it; a price limit leaves out what has no price."""
    media = make()

    def names(**wanted: object) -> set[str]:
        return {f"{provider}:{found.model}" for provider, found in media.models(**wanted)}  # type: ignore[arg-type]

    assert {found.kind for _, found in media.models("video")} == {"video"}
    long = names(kind="video", duration=15)
    assert "replicate:kwaivgi/kling-v3-video" in long
    assert FILM not in long
    assert names(kind="image", max_cost="0.003") >= {FIRST}
    assert all(found.price is not None for _, found in media.models("image", max_cost=1))
    assert "replicate:black-forest-labs/flux-1.1-pro" not in names(kind="image", max_cost=0.01)
    assert "poe:imagen-4" not in names(kind="image", image=True)
    with pytest.raises(UnsupportedOptionError):
        media.models(size="large")
