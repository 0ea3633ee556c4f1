"""The OpenAI adapter over real HTTP: it makes and edits images at the emulator, and types what goes wrong there."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest
from tests.canaries import KEY

from aifs_media._inputs import readable_by_provider
from aifs_media._options import model_inputs
from aifs_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ContentRejectedError,
    MediaError,
    MissingCredentialError,
    ModelRetiredError,
    PaymentRequiredError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    UnsupportedOptionError,
)
from aifs_media.protocols import (
    Cancellable,
    Catalogue,
    Checkable,
    Findable,
    InputLimits,
    Pollable,
    WebhookVerifier,
    role,
)
from aifs_media.providers._data import load_data
from aifs_media.providers.openai import OpenAIProvider
from aifs_media.records import Failed, InlineFile, InputFile, MediaRequest, Size, Succeeded
from aifs_media.storage.local import LocalStorage
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

FLARE = "gpt-image-2.5-flare"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
async def openai(emulator: Emulator) -> AsyncIterator[OpenAIProvider]:
    provider = OpenAIProvider.from_settings(emulator.settings())
    yield provider
    await provider.aclose()


async def wish(openai: OpenAIProvider, model: str = FLARE, **options: object) -> MediaRequest:
    """Return a request as the core hands it over."""
    capability = await openai.describe("image", model)
    fields: dict[str, object] = {"kind": "image", "prompt": "a cat", "provider": "openai", "model": model, **options}
    request = MediaRequest.model_validate({"lifetime": 30, **fields})
    return request.model_copy(update={"inputs": model_inputs(request, capability).values})


async def made(openai: OpenAIProvider, request: MediaRequest) -> Succeeded | Failed:
    return await openai.submit(request, submit_key="k")


# -- making images -----------------------------------------------------------------------------------------------------


def test_roles() -> None:
    """What the adapter can do, and what OpenAI has no call for."""
    provider = OpenAIProvider()
    for wanted in (Catalogue, Checkable, InputLimits):
        assert role(provider, wanted) is provider
    for missing in (Pollable, Cancellable, Findable, WebhookVerifier):
        assert role(provider, missing) is None


async def test_images(emulator: Emulator, openai: OpenAIProvider) -> None:
    """Several images of one create come inside its answer, with what their tokens cost."""
    state = await made(openai, await wish(openai, n=2, size=Size(width=512, height=256), options={"quality": "low"}))
    assert isinstance(state, Succeeded)
    files = [output for output in state.outputs if isinstance(output, InlineFile)]
    assert [(file.data[:4], file.media_type) for file in files] == [(b"\x89PNG", "image/png")] * 2
    assert files[0] != files[1]
    assert state.emulated
    assert state.cost is not None
    assert (state.cost.status, state.cost.currency) == ("estimated", "USD")
    assert float(state.cost.amount or 0) == pytest.approx(emulator.books().billed("USD"))
    request = emulator.last_request("openai.create")
    assert request.json == {"model": FLARE, "prompt": "a cat", "n": 2, "size": "512x256", "quality": "low"}
    assert not {"idempotency-key", "openai-organization", "openai-project"} & set(request.header_names)


async def test_edit(emulator: Emulator, openai: OpenAIProvider) -> None:
    """A start image makes the create an edit, in the form that is JSON."""
    request = await wish(openai, image=InputFile(url="https://x.test/a.png"), output_format="jpg")
    inputs = {**request.inputs, "images": ["https://x.test/a.png"]}
    state = await made(openai, request.model_copy(update={"inputs": inputs}))
    assert isinstance(state, Succeeded)
    (output,) = state.outputs
    assert isinstance(output, InlineFile)
    assert (output.media_type, output.data[:2]) == ("image/jpeg", b"\xff\xd8")
    sent = emulator.last_request("openai.edit")
    assert (sent.path, sent.json) == (
        "/openai/v1/images/edits",
        {"model": FLARE, "prompt": "a cat", "output_format": "jpeg", "images": [{"image_url": "https://x.test/a.png"}]},
    )
    assert not emulator.books().requested("openai.create")


@pytest.mark.parametrize("given", ["https://x.test/a.png", [{"image_url": "https://x.test/a.png"}]])
async def test_edit_unchecked(emulator: Emulator, openai: OpenAIProvider, given: object) -> None:
    """An unchecked request may name the image as the common option does, or in the vendor's own form."""
    request = MediaRequest(
        kind="image", prompt="p", provider="openai", model=FLARE, inputs={"prompt": "p", "image": given}
    )  # type: ignore[dict-item]
    assert isinstance(await made(openai, request), Succeeded)
    assert emulator.last_request("openai.edit").json == {
        "model": FLARE, "prompt": "p", "images": [{"image_url": "https://x.test/a.png"}],
    }  # fmt: skip


async def test_how_large_a_start_image_may_be(openai: OpenAIProvider, tmp_path: Path) -> None:
    """A data URL may have 20 MiB; what is larger is put behind a URL of our own storage."""
    storage = LocalStorage(tmp_path / "media", public_url="https://media.example.com")
    most = openai.data_uri_limit
    for size, beginning in ((most, "data:image/jpeg;base64,"), (most + 1, "https://media.example.com/inputs/")):
        path = tmp_path / f"{size}.jpg"
        path.write_bytes(bytes(size))
        file = InputFile(
            media_type="image/jpeg", size=size, sha256=hashlib.sha256(bytes(size)).hexdigest(), path=str(path)
        )
        url = await readable_by_provider(file, provider=openai, storage=storage, job_id="one")
        assert url.startswith(beginning)
        assert len(url) <= 20 * 1024 * 1024


async def test_everything_that_a_model_takes(emulator: Emulator, openai: OpenAIProvider) -> None:
    """Each option of the data is one that the vendor's API takes."""
    options = {
        "quality": "xhigh", "background": "opaque", "output_compression": 50, "moderation": "low", "complexity": "low",
        "safety_identifier": "user-1",
    }  # fmt: skip
    request = await wish(openai, "gpt-image-2.6-flare", output_format="webp", aspect_ratio="16:9", options=options)
    state = await made(openai, request)
    assert isinstance(state, Succeeded)
    assert emulator.last_request("openai.create").json == {
        "model": "gpt-image-2.6-flare", "prompt": "a cat", "size": "1536x864", "output_format": "webp", **options,
    }  # fmt: skip


async def test_every_built_in_model_is_alive(openai: OpenAIProvider) -> None:
    """The default of each model is accepted; those that retire soon say so."""
    for capability in openai.capabilities:
        size = Size(width=256, height=256) if capability.size_limits is not None else None
        state = await made(openai, await wish(openai, capability.model, size=size))
        assert isinstance(state, Succeeded)
        retiring = capability.model in {"gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"}
        assert retiring == ("2026-12-01" in " ".join(state.warnings)) == ("2026-12-01" in capability.note)


async def test_every_aspect_ratio_has_a_size_that_is_taken(openai: OpenAIProvider) -> None:
    """What the data asks for is within its own limits."""
    for capability in openai.capabilities:
        for ratio in capability.sizes:
            request = await wish(openai, capability.model, aspect_ratio=ratio)
            width, _, height = str(request.inputs["size"]).partition("x")
            across, _, down = ratio.partition(":")
            assert int(width) / int(height) == pytest.approx(int(across) / int(down), rel=0.01)


@pytest.mark.parametrize(
    "fields",
    [
        {"size": Size(width=1000, height=1000)},
        {"size": Size(width=3200, height=1024)},
        {"size": Size(width=4096, height=2048)},
        {"size": Size(width=3840, height=2160), "n": 2},
        {"output_format": "jpeg", "options": {"background": "transparent"}},
        {"options": {"output_compression": 50}},
        {"options": {"quality": "hd"}},
        {"options": {"response_format": "b64_json"}},
        {"output_format": "gif"},
        {"seed": 1},
        {"n": 11},
        {"model": "gpt-image-2", "options": {"quality": "max"}},
        {"model": "gpt-image-1.5", "size": Size(width=512, height=512)},
    ],
)
async def test_what_would_be_refused_is_not_sent(
    emulator: Emulator, openai: OpenAIProvider, fields: dict[str, object]
) -> None:
    """Before anything is paid."""
    with pytest.raises(UnsupportedOptionError):
        await wish(openai, **fields)  # type: ignore[arg-type]
    assert not emulator.books().requests


async def test_account(emulator: Emulator) -> None:
    """Organization and project go along where they are set, by either of their names."""
    names = {"OPENAI_ORGANIZATION": "org-1", "OPENAI_PROJECT": "proj_1"}
    provider = OpenAIProvider.from_settings({**emulator.settings(), **names})
    await made(provider, await wish(provider))
    headers = emulator.last_request("openai.create").headers
    assert (headers["openai-organization"], headers["openai-project"]) == ("org-1", "proj_1")
    await provider.aclose()
    given = OpenAIProvider(api_key=KEY, organization="org-2", project="proj_2").headers("k")
    assert given == {"authorization": "Bearer k", "openai-organization": "org-2", "openai-project": "proj_2"}


@pytest.mark.parametrize("name", ["OPENAI_ORGANIZATION", "OPENAI_PROJECT"])
@pytest.mark.parametrize("value", ["org\n1", "\u043erg-1", "org 1", "org-1\x00"])
async def test_an_account_that_cannot_be_sent(name: str, value: str) -> None:
    """Refused when the provider is built: a create with it would pass for one that may be billed."""
    with pytest.raises(ConfigurationError, match=name):
        OpenAIProvider.from_settings({name: value})
    with pytest.raises(ConfigurationError, match=name):
        OpenAIProvider(**{name.removeprefix("OPENAI_").lower(): value})


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "expected", "maybe_billed"),
    [
        ({"kind": "status", "status": 400}, RequestRejectedError, False),
        ({"kind": "status", "status": 401}, AuthenticationError, False),
        ({"kind": "status", "status": 403}, AuthenticationError, False),
        ({"kind": "status", "status": 404}, ModelRetiredError, False),
        ({"kind": "status", "status": 429}, RateLimitedError, False),
        ({"kind": "status", "status": 500}, ProviderUnavailableError, True),
        ({"kind": "status", "status": 503}, ProviderUnavailableError, True),
        ({"kind": "status", "status": 200, "body": "<html>"}, UnexpectedResponseError, True),
        ({"kind": "failed"}, ProviderUnavailableError, True),
        ({"kind": "moderated", "text": "input"}, ContentRejectedError, False),
        ({"kind": "drop_before"}, ProviderUnavailableError, True),
        ({"kind": "drop_after"}, ProviderUnavailableError, True),
        ({"kind": "half_body"}, ProviderUnavailableError, True),
        ({"kind": "redirect"}, UnexpectedResponseError, True),
        ({"kind": "truncated"}, UnexpectedResponseError, True),
    ],
    ids=str,
)
async def test_refusals_and_lost_answers(
    emulator: Emulator,
    openai: OpenAIProvider,
    *,
    fault: dict[str, object],
    expected: type[MediaError],
    maybe_billed: bool,
) -> None:
    """Each is typed, sent once, and says whether it may be billed."""
    request = await wish(openai)
    emulator.fault("openai.create", **fault)  # type: ignore[arg-type]
    with pytest.raises(expected) as caught:
        await made(openai, request)
    assert caught.value.maybe_billed is maybe_billed
    assert not (maybe_billed and caught.value.retryable)
    assert len(emulator.books().requested("openai.create")) == 1


async def test_moderation_of_what_was_made(emulator: Emulator, openai: OpenAIProvider) -> None:
    """The create was accepted and its output withheld: a failed job, whose price is not known."""
    emulator.fault("openai.create", "moderated")
    state = await made(openai, await wish(openai))
    assert isinstance(state, Failed)
    assert (state.reason, state.billed) == ("content_rejected", "unknown")


@pytest.mark.parametrize("kind", ["empty_output", "null_output"])
async def test_a_success_without_images(emulator: Emulator, openai: OpenAIProvider, kind: str) -> None:
    """No outputs, and still what it cost."""
    emulator.fault("openai.create", kind)  # type: ignore[arg-type]
    state = await made(openai, await wish(openai))
    assert isinstance(state, Succeeded)
    assert state.outputs == ()
    assert state.cost is not None


async def test_out_of_time(emulator: Emulator, openai: OpenAIProvider) -> None:
    """A held create ends with the job's lifetime; what it was for may be billed."""
    emulator.fault("openai.create", "hang_after")
    request = await wish(openai)
    with pytest.raises(ProviderUnavailableError) as caught:
        await made(openai, request.model_copy(update={"lifetime": -9.8}))
    assert caught.value.maybe_billed


async def test_no_credit(emulator: Emulator, openai: OpenAIProvider) -> None:
    """An empty account is a 429 that no waiting helps."""
    emulator.switches.openai_credit = 0
    with pytest.raises(
        PaymentRequiredError, match=r"^OpenAI account has insufficient credits\. .*platform\.openai\.com"
    ):
        await made(openai, await wish(openai))
    assert emulator.books().creates == 0


async def test_unverified_organization(emulator: Emulator, openai: OpenAIProvider) -> None:
    """The error says where it is verified."""
    emulator.switches.openai_verified = False
    with pytest.raises(AuthenticationError, match="Verify the organization at https://platform"):
        await made(openai, await wish(openai))


async def test_missing_and_wrong_key(emulator: Emulator) -> None:
    """A missing key is named before anything is sent, a wrong one after, and it is never shown."""
    request = MediaRequest(kind="image", prompt="a cat", provider="openai", model=FLARE, inputs={"prompt": "a cat"})
    provider = OpenAIProvider.from_settings({**emulator.settings(), "OPENAI_API_KEY": " "})
    with pytest.raises(MissingCredentialError) as missing:
        await made(provider, request)
    assert str(missing.value).startswith(
        "OpenAI API key is required for image generation. Please configure OPENAI_API_KEY in your environment."
    )
    provider = OpenAIProvider.from_settings({**emulator.settings(), "OPENAI_API_KEY": "wrong-key-123"})
    with pytest.raises(AuthenticationError) as wrong:
        await made(provider, request)
    assert "OPENAI_API_KEY" in str(wrong.value)
    assert "wrong-key-123" not in str(wrong.value)
    await provider.aclose()


def test_plain_http_must_be_trusted(emulator: Emulator) -> None:
    """The key does not go out unencrypted unless exactly that host is trusted."""
    with pytest.raises(ConfigurationError):
        OpenAIProvider.from_settings({**emulator.settings(), "MEDIA_TRUSTED_HOSTS": ""})


# -- models ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["gpt-image-1", "dall-e-3", "dall-e-2", "DALL-E-3", "gpt-image-1-2025-04-23"])
async def test_retired_models(emulator: Emulator, openai: OpenAIProvider, model: str) -> None:
    """They are refused without being asked for, with their successors and their last day."""
    with pytest.raises(ModelRetiredError, match="2026-") as gone:
        await openai.describe("image", model)
    assert "openai:gpt-image-2.5-flare" in gone.value.suggestions
    assert not emulator.books().requests


async def test_retired_videos(openai: OpenAIProvider) -> None:
    """OpenAI makes no videos any more; the successors are other vendors'."""
    with pytest.raises(ModelRetiredError) as gone:
        await openai.describe("video", "sora-2")
    assert gone.value.suggestions[0] == "poe:veo-3.1"
    with pytest.raises(RequestRejectedError, match="makes no videos"):
        await openai.describe("video", "sora-3")


async def test_a_model_that_retired_since(emulator: Emulator, openai: OpenAIProvider) -> None:
    """The vendor's 404 for a model of the data names what replaces it."""
    emulator.fault("openai.create", "status", status=404)
    with pytest.raises(ModelRetiredError) as gone:
        await made(openai, await wish(openai, "gpt-image-1.5"))
    assert gone.value.model == "openai:gpt-image-1.5"
    assert gone.value.suggestions == ("openai:gpt-image-2.5-sunburst", "openai:gpt-image-2.5-flare")
    assert not gone.value.maybe_billed
    assert gone.value.request_id.startswith("req_")


async def test_snapshots_and_newer_models(emulator: Emulator, openai: OpenAIProvider) -> None:
    """A dated name takes what its family takes; a newer image model that the vendor lists, what the newest do."""
    dated = await openai.describe("image", "gpt-image-2-2026-04-21")
    assert dated.model == "gpt-image-2-2026-04-21"
    assert dated.inputs == (await openai.describe("image", "gpt-image-2")).inputs
    assert not emulator.books().requests
    emulator.fault("openai.models", "status", status=200, body={"id": "gpt-image-3", "object": "model"})
    newer = await openai.describe("image", "gpt-image-3")
    assert (newer.model, newer.inputs) == ("gpt-image-3", openai.capabilities[0].inputs)
    assert emulator.last_request("openai.models").path == "/openai/v1/models/gpt-image-3"


async def test_unknown_and_other_models(openai: OpenAIProvider) -> None:
    """A misspelt name gets the names most like it; a model of texts is none of images."""
    with pytest.raises(ModelRetiredError) as unknown:
        await openai.describe("image", "gpt-image-2.5-flair")
    assert unknown.value.suggestions[0] == "openai:gpt-image-2.5-flare"
    with pytest.raises(RequestRejectedError, match="gpt-5"):
        await openai.describe("image", "gpt-5.4")


def test_successors_are_alive() -> None:
    """No retired model names another retired one, and each that is named is in somebody's data."""
    retired = load_data("openai")["retired"]
    assert isinstance(retired, dict)
    known = {
        f"{name}:{one['model']}" for name in ("openai", "poe", "replicate") for one in load_data(name)["capabilities"]
    }  # type: ignore[union-attr, call-overload, index]
    for end in retired.values():
        for name in end["successors"]:  # type: ignore[index, call-overload, union-attr]
            assert name not in retired
            assert str(name if ":" in str(name) else f"openai:{name}") in known


async def test_check(emulator: Emulator, openai: OpenAIProvider) -> None:
    """The list of models proves the key; a wrong one and a missing one say what to do."""
    (found,) = await openai.check()
    assert found.ok
    assert FLARE in found.facts["models"]  # type: ignore[operator]
    assert "8 are open" in found.message
    for key in ("", KEY):
        provider = OpenAIProvider.from_settings({**emulator.settings(), "OPENAI_API_KEY": key})
        (found,) = await provider.check()
        assert not found.ok
        assert found.hint
        await provider.aclose()
