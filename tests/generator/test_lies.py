"""Answers that are well formed and not true. What is paid for outlives them, and what is stored is the job's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from aifs_media import MediaGenerator, NoMediaError, Settings
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.records import Failed
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media.events import Event
    from aifs_media.records import MediaRequest, State
    from aifs_media.testing.emulator import Emulator

    from .conftest import EmulatedClock

pytestmark = pytest.mark.anyio

HELD = "replicate:black-forest-labs/flux-1.1-pro"
POLLED = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


def prediction(ref: str, status: str, output: object = None) -> Mapping[str, object]:
    """Return what Replicate says of a prediction, with the fields that matter."""
    return {
        "id": ref,
        "status": status,
        "output": output,
        "created_at": "2026-11-01T12:00:00Z",
        "input": {},
        "logs": "",
    }


async def test_an_answer_about_another_job_is_not_ours(media: MediaGenerator, emulator: Emulator) -> None:
    """A cache mixes up two answers: neither is the other's film stored, nor its failure believed."""
    other = await media.start("video", "a dog", model=POLLED, duration=1)
    emulator.advance(100)
    theirs = (await media.resume(other.job_id))[0]
    job = await media.start("video", "a fox", model=POLLED, duration=1)
    foreign = emulator.books().predictions[0]
    output = f"{emulator.settings()['REPLICATE_BASE_URL']}/no-such-file.mp4"
    emulator.fault("replicate.get", "status", status=200, body=prediction(foreign.id, "succeeded", [output]))
    emulator.fault("replicate.get", "status", status=200, body=prediction(foreign.id, "failed"))
    (asset,) = await media.resume(job.job_id)
    assert asset.sha256 != theirs.sha256
    kept = (await media.jobs())[0]
    assert kept.job_id == job.job_id
    assert json.dumps(kept.ref) != json.dumps(foreign.id)


async def test_success_without_media_is_asked_for_again(media: MediaGenerator, emulator: Emulator) -> None:
    """The answer to a poll says "succeeded" before the output is in it."""
    job = await media.start("video", "a fox", model=POLLED, duration=1)
    emulator.advance(100)
    emulator.fault("replicate.get", "status", status=200, body=prediction(str(job.ref), "succeeded"))
    (asset,) = await media.resume(job.job_id)
    assert asset.duration == 1.0


class Hasty(ReplicateProvider):
    """Replicate, where a create is answered "succeeded" before the output is in the answer."""

    async def submit(self, request: MediaRequest, *, submit_key: str) -> State:
        """Take the output away."""
        state = await super().submit(request, submit_key=submit_key)
        return Failed(reason="no_media", message="No file in the output.", ref=state.ref, billed="yes")


async def test_success_without_media_in_the_answer_to_a_create(emulator: Emulator, clock: EmulatedClock) -> None:
    """The create's own answer is no better: the job is looked at before it counts as failed."""
    settings = emulator.settings()
    media = MediaGenerator(
        settings=Settings.from_env(settings),
        providers=[Hasty.from_settings(settings)],
        storage=MemoryStorage(),
        clock=clock,
    )
    assert (await media.image("a fox", model=HELD)).width
    assert emulator.books().creates == 1


async def test_success_without_media_that_is_said_twice_is_true(media: MediaGenerator, emulator: Emulator) -> None:
    job = await media.start("video", "a fox", model=POLLED, duration=1)
    emulator.advance(100)
    said = prediction(str(job.ref), "succeeded")
    emulator.fault("replicate.get", "status", status=200, body=said, times=2)
    with pytest.raises(NoMediaError):
        await media.resume(job.job_id)


async def test_a_job_that_is_running_again_has_not_lost_its_output(emulator: Emulator, clock: EmulatedClock) -> None:
    """The delivery refuses the file for a while, and the status goes backwards meanwhile."""

    def go_backwards(event: Event) -> None:
        if event.event == "generated":
            emulator.fault("delivery.get", "status", status=404, times=2)
            said = prediction(emulator.books().predictions[0].id, "processing")
            emulator.fault("replicate.get", "status", status=200, body=said)

    media = MediaGenerator(
        settings=Settings.from_env(emulator.settings()), storage=MemoryStorage(), clock=clock, on_event=go_backwards
    )
    assert (await media.video("a fox", model=POLLED, duration=1)).duration == 1.0
    assert emulator.books().creates == 1
