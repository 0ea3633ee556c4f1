"""The fakes do what a test scripts, remember what they were asked, and never pass for the real thing."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

import pytest

from aifs_media import (
    ContentRejectedError,
    GenerationTimeoutError,
    JobCanceledError,
    MediaGenerator,
    NoMediaError,
    ProviderUnavailableError,
    RateLimitedError,
    Settings,
    SubmissionUncertainError,
    SyncMediaGenerator,
)
from aifs_media._sniff import MediaCheck
from aifs_media.errors import JobNotFoundError
from aifs_media.records import Failed, Pending, Succeeded
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing import FakeClock, FakeProvider, small_file, small_mp4, small_png


def generator(provider: FakeProvider, clock: FakeClock) -> MediaGenerator:
    settings = Settings.from_env({"IMAGE_PROVIDER": provider.name, "VIDEO_PROVIDER": provider.name})
    return MediaGenerator(providers=[provider], storage=MemoryStorage(), settings=settings, clock=clock)


@pytest.mark.anyio
async def test_without_a_script_a_job_succeeds_and_says_that_it_is_made_up() -> None:
    """One small file each, of the size that was asked for; two prompts, two pictures."""
    provider = FakeProvider()
    media = generator(provider, FakeClock())
    fox = await media.image("a fox", size="96x64", seed=7)
    owl = await media.image("an owl", size="96x64")
    film = await media.video("waves")
    assert fox.emulated
    assert film.emulated
    assert (fox.width, fox.height, fox.warnings) == (96, 64, ())
    assert fox.sha256 != owl.sha256
    assert (film.media_type, film.duration, film.fps) == ("video/mp4", 1.0, 2.0)
    assert [request.prompt for request in provider.creates] == ["a fox", "an owl", "waves"]
    assert provider.creates[0].inputs == {"prompt": "a fox", "width": 96, "height": 64, "seed": 7}
    assert len(set(provider.submit_keys)) == 3


@pytest.mark.anyio
async def test_a_script_is_what_a_job_answers_step_by_step() -> None:
    """Each create takes the next one; its last answer is repeated, and nobody really waits."""
    clock = FakeClock()
    provider = FakeProvider(
        [
            Pending(ref=None),
            ProviderUnavailableError("away", retryable=True),
            Succeeded(outputs=(small_file("image"),)),
        ],
        [Pending(ref=None, progress=0.5)],
        [Failed(reason="content_rejected", message="no foxes")],
        [Succeeded(outputs=())],
    )
    media = generator(provider, clock)
    assert (await media.image("one")).emulated
    assert provider.polls == ["fake-1", "fake-1"]
    with pytest.raises(GenerationTimeoutError):
        await media.image("two", timeout=30)
    assert provider.cancels == ["fake-2"]
    with pytest.raises(ContentRejectedError, match="no foxes"):
        await media.image("three")
    with pytest.raises(NoMediaError):
        await media.image("four")
    assert clock.monotonic() == sum(clock.slept) >= 30


@pytest.mark.anyio
async def test_an_exception_at_the_create() -> None:
    """A refusal is tried again with the next script, a lost answer is not."""
    provider = FakeProvider([RateLimitedError("slow", retryable=True)])
    await generator(provider, FakeClock()).image("a fox")
    assert len(provider.creates) == 2
    lost = FakeProvider([ProviderUnavailableError("gone", maybe_billed=True)])
    with pytest.raises(SubmissionUncertainError):
        await generator(lost, FakeClock()).image("a fox")
    assert len(lost.creates) == 1


@pytest.mark.anyio
async def test_cancel_stops_what_runs_and_comes_too_late_for_what_has_ended() -> None:
    """As services do."""
    provider = FakeProvider([Pending(ref=None)])
    media = generator(provider, FakeClock())
    job = await media.start("image", "a fox")
    await media.cancel(job)
    with pytest.raises(JobCanceledError):
        await media.wait(job)
    await media.image("an owl")
    assert await provider.cancel("fake-2") == "too_late"
    with pytest.raises(JobNotFoundError, match="'fake-9'"):
        await provider.poll("fake-9")


@pytest.mark.anyio
async def test_it_stands_in_for_a_built_in_provider() -> None:
    """Code that names real models runs unchanged."""
    provider = FakeProvider(name="replicate")
    media = MediaGenerator(
        providers=[provider], storage=MemoryStorage(), settings=Settings.from_env({}), clock=FakeClock()
    )
    asset = await media.image("a fox", model="replicate:black-forest-labs/flux-schnell", aspect_ratio="3:2", seed=1)
    assert (asset.provider, asset.model, asset.emulated) == ("replicate", "black-forest-labs/flux-schnell", True)
    assert len(await media.images("a fox", n=3)) == 3


def test_synchronous_code_can_be_tested_as_well() -> None:
    """The synchronous twin takes the same parts."""
    settings = Settings.from_env({})
    with SyncMediaGenerator(
        providers=[FakeProvider(name="replicate")], storage=MemoryStorage(), settings=settings, clock=FakeClock()
    ) as media:
        assert media.image("a fox").emulated


@pytest.mark.anyio
async def test_the_clock_stands_still_until_it_is_moved() -> None:
    """A sleep is a move; it cannot go back."""
    clock = FakeClock()
    begin = clock.now()
    assert clock.now() == begin
    await clock.sleep(2.5)
    clock.advance(10)
    assert clock.now() - begin == timedelta(seconds=12.5)
    assert clock.monotonic() == 12.5
    assert clock.slept == [2.5]
    with pytest.raises(ValueError, match="cannot go back"):
        clock.advance(-1)


@pytest.mark.parametrize(("kind", "data"), [("image", small_png(33, 17)), ("video", small_mp4())])
def test_the_small_files_are_whole(kind: str, data: bytes) -> None:
    """The library's own check finds them complete."""
    check = MediaCheck(kind)
    check.feed(data)
    facts = check.finish()
    assert (facts.width, facts.height) == {"image": (33, 17), "video": (64, 36)}[kind]


def test_the_fakes_need_neither_pytest_nor_anything_heavy() -> None:
    """Importing the kit loads nothing; using the fakes does not load pytest or an extra."""
    code = (
        "import sys, aifs_media.testing as kit; before = set(sys.modules);"
        "assert not before & {'anyio', 'pydantic', 'pytest', 'httpx'}, before;"
        "kit.FakeProvider(); kit.FakeClock(); kit.small_file('video');"
        "\nwith kit.forbid_spending(): pass\n"
        "print(sorted({'pytest', 'starlette', 'uvicorn', 'PIL', 'av'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
