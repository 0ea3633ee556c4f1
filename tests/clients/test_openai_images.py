"""PyPI's openai against the emulated OpenAI, unchanged, and its requests beside ours. Skipped where it is not installed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

openai = pytest.importorskip("openai")

from aifs_media import MediaGenerator, Settings  # noqa: E402 - after the skip
from aifs_media.storage.memory import MemoryStorage  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aifs_media.testing.emulator import Emulator

FLARE = "gpt-image-2.5-flare"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
ERRORS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
}
HEADERS_OF_BOTH = {
    "accept",
    "accept-encoding",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "user-agent",
}


def options(emulator: Emulator, **more: Any) -> dict[str, Any]:
    """Point a client at the emulator."""
    return {"api_key": emulator.settings()["OPENAI_API_KEY"], "base_url": emulator.openai_url, "max_retries": 0, **more}


@pytest.fixture
def client(emulator: Emulator) -> Iterator[Any]:
    """The synchronous client."""
    with openai.OpenAI(**options(emulator)) as running:
        yield running


def ours(emulator: Emulator, **settings: str) -> MediaGenerator:
    """Return our generator on the same emulator."""
    given = Settings.from_env(emulator.settings(), image_provider="openai", **settings)
    return MediaGenerator(settings=given, storage=MemoryStorage())


# -- the client by itself ----------------------------------------------------------------------------------------------


def test_generate(emulator: Emulator, client: Any) -> None:
    """Its types read every member of the answer."""
    answer = client.images.generate(
        model=FLARE, prompt="a fox", n=2, size="256x256", quality="low", output_format="webp"
    )
    assert [base64.b64decode(image.b64_json)[8:12] for image in answer.data] == [b"WEBP"] * 2
    assert (answer.size, answer.quality, answer.output_format, answer.background) == (
        "256x256",
        "low",
        "webp",
        "opaque",
    )
    usage = answer.usage
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens
    assert usage.input_tokens_details.text_tokens == usage.input_tokens
    assert emulator.books().billed("USD") > 0


def test_edit(emulator: Emulator, client: Any) -> None:
    """It sends a form; one file and several."""
    one = client.images.edit(model=FLARE, prompt="bluer", image=("a.png", PNG, "image/png"), size="256x256", n=2)
    assert len(one.data) == 2
    assert one.usage.input_tokens_details.image_tokens > 0
    images = [("a.png", PNG, "image/png"), ("b.png", PNG, "image/png")]
    assert client.images.edit(model=FLARE, prompt="bluer", image=images, size="256x256").data
    assert len(emulator.books().requested("openai.edit")) == 2


def test_models(client: Any) -> None:
    """The list, and one of it."""
    assert FLARE in {model.id for model in client.models.list()}
    assert client.models.retrieve(FLARE).id == FLARE
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("dall-e-3")


@pytest.mark.parametrize("status", sorted(ERRORS))
def test_errors(emulator: Emulator, client: Any, status: int) -> None:
    """Each status has the client's own error, with code, type and request id."""
    emulator.fault("openai.create", "status", status=status)
    with pytest.raises(getattr(openai, ERRORS[status])) as caught:
        client.images.generate(model=FLARE, prompt="a fox")
    assert (caught.value.status_code, caught.value.request_id[:4]) == (status, "req_")
    assert caught.value.body["message"]


def test_refusals(emulator: Emulator, client: Any) -> None:
    """What the emulator makes of parameters, money and content arrives in the client's words."""
    with pytest.raises(openai.BadRequestError) as format_refused:
        client.images.generate(model=FLARE, prompt="a fox", response_format="b64_json")
    assert (format_refused.value.code, format_refused.value.param) == ("unknown_parameter", "response_format")
    emulator.fault("openai.create", "moderated")
    with pytest.raises(openai.BadRequestError) as content_refused:
        client.images.generate(model=FLARE, prompt="a fox")
    assert content_refused.value.code == "moderation_blocked"
    emulator.switches.openai_credit = 0
    with pytest.raises(openai.RateLimitError) as broke:
        client.images.generate(model=FLARE, prompt="a fox")
    assert broke.value.code == "insufficient_quota"


def test_a_server_that_copies_it(emulator: Emulator) -> None:
    """The client with another base URL, as people use it for their own servers."""
    with openai.OpenAI(**options(emulator, api_key="none", base_url=emulator.compatible_url)) as client:
        answer = client.images.generate(model="emulated-diffusion", prompt="a fox", size="128x128")
        assert answer.data[0].url.startswith(emulator.delivery_url)
        inline = client.images.generate(
            model="emulated-diffusion", prompt="a fox", size="128x128", response_format="b64_json"
        )
        assert base64.b64decode(inline.data[0].b64_json).startswith(b"\x89PNG")


@pytest.mark.anyio
async def test_async(emulator: Emulator) -> None:
    """The asynchronous client."""
    async with openai.AsyncOpenAI(**options(emulator)) as client:
        answer = await client.images.generate(model=FLARE, prompt="a fox", size="256x256")
        assert answer.data[0].b64_json


# -- the same call, theirs and ours ------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_our_generation_is_theirs(emulator: Emulator) -> None:
    """Address and body are the same, member by member, and so are the headers but for what each says about itself."""
    common: dict[str, Any] = {"n": 2, "size": "256x256", "output_format": "jpeg"}
    own: dict[str, Any] = {"quality": "low", "output_compression": 80, "moderation": "low", "background": "opaque"}
    async with openai.AsyncOpenAI(**options(emulator, organization="org-1", project="proj_1")) as client:
        await client.images.generate(model=FLARE, prompt="a fox", **common, **own)
    theirs = emulator.last_request("openai.create", reveal=True)
    await ours(emulator, openai_organization="org-1", openai_project="proj_1").images(
        "a fox", model=f"openai:{FLARE}", **common, options=own
    )
    mine = emulator.last_request("openai.create", reveal=True)
    assert (mine.method, mine.path, mine.query) == (theirs.method, theirs.path, theirs.query)
    assert mine.json == theirs.json
    for name in ("authorization", "content-type", "openai-organization", "openai-project"):
        assert mine.headers[name] == theirs.headers[name]
    # Theirs describe the client (x-stainless-*), among them the number of the try; we try once. `accept` is any here.
    extra = set(theirs.header_names) - set(mine.header_names)
    assert {name for name in extra if not name.startswith("x-stainless-")} == set()
    assert set(mine.header_names) <= HEADERS_OF_BOTH | {"openai-organization", "openai-project"}


@pytest.mark.anyio
async def test_our_edit_says_the_same_in_json(emulator: Emulator, tmp_path: Path) -> None:
    """The client sends a form with the file; we send the documented form that is JSON, with a data URL in place of the file."""
    path = tmp_path / "a.png"
    path.write_bytes(PNG)
    async with openai.AsyncOpenAI(**options(emulator)) as client:
        await client.images.edit(model=FLARE, prompt="bluer", image=path, size="256x256", quality="low")
    theirs = emulator.last_request("openai.edit")
    await ours(emulator).image("bluer", image=path, size="256x256", options={"quality": "low"})
    mine = emulator.last_request("openai.edit")
    assert (mine.method, mine.path) == (theirs.method, theirs.path)
    assert theirs.headers["content-type"].startswith("multipart/form-data")
    assert mine.headers["content-type"] == "application/json"
    first, second = emulator.books().predictions
    assert {**second.input, "images": None} == {**first.input, "images": None}
    assert second.input["images"] == [{"image_url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"}]


def test_they_try_again_and_we_do_not(emulator: Emulator) -> None:
    """The client's default repeats a create that may have been accepted, without any key to tell the two apart."""
    emulator.fault("openai.create", "drop_after")
    with openai.OpenAI(**options(emulator, max_retries=2)) as client:
        client.images.generate(model=FLARE, prompt="a fox", size="256x256")
    requests = emulator.books().requested("openai.create")
    assert len(requests) == emulator.books().creates == 2
    assert not any("idempotency-key" in request.header_names for request in requests)
