"""The adapter for servers that copy OpenAI's image API, over real HTTP: any model, a key or none, URLs or base64."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.canaries import KEY

from aifs_media._options import model_inputs
from aifs_media.errors import (
    AuthenticationError,
    ConfigurationError,
    MediaError,
    ModelRetiredError,
    ProviderUnavailableError,
    RequestRejectedError,
    UnexpectedResponseError,
    UnsupportedOptionError,
)
from aifs_media.protocols import Cancellable, Catalogue, Checkable, Findable, Pollable, role
from aifs_media.providers.openai_compatible import OpenAICompatibleProvider
from aifs_media.records import Failed, InlineFile, InputFile, MediaRequest, RemoteFile, Size, Succeeded
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

MODEL = "black-forest-labs/flux-emulated"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
async def server(emulator: Emulator) -> AsyncIterator[OpenAICompatibleProvider]:
    provider = OpenAICompatibleProvider.from_settings(emulator.settings())
    yield provider
    await provider.aclose()


async def wish(server: OpenAICompatibleProvider, *, check: bool = True, **options: object) -> MediaRequest:
    """Return a request as the core hands it over."""
    fields: dict[str, object] = {"kind": "image", "prompt": "a cat", "provider": server.name, "model": MODEL, **options}
    request = MediaRequest.model_validate({"lifetime": 30, **fields})
    inputs = model_inputs(request, await server.describe("image", MODEL), check=check)
    return request.model_copy(update={"inputs": inputs.values})


async def made(server: OpenAICompatibleProvider, request: MediaRequest) -> Succeeded | Failed:
    return await server.submit(request, submit_key="k")


def test_roles() -> None:
    """What the adapter can do, and what these servers have no call for."""
    provider = OpenAICompatibleProvider()
    for wanted in (Catalogue, Checkable):
        assert role(provider, wanted) is provider
    for missing in (Pollable, Cancellable, Findable):
        assert role(provider, missing) is None


async def test_urls(emulator: Emulator, server: OpenAICompatibleProvider) -> None:
    """The server answers links; without a key none is sent, and nothing that it was not asked for."""
    state = await made(server, await wish(server, n=2, size=Size(width=640, height=480)))
    assert isinstance(state, Succeeded)
    assert len(state.outputs) == 2
    for output in state.outputs:
        assert isinstance(output, RemoteFile)
        assert output.auth == "none"
        assert output.url.startswith(f"{emulator.delivery_url}/compatible/")
    assert state.cost is None
    request = emulator.last_request("compatible.create")
    assert not request.authorized
    assert request.json == {"model": MODEL, "prompt": "a cat", "n": 2, "size": "640x480"}


async def test_base64(emulator: Emulator, server: OpenAICompatibleProvider) -> None:
    """What a server takes beyond that goes along unchecked, and base64 is read as well as a data URI."""
    request = await wish(server, check=False, options={"response_format": "b64_json", "steps": 4})
    state = await made(server, request)
    assert isinstance(state, Succeeded)
    assert isinstance(state.outputs[0], InlineFile)
    assert emulator.last_request("compatible.create").json == {
        "model": MODEL, "prompt": "a cat", "response_format": "b64_json", "steps": 4,
    }  # fmt: skip
    emulator.fault("compatible.create", "data_uri")
    state = await made(server, await wish(server))
    assert isinstance(state, Succeeded)
    (output,) = state.outputs
    assert isinstance(output, InlineFile)
    assert output.data.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "fields", [{"options": {"steps": 4}}, {"seed": 1}, {"image": InputFile(url="https://x.test/a.png")}, {"n": 11}]
)
async def test_what_nobody_can_check_is_not_sent(server: OpenAICompatibleProvider, fields: dict[str, object]) -> None:
    """Unless the caller says so."""
    with pytest.raises(UnsupportedOptionError):
        await wish(server, **fields)


async def test_with_a_key(emulator: Emulator) -> None:
    """A key goes to the server, and to nobody else."""
    provider = OpenAICompatibleProvider.from_settings({**emulator.settings(), "OPENAI_COMPATIBLE_API_KEY": KEY})
    await made(provider, await wish(provider))
    assert emulator.last_request("compatible.create", reveal=True).headers["authorization"] == f"Bearer {KEY}"
    assert provider.authorization_for(f"{emulator.compatible_url}/files/x.png")
    assert not provider.authorization_for(f"{emulator.delivery_url}/x.png")
    await provider.aclose()


async def test_without_an_address(emulator: Emulator) -> None:
    """It is loaded all the same, and names the setting when it is needed."""
    provider = OpenAICompatibleProvider.from_settings({})
    request = MediaRequest(kind="image", prompt="p", provider=provider.name, model=MODEL, inputs={"prompt": "p"})
    with pytest.raises(ConfigurationError, match="OPENAI_COMPATIBLE_BASE_URL"):
        await made(provider, request)
    (found,) = await provider.check()
    assert not found.ok
    assert "OPENAI_COMPATIBLE_BASE_URL" in found.hint
    with pytest.raises(ConfigurationError, match="MEDIA_TRUSTED_HOSTS"):
        OpenAICompatibleProvider.from_settings({"OPENAI_COMPATIBLE_BASE_URL": "http://localhost:8080/v1"})
    local = {"OPENAI_COMPATIBLE_BASE_URL": "http://localhost:8080/v1/", "MEDIA_TRUSTED_HOSTS": "localhost:8080"}
    assert OpenAICompatibleProvider.from_settings(local).base_url == "http://localhost:8080/v1"


@pytest.mark.parametrize(
    ("fault", "expected", "maybe_billed"),
    [
        ({"kind": "status", "status": 401}, AuthenticationError, False),
        ({"kind": "status", "status": 404}, ModelRetiredError, False),
        ({"kind": "status", "status": 503}, ProviderUnavailableError, True),
        ({"kind": "status", "status": 200, "body": "<html>"}, UnexpectedResponseError, True),
        ({"kind": "drop_after"}, ProviderUnavailableError, True),
    ],
    ids=str,
)
async def test_refusals_and_lost_answers(
    emulator: Emulator,
    server: OpenAICompatibleProvider,
    *,
    fault: dict[str, object],
    expected: type[MediaError],
    maybe_billed: bool,
) -> None:
    """Each is typed, sent once, and says whether it may be billed."""
    request = await wish(server)
    emulator.fault("compatible.create", **fault)  # type: ignore[arg-type]
    with pytest.raises(expected) as caught:
        await made(server, request)
    assert caught.value.maybe_billed is maybe_billed
    assert len(emulator.books().requested("compatible.create")) == 1


async def test_failures(emulator: Emulator, server: OpenAICompatibleProvider) -> None:
    """The model behind a gateway fails inside a 200, or its moderation refuses."""
    for kind, reason in (("failed", "generation_failed"), ("moderated", "content_rejected")):
        emulator.fault("compatible.create", kind)  # type: ignore[arg-type]
        state = await made(server, await wish(server))
        assert isinstance(state, Failed)
        assert (state.reason, state.billed) == (reason, "unknown")


async def test_unknown_model(server: OpenAICompatibleProvider) -> None:
    """The server says which models it has."""
    request = await wish(server)
    with pytest.raises(ModelRetiredError, match="does not exist") as gone:
        await made(server, request.model_copy(update={"model": "nobody"}))
    assert gone.value.model == "openai-compatible:nobody"


async def test_no_videos(server: OpenAICompatibleProvider) -> None:
    """Nothing but images."""
    with pytest.raises(RequestRejectedError, match="images only"):
        await server.describe("video", MODEL)


async def test_check(emulator: Emulator, server: OpenAICompatibleProvider) -> None:
    """The list of models says that the server is there."""
    (found,) = await server.check()
    assert found.ok
    assert "2 models" in found.message
    emulator.fault("compatible.models", "status", status=401)
    (found,) = await server.check()
    assert not found.ok
