"""What is refused before anything is paid, and what a provider refuses: one typed error with the next step in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aifs_media import (
    AuthenticationError,
    ConfigurationError,
    ContentRejectedError,
    JobConflictError,
    JobNotFoundError,
    MediaError,
    MediaGenerator,
    MissingCredentialError,
    ModelRetiredError,
    NoMediaError,
    PaymentRequiredError,
    ProviderUnavailableError,
    RequestRejectedError,
    Settings,
    UnknownProviderError,
    UnsupportedOptionError,
)
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media.testing.emulator import Emulator

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("options", "expected", "words"),
    [
        ({"options": {"num_output": 2}}, UnsupportedOptionError, "Did you mean"),
        ({"options": {"num_inference_steps": 9}}, UnsupportedOptionError, "from 1 to 4"),
        ({"size": "huge"}, UnsupportedOptionError, "not a size"),
        ({"aspect_ratio": "7:3"}, UnsupportedOptionError, "It takes:"),
        ({"negative_prompt": "blur"}, UnsupportedOptionError, "can."),
        ({"model": "replicat:x"}, UnknownProviderError, "Did you mean 'replicate'"),
        ({"image": "/nowhere/a.png"}, RequestRejectedError, "cannot be read"),
        ({"image": b"<html>"}, RequestRejectedError, "start image"),
        ({"tags": {"note": "x" * 3000}}, RequestRejectedError, "2,048|2048"),
        ({"job_id": "../../etc"}, RequestRejectedError, "job id"),
        ({"timeout": -1}, RequestRejectedError, "timeout"),
    ],
    ids=str,
)
async def test_refused_before_anything_is_sent(
    media: MediaGenerator, emulator: Emulator, options: dict[str, object], expected: type[MediaError], words: str
) -> None:
    """The provider's books show no create."""
    with pytest.raises(expected, match=words):
        await media.image("a fox", **options)
    assert emulator.books().creates == 0


async def test_an_empty_prompt_is_refused(media: MediaGenerator, emulator: Emulator) -> None:
    """A blank prompt would be billed for nothing."""
    with pytest.raises(RequestRejectedError, match="prompt is empty"):
        await media.image("  ")
    assert emulator.books().requests == ()


async def test_a_missing_tag_of_the_template_is_refused(
    make: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """The key must be complete before money is spent."""
    media = make(media_key_template="{tenant}/{job_id}-{index}.{extension}")
    with pytest.raises(RequestRejectedError, match="tenant"):
        await media.image("a fox")
    with pytest.raises(RequestRejectedError, match="tenant"):
        await media.image("a fox", tags={"tenant": "../x"})
    assert emulator.books().creates == 0


async def test_fifteen_seconds_name_who_can(media: MediaGenerator, emulator: Emulator) -> None:
    """360 frames of Zeroscope cannot be made: the error names models that make 15 seconds."""
    with pytest.raises(UnsupportedOptionError, match="kling"):
        await media.video(
            "a fox",
            model="replicate:anotherjesse/zeroscope-v2-xl:"
            "9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351",
            duration=15,
            fps=24,
        )
    assert emulator.books().creates == 0


async def test_missing_key_is_raised_when_first_needed(emulator: Emulator) -> None:
    """Without a Replicate key Poe still works; Replicate's error is the known sentence."""
    settings = {name: value for name, value in emulator.settings().items() if name != "REPLICATE_API_KEY"}
    media = MediaGenerator(settings=Settings.from_env(settings), storage=MemoryStorage())
    with pytest.raises(MissingCredentialError) as missing:
        await media.image("a fox")
    assert str(missing.value).startswith(
        "Replicate API key is required for image/video generation. Please configure REPLICATE_API_KEY in your environment."
    )
    assert (await media.image("a fox", model="poe:imagen-4")).provider == "poe"


async def test_wrong_key(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """A wrong key is named with the setting to look at, and never shown."""
    media = make(replicate_api_key="r8_wrong-canary")
    with pytest.raises(AuthenticationError, match="REPLICATE_API_KEY") as refused:
        await media.image("a fox")
    assert "canary" not in repr(refused.value) + str(refused.value)
    assert not refused.value.maybe_billed
    assert refused.value.http_status == 502


async def test_no_credit(media: MediaGenerator, emulator: Emulator) -> None:
    """402 is the known sentence with the place where credit is bought."""
    emulator.replicate_credit = 0
    with pytest.raises(PaymentRequiredError) as refused:
        await media.image("a fox")
    assert str(refused.value).startswith(
        "Replicate account has insufficient credits. Please add credits at https://replicate.com/account/billing"
    )


async def test_dead_network(make: Callable[..., MediaGenerator]) -> None:
    """Nothing listens: three tries, then one error that says so; nothing is billed."""
    media = make(replicate_base_url="http://127.0.0.1:9/v1", media_trusted_hosts="127.0.0.1:9")
    with pytest.raises(ProviderUnavailableError, match="No connection") as refused:
        await media.image("a fox")
    assert not refused.value.maybe_billed
    assert refused.value.job_id


async def test_an_http_address_must_be_trusted(make: Callable[..., MediaGenerator]) -> None:
    """A key goes over plain http only to a host that was listed."""
    media = make(replicate_base_url="http://127.0.0.1:9/v1", media_trusted_hosts="127.0.0.1:10")
    with pytest.raises(ConfigurationError, match="not https"):
        await media.image("a fox")


async def test_moderation_on_replicate(media: MediaGenerator, emulator: Emulator) -> None:
    """A refused prompt is its own error, and the same for everyone who asks again."""
    emulator.fault("replicate.create", "moderated")
    for _ in range(2):
        with pytest.raises(ContentRejectedError) as refused:
            await media.image("something", job_id="one")
        assert refused.value.job_id == "one"
    assert emulator.books().creates == 1


async def test_text_instead_of_media_on_poe(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """A 200 without media is a typed error, never a placeholder."""
    emulator.fault("poe.chat", "text_only", text="Hello there!")
    with pytest.raises(NoMediaError, match="Hello there!"):
        await make(image_provider="poe").image("a fox")


async def test_unknown_bot_and_unknown_model(media: MediaGenerator, emulator: Emulator) -> None:
    """A model that does not exist is told before anything is paid, with ones that do."""
    with pytest.raises(ModelRetiredError, match="veo"):
        await media.video("a fox", model="poe:veo-31")
    with pytest.raises(ModelRetiredError):
        await media.image("a fox", model="replicate:nobody/nothing")
    assert emulator.books().creates == 0


async def test_default_bot_gone(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """When Poe has no Video-Generator-PRO, the error names listed bots and the setting."""
    emulator.switches.unlisted_bots = frozenset()
    with pytest.raises(ModelRetiredError, match="VIDEO_MODEL"):
        await make().video("a fox")


async def test_another_request_for_the_same_id(media: MediaGenerator, emulator: Emulator) -> None:
    """A job id belongs to one request."""
    await media.image("a fox", job_id="mine")
    with pytest.raises(JobConflictError):
        await media.image("a wolf", job_id="mine")
    assert emulator.books().creates == 1


async def test_a_job_nobody_knows(media: MediaGenerator) -> None:
    """An id that is not in the ledger is an error with a hint."""
    with pytest.raises(JobNotFoundError, match="ledger"):
        await media.resume("nothing")


async def test_a_moderation_refusal_is_an_end(media: MediaGenerator, emulator: Emulator) -> None:
    """Whoever asks again for the job gets the same answer, and the provider is not asked a second time."""
    emulator.fault("poe.chat", "moderated")
    for _ in range(2):
        with pytest.raises(ContentRejectedError) as refused:
            await media.image("a fox", model="poe:imagen-4", job_id="one")
        assert not refused.value.maybe_billed
    with pytest.raises(ContentRejectedError):
        await media.resume("one")
    assert len(emulator.books().requested("poe.chat")) == 1
    (job,) = await media.jobs()
    assert (job.stage, job.attempts[-1].outcome) == ("failed", "not_accepted")


S3_KEYS = {"S3_ACCESS_KEY_ID": "canary-access-key", "S3_SECRET_ACCESS_KEY": "canary-secret-key", "S3_BUCKET": "media", "S3_REGION": "us-east-1"}  # fmt: skip


@pytest.mark.parametrize("address", ["https://℀.com/v1", "http://[", "https://x:abc"])
@pytest.mark.parametrize(
    "settings",
    [
        {"MEDIA_NOTIFY_URL": "ADDRESS"},
        {"MEDIA_WEBHOOK_URL": "ADDRESS"},
        {"MEDIA_STORAGE": "local", "MEDIA_PUBLIC_URL": "ADDRESS"},
        {"MEDIA_STORAGE": "s3", "S3_ENDPOINT": "ADDRESS", **S3_KEYS},
        {"MEDIA_STORAGE": "s3", "S3_PUBLIC_URL": "ADDRESS", **S3_KEYS},
    ],
    ids=lambda settings: "-".join(settings)[:40],
)
async def test_an_address_that_cannot_be_read(
    emulator: Emulator, tmp_path: Path, settings: dict[str, str], address: str
) -> None:
    """It is refused by name, before anything is sent."""
    given = {name: address if value == "ADDRESS" else value for name, value in settings.items()}
    with pytest.raises(MediaError):
        await MediaGenerator.from_env({**emulator.settings(), "MEDIA_LOCAL_DIR": str(tmp_path), **given}).image("a fox")
    assert emulator.books().creates == 0


@pytest.mark.parametrize(
    "settings",
    [
        {"MEDIA_LEDGER": "sqlite:////tmp/\x00x"},
        {"MEDIA_LEDGER": f"sqlite:///{'a' * 300}"},
        {"MEDIA_STORAGE": "local", "MEDIA_LOCAL_DIR": "/tmp/\x00x"},
    ],
)
async def test_a_path_that_there_cannot_be(emulator: Emulator, tmp_path: Path, settings: dict[str, str]) -> None:
    """It is refused by name, before anything is sent."""
    folder = {"MEDIA_STORAGE": "local", "MEDIA_LOCAL_DIR": str(tmp_path)}
    with pytest.raises(MediaError):
        await MediaGenerator.from_env({**emulator.settings(), **folder, **settings}).image("a fox")
    assert emulator.books().creates == 0
