"""The Poe adapter over real HTTP: it makes images, videos and texts at the emulator, and types what goes wrong there."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import anyio
import pytest

from aifs_media._options import model_inputs
from aifs_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ContentRejectedError,
    JobNotFoundError,
    MediaError,
    MissingCredentialError,
    ModelRetiredError,
    PaymentRequiredError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
)
from aifs_media.protocols import Cancellable, Catalogue, Checkable, CostReporter, Findable, Pollable, TextWriter, role
from aifs_media.providers.poe import PoeProvider
from aifs_media.records import Attempt, Failed, MediaRequest, Pending, RemoteFile, Succeeded, TextRequest
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

UNLISTED = "Video-Generator-PRO"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
async def poe(emulator: Emulator) -> AsyncIterator[PoeProvider]:
    provider = PoeProvider.from_settings(emulator.settings())
    yield provider
    await provider.aclose()


async def wish(poe: PoeProvider, kind: str, bot: str, prompt: str = "a cat", **options: object) -> MediaRequest:
    """Return a request as the core hands it over."""
    capability = await poe.describe(kind, bot)  # type: ignore[arg-type]
    request = MediaRequest(kind=kind, prompt=prompt, provider="poe", model=bot, lifetime=30, **options)  # type: ignore[arg-type]
    return request.model_copy(update={"inputs": model_inputs(request, capability).values})


def attempt(request: MediaRequest, started_at: datetime, key: str = "k") -> Attempt:
    return Attempt(submit_key=key, provider="poe", model=request.model, started_at=started_at, send_by=started_at)


async def submitted(poe: PoeProvider, request: MediaRequest, key: str = "k") -> Succeeded | Pending | Failed:
    return await poe.submit(request, submit_key=key)


# -- making media ------------------------------------------------------------------------------------------------------


def test_roles() -> None:
    """What the adapter can do, and what Poe has no call for."""
    provider = PoeProvider()
    for wanted in (Pollable, Catalogue, CostReporter, Checkable, TextWriter):
        assert role(provider, wanted) is provider
    for missing in (Cancellable, Findable):
        assert role(provider, missing) is None


async def test_image(emulator: Emulator, poe: PoeProvider) -> None:
    """An image is one remote file, asked for once, with the bot's own names as members of the body."""
    request = await wish(poe, "image", "Imagen-4", "a [cat] (see https://example.com/cat.png)", aspect_ratio="16:9")
    state = await submitted(poe, request)
    assert isinstance(state, Succeeded)
    (output,) = state.outputs
    assert isinstance(output, RemoteFile)
    assert output.url.startswith(f"{emulator.delivery_url}/base/image/")
    assert state.emulated
    sent = emulator.last_request("poe.chat").json
    assert sent == {
        "model": "Imagen-4",
        "messages": [{"role": "user", "content": request.prompt}],
        "stream": False,
        "aspect_ratio": "16:9",
    }


async def test_several_images(poe: PoeProvider) -> None:
    """Several images of one create are several outputs."""
    state = await submitted(poe, await wish(poe, "image", "hunyuan-image-3", n=3))
    assert isinstance(state, Succeeded)
    assert len({output.url for output in state.outputs if isinstance(output, RemoteFile)}) == 3


async def test_bot_that_would_rather_talk(poe: PoeProvider) -> None:
    """`image_only` makes the bot an image bot; without it the answer is a typed failure."""
    request = await wish(poe, "image", "nano-banana")
    assert isinstance(await submitted(poe, request), Succeeded)
    talked = await submitted(poe, request.model_copy(update={"inputs": {"prompt": "a cat"}}))
    assert isinstance(talked, Failed)
    assert talked.reason == "no_media"


async def test_default_video_bot(emulator: Emulator, poe: PoeProvider) -> None:
    """The unlisted default bot is called by chat, with its 15 s as a member of the body."""
    state = await submitted(poe, await wish(poe, "video", UNLISTED))
    assert isinstance(state, Succeeded)
    sent = emulator.last_request("poe.chat").json
    assert isinstance(sent, dict)
    assert (sent["model"], sent["duration"]) == (UNLISTED, 15)


async def test_video_as_a_job(emulator: Emulator, poe: PoeProvider) -> None:
    """A bot of `/v1/videos` gives a handle that can be asked again, and a file that needs the key."""
    emulator.switches.latency = 80
    state = await submitted(poe, await wish(poe, "video", "Veo-3.1", duration=4, aspect_ratio="9:16"))
    assert isinstance(state, Pending)
    assert emulator.last_request("poe.videos.create").json == {
        "model": "Veo-3.1", "prompt": "a cat", "seconds": 4, "size": "720x1280",
    }  # fmt: skip
    emulator.advance(40)
    running = await poe.poll(state.ref)
    assert isinstance(running, Pending)
    assert running.progress == pytest.approx(0.5, abs=0.05)
    emulator.advance(41)
    done = await poe.poll(state.ref)
    assert isinstance(done, Succeeded)
    assert done.emulated
    (output,) = done.outputs
    assert isinstance(output, RemoteFile)
    assert output.auth == "provider"
    assert output.url == f"{emulator.poe_url}/videos/{state.ref}/content"
    assert poe.authorization_for(output.url)
    assert not poe.authorization_for(f"{emulator.delivery_url}/base/video/x")


async def test_video_that_the_endpoint_cannot_say(emulator: Emulator, poe: PoeProvider) -> None:
    """A seed has no member there, so the bot is called by chat."""
    state = await submitted(poe, await wish(poe, "video", "veo-3.1", seed=7))
    assert isinstance(state, Succeeded)
    sent = emulator.last_request("poe.chat").json
    assert isinstance(sent, dict)
    assert sent["seed"] == "7"


async def test_bot_of_the_catalogue(emulator: Emulator, poe: PoeProvider) -> None:
    """A bot without built-in data is described by the catalogue, which is fetched once, and called the same way."""
    state = await submitted(poe, await wish(poe, "video", "Veo-3", duration=4))
    assert isinstance(state, Pending)
    state = await submitted(poe, await wish(poe, "video", "seedance-1.0-lite", duration=5))
    assert isinstance(state, Succeeded)
    assert sum(request.route == "poe.models" for request in emulator.books().requests) == 1


async def test_failed_video(emulator: Emulator, poe: PoeProvider) -> None:
    """A video may fail, or be refused by moderation, after it was accepted."""
    for kind, reason in (("failed", "generation_failed"), ("moderated", "content_rejected")):
        emulator.fault("poe.videos.create", kind)  # type: ignore[arg-type]
        state = await submitted(poe, await wish(poe, "video", "veo-3.1"))
        assert isinstance(state, Pending)
        ended = await poe.poll(state.ref)
        assert isinstance(ended, Failed)
        assert ended.reason == reason


async def test_unknown_video(poe: PoeProvider) -> None:
    """A video that Poe does not know is no failure of the job, and no outage."""
    with pytest.raises(JobNotFoundError, match="video_unknown") as caught:
        await poe.poll("video_unknown")
    assert not caught.value.retryable


# -- what goes wrong ---------------------------------------------------------------------------------------------------


async def test_failed_generation(emulator: Emulator, poe: PoeProvider) -> None:
    """A 500 in Poe's own words is a failed job that may have been billed, not a lost answer."""
    emulator.fault("poe.chat", "failed", text="Error from OpenAI: The server had an error")
    state = await submitted(poe, await wish(poe, "image", "gpt-image-1"))
    assert isinstance(state, Failed)
    assert (state.reason, state.billed) == ("generation_failed", "unknown")
    assert "The server had an error" in state.message


@pytest.mark.parametrize(
    ("fault", "expected", "maybe_billed"),
    [
        ({"kind": "status", "status": 401}, AuthenticationError, False),
        ({"kind": "status", "status": 402}, PaymentRequiredError, False),
        ({"kind": "status", "status": 408}, ProviderUnavailableError, False),
        ({"kind": "status", "status": 408, "body": "<html>Request Timeout</html>"}, ProviderUnavailableError, True),
        ({"kind": "status", "status": 408, "body": {"error": "timeout"}}, ProviderUnavailableError, True),
        ({"kind": "status", "status": 413}, RequestRejectedError, False),
        ({"kind": "status", "status": 429}, RateLimitedError, False),
        ({"kind": "status", "status": 503}, ProviderUnavailableError, False),
        ({"kind": "status", "status": 524}, ProviderUnavailableError, True),
        ({"kind": "status", "status": 529}, ProviderUnavailableError, False),
        ({"kind": "moderated"}, ContentRejectedError, False),
        ({"kind": "drop_before"}, ProviderUnavailableError, True),
        ({"kind": "drop_after"}, ProviderUnavailableError, True),
        ({"kind": "half_body"}, ProviderUnavailableError, True),
    ],
)
async def test_refusals_and_lost_answers(
    emulator: Emulator, poe: PoeProvider, *, fault: dict[str, object], expected: type[MediaError], maybe_billed: bool
) -> None:
    """Each is typed, sent once, and says whether it may be billed."""
    request = await wish(poe, "image", "imagen-4")
    emulator.fault("poe.chat", **fault)  # type: ignore[arg-type]
    with pytest.raises(expected) as caught:
        await submitted(poe, request)
    assert caught.value.maybe_billed is maybe_billed
    assert not (maybe_billed and caught.value.retryable)
    assert sum(request.route == "poe.chat" for request in emulator.books().requests) == 1


async def test_out_of_time(emulator: Emulator, poe: PoeProvider) -> None:
    """A held call ends with the job's lifetime; what it was for may be billed."""
    emulator.fault("poe.chat", "hang_after")
    request = await wish(poe, "image", "imagen-4")
    with pytest.raises(ProviderUnavailableError) as caught:
        await submitted(poe, request.model_copy(update={"lifetime": -9.8}))
    assert caught.value.maybe_billed


async def test_text_where_an_image_was_wanted(emulator: Emulator, poe: PoeProvider) -> None:
    """A 200 without media is a typed failure that quotes the bot."""
    emulator.fault("poe.chat", "text_only", text="What a lovely idea!")
    state = await submitted(poe, await wish(poe, "image", "imagen-4"))
    assert isinstance(state, Failed)
    assert "What a lovely idea!" in state.message


async def test_foreign_link(emulator: Emulator, poe: PoeProvider) -> None:
    """A link to another host is an output like any other, and gets no key."""
    emulator.fault("poe.chat", "foreign_output", url="https://example.com/x.png")
    state = await submitted(poe, await wish(poe, "image", "dall-e-3"))
    assert isinstance(state, Succeeded)
    assert state.outputs == (RemoteFile(url="https://example.com/x.png"),)


async def test_no_points(emulator: Emulator, poe: PoeProvider) -> None:
    """Without points a paid bot refuses; the error says where there are more."""
    emulator.switches.poe_points = 0
    with pytest.raises(
        PaymentRequiredError, match=r"^Poe account has insufficient credits\. .*https://poe\.com/api/keys"
    ):
        await submitted(poe, await wish(poe, "image", "imagen-4"))


async def test_missing_and_wrong_key(emulator: Emulator) -> None:
    """A missing key is named before anything is sent, a wrong one after, and it is never shown."""
    provider = PoeProvider.from_settings({**emulator.settings(), "POE_API_KEY": " "})
    request = MediaRequest(kind="image", prompt="a cat", provider="poe", model="imagen-4", inputs={"prompt": "a cat"})
    with pytest.raises(MissingCredentialError) as missing:
        await submitted(provider, request)
    assert str(missing.value).startswith(
        "Poe API key is required for image/video generation. Please configure POE_API_KEY in your environment."
    )
    provider = PoeProvider.from_settings({**emulator.settings(), "POE_API_KEY": "wrong-key-123"})
    with pytest.raises(AuthenticationError) as wrong:
        await submitted(provider, request)
    assert "POE_API_KEY" in str(wrong.value)
    assert "wrong-key-123" not in str(wrong.value)
    await provider.aclose()


def test_plain_http_must_be_trusted(emulator: Emulator) -> None:
    """The key does not go out unencrypted unless exactly that host is trusted."""
    with pytest.raises(ConfigurationError):
        PoeProvider.from_settings({**emulator.settings(), "MEDIA_TRUSTED_HOSTS": ""})


# -- bots --------------------------------------------------------------------------------------------------------------


async def test_default_bot_that_is_gone(emulator: Emulator, poe: PoeProvider) -> None:
    """A 404 for the unlisted default names a bot that there is, and the setting to change."""
    emulator.switches.unlisted_bots = frozenset()
    with pytest.raises(ModelRetiredError) as caught:
        await submitted(poe, await wish(poe, "video", UNLISTED))
    assert caught.value.model == f"poe:{UNLISTED}"
    assert caught.value.suggestions[0] == "poe:veo-3.1"
    assert "VIDEO_MODEL=poe:veo-3.1" in str(caught.value)
    assert not caught.value.maybe_billed


async def test_misspelt_bot(poe: PoeProvider) -> None:
    """A bot that nobody lists is refused before anything is sent, with the names most like it."""
    with pytest.raises(ModelRetiredError) as caught:
        await poe.describe("video", "Kling-v3-Pr")
    assert caught.value.suggestions[0] == "poe:kling-v3-pro"


async def test_retired_bot(poe: PoeProvider) -> None:
    """A bot whose vendor has ended it is refused, though it may still be listed."""
    with pytest.raises(ModelRetiredError) as caught:
        await poe.describe("video", "Sora-2")
    assert caught.value.suggestions == ("poe:veo-3.1",)


async def test_bot_of_another_kind(poe: PoeProvider) -> None:
    """An image bot makes no video."""
    with pytest.raises(RequestRejectedError, match="imagen-4"):
        await poe.describe("video", "imagen-4")


async def test_catalogue_out_of_reach(emulator: Emulator, poe: PoeProvider) -> None:
    """Built-in bots need no catalogue; of any other, it must be said that it could not be asked."""
    emulator.fault("poe.models", "status", status=503, times=9)
    assert (await poe.describe("video", "veo-3.1")).model == "veo-3.1"
    with pytest.raises(ProviderUnavailableError) as caught:
        await poe.describe("video", "pixverse-v5")
    assert caught.value.retryable
    emulator.switches.unlisted_bots = frozenset()
    with pytest.raises(ModelRetiredError) as gone:
        await submitted(poe, await wish(poe, "video", UNLISTED))
    assert gone.value.suggestions[0] == "poe:veo-3.1"


# -- points ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["reference", "guide"])
async def test_cost_afterwards(emulator: Emulator, poe: PoeProvider, form: str) -> None:
    """Poe's history says what the only call of a bot has cost, in both of its forms."""
    emulator.switches.poe_history_form = form  # type: ignore[assignment]
    request = await wish(poe, "image", "Imagen-4")
    started = datetime.now(UTC)
    await submitted(poe, request)
    await submitted(poe, await wish(poe, "image", "flux-schnell"), "other")
    cost = await poe.report_cost(request, attempt(request, started))
    assert cost is not None
    assert (cost.amount, cost.currency, cost.basis, cost.status) == (Decimal(500), "points", "points", "reported")


async def test_cost_of_calls_side_by_side(emulator: Emulator, poe: PoeProvider) -> None:
    """Two calls of one bot at the same time cannot be told apart, though only one of them is in the history."""
    emulator.fault("poe.chat", "failed")
    request = await wish(poe, "image", "imagen-4")
    started = datetime.now(UTC)
    async with anyio.create_task_group() as group:
        group.start_soon(submitted, poe, request, "one")
        group.start_soon(submitted, poe, request, "two")
    assert await poe.report_cost(request, attempt(request, started, "one")) is None
    assert await poe.report_cost(request, attempt(request, started, "two")) is None


async def test_cost_of_a_video_job(emulator: Emulator, poe: PoeProvider) -> None:
    """The cost of a video is known when it is done, and a call beside it on the same bot hides it."""
    request = await wish(poe, "video", "veo-3.1")
    started = datetime.now(UTC)
    state = await submitted(poe, request, "one")
    assert isinstance(state, Pending)
    assert isinstance(await poe.poll(state.ref), Succeeded)
    cost = await poe.report_cost(request, attempt(request, started, "one"))
    assert cost is not None
    assert cost.amount == 9000
    emulator.switches.latency = 60
    running = datetime.now(UTC)
    await submitted(poe, request, "two")
    await submitted(poe, request, "three")
    emulator.advance(61)
    assert await poe.report_cost(request, attempt(request, running, "three")) is None


async def test_check(emulator: Emulator, poe: PoeProvider) -> None:
    """The balance proves the key; none left, a wrong key and a missing one each say what to do."""
    (found,) = await poe.check()
    assert found.ok
    assert found.facts == {"points": 1_000_000}
    assert "1,000,000 points" in found.message
    emulator.switches.poe_points = 0
    (empty,) = await poe.check()
    assert not empty.ok
    assert "https://poe.com/api/keys" in empty.hint
    for key in ("", "wrong-canary-key"):
        provider = PoeProvider.from_settings({**emulator.settings(), "POE_API_KEY": key})
        (found,) = await provider.check()
        assert not found.ok
        assert found.hint
        await provider.aclose()


# -- text --------------------------------------------------------------------------------------------------------------


async def test_write(emulator: Emulator, poe: PoeProvider) -> None:
    """A text comes from the named bot, or from a small one, with system and user messages."""
    result = await poe.write(TextRequest(prompt="Say hello", system="Be brief."))
    assert result.text
    assert result.emulated
    assert result.prompt_tokens
    sent = emulator.last_request("poe.chat").json
    assert isinstance(sent, dict)
    assert sent["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Say hello"}]
    assert sent["model"] == result.model == "gpt-5.4-mini"
    assert (await poe.write(TextRequest(prompt="Say hello", model="GPT-5.4-mini"))).model == "GPT-5.4-mini"


async def test_write_with_a_bot_that_is_none(poe: PoeProvider) -> None:
    """An unknown bot is an error that names the setting of texts."""
    with pytest.raises(ModelRetiredError, match=r"TEXT_MODEL=poe:gpt-5\.4-mini"):
        await poe.write(TextRequest(prompt="Say hello", model="no-such-bot"))


async def test_write_is_sent_once(emulator: Emulator, poe: PoeProvider) -> None:
    """A lost answer is an error that may be billed; an answer that is none is one as well."""
    emulator.fault("poe.chat", "drop_after")
    with pytest.raises(ProviderUnavailableError) as caught:
        await poe.write(TextRequest(prompt="Say hello"))
    assert caught.value.maybe_billed
    emulator.fault("poe.chat", "status", status=200, body={"choices": []})
    with pytest.raises(UnexpectedResponseError):
        await poe.write(TextRequest(prompt="Say hello"))
    assert sum(request.route == "poe.chat" for request in emulator.books().requests) == 2
