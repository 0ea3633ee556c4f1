"""Images whose files come inside the answer of the one create: OpenAI, and servers that copy its API, end to end."""

from __future__ import annotations

import io
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from PIL import Image

from aifs_media import (
    AuthenticationError,
    ConfigurationError,
    ContentRejectedError,
    MediaGenerator,
    ModelRetiredError,
    NoMediaError,
    OutputExpiredError,
    PaymentRequiredError,
    RateLimitedError,
    Settings,
    SubmissionUncertainError,
    UnsafeURLError,
    UploadError,
)
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media.testing.emulator import Emulator

    from .conftest import EmulatedClock

pytestmark = pytest.mark.anyio

SMALL = "256x256"
SERVER = "openai-compatible:emulated-diffusion"


@pytest.fixture
def openai(make: Callable[..., MediaGenerator]) -> MediaGenerator:
    """A generator whose images come from OpenAI."""
    return make(image_provider="openai")


@pytest.fixture
def durable(emulator: Emulator, clock: EmulatedClock, tmp_path: Path) -> Callable[..., MediaGenerator]:
    """Build generators that share one SQLite ledger, as processes of one host would."""

    def build(storage: MemoryStorage) -> MediaGenerator:
        settings = Settings.from_env(emulator.settings(), image_provider="openai")
        ledger = SqliteLedger(tmp_path / "jobs.db", clock=clock)
        return MediaGenerator(settings=settings, storage=storage, ledger=ledger, clock=clock)

    return build


class BrokenStorage(MemoryStorage):
    """A storage that takes nothing."""

    async def put(self, *arguments: Any, **options: Any) -> Any:
        """Refuse."""
        raise UploadError("The disk is full.")


# -- media -------------------------------------------------------------------------------------------------------------


async def test_an_image(openai: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """Verified, stored, and with what its tokens cost."""
    asset = await openai.image("a fox", aspect_ratio="3:2", options={"quality": "low"})
    assert (asset.provider, asset.model, asset.media_type) == ("openai", "gpt-image-2.5-flare", "image/png")
    assert (asset.width, asset.height, asset.warnings, asset.emulated) == (1536, 1024, (), True)
    assert (asset.cost.status, asset.cost.basis, asset.cost.currency) == ("estimated", "tokens", "USD")
    assert float(asset.cost.amount or 0) == pytest.approx(emulator.books().billed("USD"))
    assert list(storage.objects) == [asset.object_key]
    assert emulator.books().leaks == 0


async def test_several_images_share_one_create_and_its_cost(openai: MediaGenerator, emulator: Emulator) -> None:
    """Each asset has its own share."""
    assets = await openai.images("a fox", n=3, size=SMALL, output_format="webp")
    assert len({asset.sha256 for asset in assets}) == 3
    assert {asset.media_type for asset in assets} == {"image/webp"}
    assert emulator.books().creates == 1
    assert sum(float(asset.cost.amount or 0) for asset in assets) == pytest.approx(
        emulator.books().billed("USD"), abs=1e-5
    )


async def test_large_images_take_several_creates(openai: MediaGenerator, emulator: Emulator) -> None:
    """No answer becomes larger than can be held: three of 4 Mpx are too many for one."""
    assets = await openai.images("a fox", n=4, size="2560x1440")
    assert [(asset.width, asset.height) for asset in assets] == [(2560, 1440)] * 4
    assert sorted(record.input.get("n", 1) for record in emulator.books().predictions) == [1, 3]


async def test_a_start_image_goes_inside_the_request(openai: MediaGenerator, emulator: Emulator) -> None:
    """Bytes and earlier assets become data URLs of an edit."""
    file = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(file, "PNG")
    first = await openai.image("make it blue", image=file.getvalue(), size=SMALL)
    await openai.image("and green", image=first, size=SMALL)
    for request in emulator.books().requested("openai.edit"):
        assert isinstance(request.json, dict)
        (image,) = request.json["images"]
        assert image["image_url"].startswith("data:image/png;base64,iVBOR")
    assert (len(emulator.books().requested("openai.edit")), len(emulator.books().requested("openai.create"))) == (2, 0)


async def test_fewer_than_asked(openai: MediaGenerator, emulator: Emulator) -> None:
    """What came is kept, with a warning."""
    emulator.fault("openai.create", "partial_output", count=1)
    (asset,) = await openai.images("a fox", n=2, size=SMALL)
    assert "1 of 2" in asset.warnings[0]


async def test_a_model_that_retires_soon_says_so(openai: MediaGenerator) -> None:
    """While it still works."""
    asset = await openai.image("a fox", model="openai:gpt-image-1-mini")
    assert "retires on 2026-12-01" in asset.warnings[0]


# -- time --------------------------------------------------------------------------------------------------------------


async def test_the_usual_wait_is_five_minutes(openai: MediaGenerator, emulator: Emulator) -> None:
    """A picture may take longer than the usual minute of an image; the create is held open as long as the job may live."""
    emulator.switches.latency = 200
    async with anyio.create_task_group() as group:
        group.start_soon(_advance_when_asked, emulator, 201)
        job = await openai.start("image", "a fox", size=SMALL)
    assert (job.timeout, job.lifetime) == (300, 310)
    assert (await openai.wait(job))[0].emulated


async def test_a_task_cancelled_during_the_create_keeps_the_image(
    openai: MediaGenerator, emulator: Emulator, storage: MemoryStorage
) -> None:
    """There is nothing to stop at OpenAI: an answer that still comes in time is kept, since it is paid for."""
    emulator.switches.latency = 100
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: openai.image("a fox", size=SMALL, job_id="one"))
            while not emulator.books().creates:
                await anyio.sleep(0.001)
            emulator.advance(101)
            scope.cancel()
    assert scope.cancelled_caught
    (asset,) = await openai.resume("one")
    assert list(storage.objects) == [asset.object_key]
    assert emulator.books().creates == 1


async def _advance_when_asked(emulator: Emulator, seconds: float) -> None:
    while not emulator.books().creates:
        await anyio.sleep(0.001)
    emulator.advance(seconds)


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["drop_after", "half_body", "failed"])
async def test_a_lost_answer_is_uncertain(openai: MediaGenerator, emulator: Emulator, kind: str) -> None:
    """There is neither a list nor an idempotency key: at most once, and it is said that it may be billed."""
    emulator.fault("openai.create", kind)  # type: ignore[arg-type]
    for _ in range(2):
        with pytest.raises(SubmissionUncertainError) as lost:
            await openai.image("a fox", size=SMALL, job_id="one")
        assert lost.value.maybe_billed
    assert emulator.books().creates == 1


async def test_a_process_killed_during_the_create(
    durable: Callable[..., MediaGenerator], emulator: Emulator, tmp_path: Path
) -> None:
    """Nobody can find the create again: another process says so, and makes none of its own."""
    emulator.switches.latency = 1000
    code = (
        "import os, json, anyio\n"
        "from aifs_media import MediaGenerator\n"
        "media = MediaGenerator.from_env(json.loads(os.environ['PLAN']))\n"
        "anyio.run(lambda: media.image('a fox', size='256x256', job_id='one'))\n"
    )
    plan = {
        **emulator.settings(),
        "IMAGE_PROVIDER": "openai",
        "MEDIA_LEDGER": f"sqlite:///{tmp_path / 'jobs.db'}",
        "MEDIA_LOCAL_DIR": str(tmp_path / "media"),
    }
    environ = {**os.environ, "PLAN": json.dumps(plan)}
    async with await anyio.open_process([sys.executable, "-W", "ignore", "-c", code], env=environ) as child:
        while not emulator.books().creates:
            assert child.returncode is None
            await anyio.sleep(0.01)
        child.kill()
        assert await child.wait() == -signal.SIGKILL
    # Its lease ends by itself.
    emulator.advance(100)
    report = await durable(MemoryStorage()).recover()
    assert isinstance(report.failed["one"], SubmissionUncertainError)
    with pytest.raises(SubmissionUncertainError):
        await durable(MemoryStorage()).resume("one")
    assert len(emulator.books().requested("openai.create")) == 1


async def test_another_process_stores_what_was_answered(
    durable: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """The files are in the ledger's row until they are stored: a full disk, then another process with a good one."""
    with pytest.raises(UploadError):
        await durable(BrokenStorage()).images("a fox", n=2, size=SMALL, job_id="one")
    storage = MemoryStorage()
    report = await durable(storage).recover()
    assert sorted(storage.objects) == sorted(asset.object_key for asset in report.assets)
    assert len(report.assets) == 2
    assert emulator.books().creates == 1


async def test_a_rate_limit_is_waited_for(openai: MediaGenerator, emulator: Emulator, clock: EmulatedClock) -> None:
    """As long as the vendor says; a limit of nothing is not."""
    emulator.fault("openai.create", "status", status=429, headers={"retry-after-ms": "2500"})
    await openai.image("a fox", size=SMALL)
    assert 2.5 in clock.slept
    assert emulator.books().creates == 1
    nothing = {
        "error": {"message": "images per minute. Limit: 0/1min. Current: 1/1min.", "code": "rate_limit_exceeded"}
    }
    emulator.fault("openai.create", "status", status=429, body=nothing)
    with pytest.raises(RateLimitedError, match="waiting does not help"):
        await openai.image("a fox", size=SMALL)
    assert len(emulator.books().requested("openai.create")) == 3


async def test_no_credit_and_no_access(
    openai: MediaGenerator, make: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """Each is asked for once, and says what to do."""
    emulator.switches.openai_credit = 0
    with pytest.raises(PaymentRequiredError, match=r"^OpenAI account has insufficient credits\."):
        await openai.image("a fox", size=SMALL)
    emulator.switches.openai_verified = False
    with pytest.raises(AuthenticationError, match="Verify the organization"):
        await openai.image("a fox", size=SMALL)
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY") as refused:
        await make(image_provider="openai", openai_api_key="sk-wrong-canary").image("a fox", size=SMALL)
    assert "canary" not in str(refused.value)
    assert (len(emulator.books().requested("openai.create")), emulator.books().creates) == (3, 0)


async def test_moderation(openai: MediaGenerator, emulator: Emulator) -> None:
    """Before the work it is free; after the work nobody knows."""
    emulator.fault("openai.create", "moderated", text="input")
    with pytest.raises(ContentRejectedError, match="refused the request") as early:
        await openai.image("a fox", size=SMALL)
    emulator.fault("openai.create", "moderated")
    with pytest.raises(ContentRejectedError, match="refused what it had made") as late:
        await openai.image("a fox", size=SMALL)
    assert (early.value.maybe_billed, late.value.maybe_billed) == (False, True)


async def test_no_image_in_a_success(openai: MediaGenerator, emulator: Emulator) -> None:
    """It is not taken for one, and it may be billed."""
    emulator.fault("openai.create", "empty_output")
    with pytest.raises(NoMediaError) as nothing:
        await openai.image("a fox", size=SMALL)
    assert nothing.value.maybe_billed


async def test_retired_models_and_videos(
    openai: MediaGenerator, make: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """Refused before anything is sent, with what replaces them."""
    with pytest.raises(ModelRetiredError, match="openai:gpt-image-2"):
        await openai.image("a fox", model="openai:dall-e-3")
    with pytest.raises(ModelRetiredError, match=r"poe:veo-3\.1"):
        await openai.video("a fox", model="openai:sora-2")
    with pytest.raises(ConfigurationError, match="no video model"):
        await make(video_provider="openai").video("a fox")
    assert emulator.books().requests == ()


async def test_check(openai: MediaGenerator) -> None:
    """The key is proved without spending."""
    found = [check for check in (await openai.check()).checks if check.name == "openai"]
    assert [check.ok for check in found] == [True]


# -- any other server --------------------------------------------------------------------------------------------------


async def test_a_server_of_ones_own(media: MediaGenerator, storage: MemoryStorage, emulator: Emulator) -> None:
    """It answers links on a host that is trusted; no key is needed, and none goes anywhere."""
    assets = await media.images("a fox", n=2, size=SMALL, model=SERVER)
    assert sorted(storage.objects) == sorted(asset.object_key for asset in assets)
    assert {(asset.provider, asset.model, asset.width) for asset in assets} == {
        ("openai-compatible", "emulated-diffusion", 256)
    }
    assert {asset.cost.status for asset in assets} == {"unknown"}
    assert not any(request.authorized for request in emulator.books().requests)


async def test_a_link_into_the_private_network_is_not_followed(media: MediaGenerator, emulator: Emulator) -> None:
    """A server may name any address; only public ones and trusted ones are fetched."""
    emulator.fault("compatible.create", "foreign_output", url="http://169.254.169.254/latest/meta-data")
    with pytest.raises(UnsafeURLError):
        await media.image("a fox", model=SERVER)


async def test_a_link_that_is_gone(media: MediaGenerator, emulator: Emulator) -> None:
    """Nobody can be asked for another one."""
    emulator.fault("delivery.get", "expired", times=9)
    with pytest.raises(OutputExpiredError) as gone:
        await media.image("a fox", size=SMALL, model=SERVER)
    assert gone.value.maybe_billed
    assert emulator.books().creates == 1


async def test_a_lost_answer_of_a_server(media: MediaGenerator, emulator: Emulator) -> None:
    """Uncertain, and never sent again."""
    emulator.fault("compatible.create", "drop_after")
    with pytest.raises(SubmissionUncertainError):
        await media.image("a fox", size=SMALL, model=SERVER)
    assert emulator.books().creates == 1


async def test_a_server_without_an_address(emulator: Emulator) -> None:
    """The setting is named."""
    settings = {name: value for name, value in emulator.settings().items() if "COMPATIBLE" not in name}
    media = MediaGenerator(settings=Settings.from_env(settings), storage=MemoryStorage())
    with pytest.raises(ConfigurationError, match="OPENAI_COMPATIBLE_BASE_URL"):
        await media.image("a fox", model=SERVER)
