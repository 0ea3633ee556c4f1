"""Images of Stability AI from prompt to asset: bytes inside the answer to the create, which is all there ever is."""

from __future__ import annotations

import base64
import hashlib
import io
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from PIL import Image

from aifs_media import (
    AuthenticationError,
    BadMediaError,
    ContentRejectedError,
    GenerationFailedError,
    GenerationTimeoutError,
    MediaError,
    MissingCredentialError,
    ModelRetiredError,
    NoMediaError,
    PaymentRequiredError,
    RateLimitedError,
    RequestRejectedError,
    Settings,
    SubmissionUncertainError,
    UnsupportedOptionError,
)
from aifs_media.generator import MediaGenerator
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media.testing.emulator import Emulator

    from .conftest import EmulatedClock

pytestmark = pytest.mark.anyio

CHILD = Path(__file__).with_name("killed_while_storing.py")
SD = "stability:sd3.5-medium"


@pytest.fixture
def media(make: Callable[..., MediaGenerator]) -> MediaGenerator:
    """A generator whose images come from Stability AI."""
    return make(image_provider="stability")


def teal(width: int = 128, height: int = 192) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


# -- made and described ------------------------------------------------------------------------------------------------


async def test_an_image(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """One create, whose bytes are the asset; the seed is the vendor's, the cost the published price in USD."""
    asset = await media.image("a red fox", aspect_ratio="3:2", output_format="jpg", tags={"tenant": "acme"})
    stored = storage.objects[asset.object_key]
    assert (asset.provider, asset.model, asset.media_type) == ("stability", "core", "image/jpeg")
    assert Image.open(io.BytesIO(stored.data)).size == (asset.width, asset.height)
    assert asset.sha256 == hashlib.sha256(stored.data).hexdigest()
    assert asset.seed
    assert asset.emulated
    assert asset.warnings == ()
    assert (asset.cost.amount, asset.cost.currency, asset.cost.status) == (Decimal("0.03"), "USD", "estimated")
    assert "3 credits" in asset.cost.source
    assert asset.cost.as_of
    assert len(emulator.books().requests) == 1
    assert emulator.books().billed("USD") == 0.03


async def test_a_size_becomes_the_nearest_ratio(media: MediaGenerator, emulator: Emulator) -> None:
    """Stability takes no pixels; which ratio was asked for is told."""
    asset = await media.image("a fox", size="1920x1080")
    assert emulator.books().predictions[0].input["aspect_ratio"] == "16:9"
    assert "16:9" in asset.warnings[0]


async def test_several_images_are_several_creates(media: MediaGenerator, emulator: Emulator) -> None:
    """One create makes one image."""
    assets = await media.images("a fox", n=2)
    assert len({asset.sha256 for asset in assets}) == 2
    assert emulator.books().creates == 2


async def test_json_is_taken_as_well(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """An answer in the other documented form is the same picture."""
    body = {"image": base64.b64encode(teal()).decode(), "finish_reason": "SUCCESS", "seed": 9}
    emulator.fault("stability.generate", "status", status=200, body=body)
    asset = await media.image("a fox")
    assert storage.objects[asset.object_key].data == teal()
    assert asset.seed == 9


# -- a start image -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [SD, "stability:ultra"])
async def test_a_start_image(media: MediaGenerator, emulator: Emulator, model: str) -> None:
    """Bytes go along as a file, and the result has their shape."""
    asset = await media.image("a fox", model=model, image=teal(), options={"strength": 0.4})
    assert (asset.width, asset.height) == (128, 192)
    (made,) = emulator.books().predictions
    assert made.input["image"] == hashlib.sha256(teal()).hexdigest()
    assert made.input["strength"] == "0.4"


async def test_an_asset_of_ours_as_start_image(media: MediaGenerator, emulator: Emulator) -> None:
    """It is read back from the storage, since Stability reads no URLs."""
    first = await media.image("a fox")
    await media.image("a wolf", model=SD, image=first, options={"strength": 1})
    assert emulator.books().predictions[1].input["image"] == first.sha256


@pytest.mark.parametrize(
    ("options", "expected", "words"),
    [
        ({"model": SD, "image": "https://example.com/a.png", "options": {"strength": 1}}, RequestRejectedError, "URL"),
        ({"model": SD, "image": teal()}, UnsupportedOptionError, "strength"),
        (
            {"model": SD, "image": teal(), "options": {"strength": 1}, "aspect_ratio": "1:1"},
            UnsupportedOptionError,
            "aspect_ratio with a start image",
        ),
        ({"image": teal()}, UnsupportedOptionError, "stability:ultra"),
        ({"aspect_ratio": "7:3"}, UnsupportedOptionError, "21:9"),
        ({"model": SD, "output_format": "webp"}, UnsupportedOptionError, "png, jpeg"),
        ({"seed": 4294967295}, UnsupportedOptionError, "4294967294"),
        ({"options": {"style": "anime"}}, UnsupportedOptionError, "style_preset"),
        ({"model": "stability:sd3-medium"}, ModelRetiredError, "stability:sd3.5-medium"),
    ],
    ids=["url", "no strength", "ratio", "core", "odd ratio", "webp", "seed", "style", "retired"],
)
async def test_refused_before_anything_is_sent(
    make: Callable[..., MediaGenerator],
    emulator: Emulator,
    options: dict[str, object],
    expected: type[MediaError],
    words: str,
) -> None:
    """The books show no request at all."""
    with pytest.raises(expected, match=words) as refused:
        await make(image_provider="stability").image("a fox", **options)
    assert not refused.value.maybe_billed
    assert emulator.books().requests == ()


async def test_a_start_image_that_is_too_large(media: MediaGenerator, emulator: Emulator) -> None:
    """A request holds 10 MiB; a larger file is refused before anything is sent."""
    file = io.BytesIO()
    Image.effect_noise((3700, 3000), 100).save(file, "PNG", compress_level=0)
    assert file.tell() > 10 * 2**20
    with pytest.raises(RequestRejectedError, match="at most"):
        await media.image("a fox", model=SD, image=file.getvalue(), options={"strength": 1})
    assert emulator.books().requests == ()


# -- refused by the vendor ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected", "words"),
    [
        (400, RequestRejectedError, "is required"),
        (402, PaymentRequiredError, "https://platform.stability.ai/account/credits"),
        (403, ContentRejectedError, "not charged"),
        (404, ModelRetiredError, "stability:ultra"),
        (413, RequestRejectedError, "10MiB"),
        (422, RequestRejectedError, "English"),
    ],
)
async def test_a_refusal_is_typed_and_free(
    media: MediaGenerator, emulator: Emulator, status: int, expected: type[MediaError], words: str
) -> None:
    """It is not sent again, and the vendor's words come through."""
    emulator.fault("stability.generate", "status", status=status)
    with pytest.raises(expected, match=words) as refused:
        await media.image("a fox")
    assert not refused.value.maybe_billed
    assert refused.value.provider == "stability"
    assert len(emulator.books().requests) == 1


async def test_no_credit(media: MediaGenerator, emulator: Emulator) -> None:
    """The emulator's account is empty: one sentence with the place where credit is bought."""
    emulator.switches.stability_credits = 2.9
    with pytest.raises(PaymentRequiredError) as refused:
        await media.image("a fox")
    assert str(refused.value).startswith("Stability AI account has insufficient credits.")
    assert emulator.books().creates == 0


async def test_the_key(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """A wrong key is named and never shown; a missing one is told with its setting."""
    with pytest.raises(AuthenticationError, match="STABILITY_API_KEY") as refused:
        await make(image_provider="stability", stability_api_key="sk-wrong-canary").image("a fox")
    assert "canary" not in repr(refused.value) + str(refused.value)
    settings = Settings.from_env({**emulator.settings(), "STABILITY_API_KEY": "", "IMAGE_PROVIDER": "stability"})
    with pytest.raises(MissingCredentialError, match="Stability AI API key is required for image generation"):
        await MediaGenerator(settings=settings, storage=MemoryStorage()).image("a fox")


async def test_a_rate_limit_is_waited_out(
    media: MediaGenerator, emulator: Emulator, clock: EmulatedClock, storage: MemoryStorage
) -> None:
    """429 says nothing was accepted: sent again after the documented minute, and given up where the time is too short."""
    emulator.fault("stability.generate", "status", status=429)
    await media.image("a fox")
    assert 60 in clock.slept
    assert emulator.books().creates == 1
    emulator.fault("stability.generate", "status", status=429)
    with pytest.raises(RateLimitedError):
        await media.image("a fox", timeout=30)
    assert len(storage.objects) == 1


async def test_moderation_inside_a_200(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """The blurred picture is not an asset; the same error for everyone who asks again, and nobody says that it was free."""
    emulator.fault("stability.generate", "moderated")
    for _ in range(2):
        with pytest.raises(ContentRejectedError) as refused:
            await media.image("something", job_id="one")
        assert refused.value.maybe_billed
    assert storage.objects == {}
    assert emulator.books().creates == 1


# -- failed, lost, broken ----------------------------------------------------------------------------------------------


async def test_a_failed_generation(media: MediaGenerator, emulator: Emulator) -> None:
    """A 500 in the vendor's words ends the job; a new one may succeed, and this one may be billed."""
    emulator.fault("stability.generate", "failed", text="out of sorts")
    with pytest.raises(GenerationFailedError, match="out of sorts") as failed:
        await media.image("a fox")
    assert failed.value.retryable
    assert failed.value.maybe_billed
    assert len(emulator.books().requests) == 1


@pytest.mark.parametrize("fault", ["drop_after", "half_body", "wrong_content_type", "redirect"])
async def test_a_lost_answer_is_uncertain(media: MediaGenerator, emulator: Emulator, fault: str) -> None:
    """Nobody can be asked: it is said, once and for all, and never sent again."""
    emulator.fault("stability.generate", fault)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError) as lost:
            await media.image("a fox", job_id="one")
        assert lost.value.maybe_billed
    assert len(emulator.books().requests) == 1


async def test_retry_is_the_callers_explicit_choice(media: MediaGenerator, emulator: Emulator) -> None:
    """on_unknown="retry" sends a lost create again, and may pay twice."""
    emulator.fault("stability.generate", "drop_after")
    assert (await media.image("a fox", on_unknown="retry")).provider == "stability"
    assert emulator.books().creates == 2


async def test_success_without_a_picture(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """Nothing is a typed error, never an empty file."""
    emulator.fault("stability.generate", "empty_output")
    with pytest.raises(NoMediaError):
        await media.image("a fox")
    assert storage.objects == {}


async def test_a_picture_that_is_cut_off(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """Half a picture under its own length: nothing is stored, and it is not paid for again."""
    emulator.fault("stability.generate", "truncated")
    with pytest.raises(BadMediaError):
        await media.image("a fox", job_id="one")
    with pytest.raises(BadMediaError):
        await media.resume("one")
    assert storage.objects == {}
    assert emulator.books().creates == 1


async def test_the_wait_runs_out(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """The create is held no longer than its caller waits, and a moment: what became of it nobody knows."""
    emulator.fault("stability.generate", "hang_after")
    media = make(image_provider="stability")
    with anyio.fail_after(20), pytest.raises(GenerationTimeoutError, match="may be billed") as late:
        await media.image("a fox", timeout=0.2, job_id="one")
    assert late.value.maybe_billed
    with pytest.raises(SubmissionUncertainError):
        await media.resume("one")
    assert emulator.books().creates == 1


async def test_a_cancelled_task_keeps_what_was_made(
    media: MediaGenerator, emulator: Emulator, storage: MemoryStorage
) -> None:
    """There is no cancel: an answer that comes within the grace is stored before the call ends."""
    emulator.fault("stability.generate", "delay", seconds=0.5)
    with anyio.move_on_after(0.2) as scope:
        await media.image("a fox", job_id="one")
    assert scope.cancelled_caught
    (kept,) = await media.resume("one")
    assert list(storage.objects) == [kept.object_key]
    assert emulator.books().creates == 1


# -- after a crash -----------------------------------------------------------------------------------------------------


async def test_the_bytes_survive_a_kill(
    emulator: Emulator, clock: EmulatedClock, storage: MemoryStorage, tmp_path: Path, anyio_backend: str
) -> None:
    """The vendor gives the picture once, so it is in the row before it is stored: another process stores it, unpaid."""
    environ = {**os.environ, **emulator.settings()}
    arguments = [str(CHILD), str(tmp_path / "jobs.db"), str(tmp_path / "media"), "stability:core", anyio_backend]
    died = await anyio.to_thread.run_sync(
        lambda: subprocess.run([sys.executable, *arguments], env=environ, capture_output=True, timeout=50, check=False)
    )
    assert died.returncode == -9, died.stderr
    media = MediaGenerator(
        settings=Settings.from_env(emulator.settings()),
        ledger=SqliteLedger(tmp_path / "jobs.db", clock=clock),
        storage=storage,
        clock=clock,
    )
    report = await media.recover()
    assert [asset.job_id for asset in report.assets] == ["the-job"]
    assert Image.open(io.BytesIO(storage.objects[report.assets[0].object_key].data)).format == "PNG"
    assert report.assets[0].seed
    (job,) = await media.jobs()
    assert (job.stage, job.parts[0].output) == ("stored", None)
    assert len(emulator.books().requested("stability.generate")) == 1


async def test_a_full_disk_costs_nothing_twice(
    make: Callable[..., MediaGenerator], emulator: Emulator, storage: MemoryStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage refuses, and later it does not: resume stores what the job holds."""
    media, put = make(image_provider="stability"), storage.put

    async def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "put", refuse)
    with pytest.raises(MediaError):
        await media.image("a fox", job_id="one")
    monkeypatch.setattr(storage, "put", put)
    (asset,) = await media.resume("one")
    assert asset.sha256 == hashlib.sha256(storage.objects[asset.object_key].data).hexdigest()
    assert emulator.books().creates == 1
