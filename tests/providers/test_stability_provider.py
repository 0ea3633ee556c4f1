"""The Stability AI adapter over real HTTP: what it sends, what it makes, and how it types what goes wrong."""

from __future__ import annotations

import base64
import email
import io
from typing import TYPE_CHECKING, cast

import anyio
import pytest
from PIL import Image
from tests.canaries import KEY

from aifs_media._options import model_inputs
from aifs_media.errors import (
    MediaError,
    MissingCredentialError,
    ModelRetiredError,
    ProviderUnavailableError,
    RequestRejectedError,
    UnsupportedOptionError,
)
from aifs_media.protocols import (
    Cancellable,
    Catalogue,
    Checkable,
    CostReporter,
    Findable,
    InputLimits,
    InputUploader,
    Pollable,
    TextWriter,
    WebhookVerifier,
    role,
)
from aifs_media.providers._stability_requests import generate_form
from aifs_media.providers.stability import StabilityProvider
from aifs_media.records import Failed, InlineFile, MediaRequest, Size, Succeeded
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from email.message import Message

    from pydantic import JsonValue

pytestmark = pytest.mark.anyio


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
async def stability(emulator: Emulator) -> AsyncIterator[StabilityProvider]:
    provider = StabilityProvider.from_settings(emulator.settings())
    yield provider
    await provider.aclose()


def wish(model: str = "core", prompt: str = "a cat", **inputs: JsonValue) -> MediaRequest:
    """Return a request as the core hands it over, with the model's own inputs."""
    return MediaRequest(
        kind="image", prompt=prompt, provider="stability", model=model, timeout=30, inputs={"prompt": prompt, **inputs}
    )


def data_uri(width: int = 64, height: int = 96, form: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, form)
    return f"data:image/{form.lower()};base64,{base64.b64encode(file.getvalue()).decode()}"


def sent(request: MediaRequest) -> dict[str, Message]:
    """Return the parts of the form that a request becomes, as the standard library reads them."""
    form = generate_form(request)
    message = email.message_from_bytes(f"Content-Type: {form.media_type}\r\n\r\n".encode() + form.content)
    parts = cast("list[Message]", message.get_payload())
    return {str(part.get_param("name", header="content-disposition")): part for part in parts}


def fields(request: MediaRequest) -> dict[str, str]:
    return {
        name: part.get_payload(decode=True).decode()  # type: ignore[union-attr]
        for name, part in sent(request).items()
        if part.get_filename() is None
    }


# -- the form ----------------------------------------------------------------------------------------------------------


def test_fields_of_an_endpoint_of_its_own() -> None:
    """`core` and `ultra` are named by the address; numbers are written as JSON writes them."""
    request = wish("core", "füchse", aspect_ratio="16:9", seed=7, negative_prompt="blur", style_preset="anime")
    assert fields(request) == {
        "prompt": "füchse", "aspect_ratio": "16:9", "seed": "7", "negative_prompt": "blur", "style_preset": "anime",
    }  # fmt: skip
    assert fields(wish("Ultra", seed=None)) == {"prompt": "a cat"}


def test_fields_of_sd3() -> None:
    """Every other model is a field of `sd3`, with the mode said."""
    assert fields(wish("SD3.5-Large", cfg_scale=4.5)) == {
        "model": "sd3.5-large", "mode": "text-to-image", "prompt": "a cat", "cfg_scale": "4.5",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_start_image_is_a_file(form: str) -> None:
    """The data URI becomes a file with its own bytes and type."""
    uri = data_uri(form=form)
    request = wish("sd3.5-medium", image=uri, strength=0.5)
    assert fields(request) == {
        "model": "sd3.5-medium", "mode": "image-to-image", "prompt": "a cat", "strength": "0.5",
    }  # fmt: skip
    image = sent(request)["image"]
    assert image.get_content_type() == f"image/{form.lower()}"
    assert image.get_filename() == f"image.{form.lower()}"
    assert base64.b64decode(uri.partition(",")[2]) in generate_form(request).content


@pytest.mark.parametrize(
    ("inputs", "size", "option"),
    [
        ({"image": data_uri()}, None, "strength"),
        ({"strength": 0.5}, None, "strength"),
        ({"image": data_uri(), "strength": 0.5, "aspect_ratio": "1:1"}, None, "aspect_ratio"),
        ({"image": data_uri(), "strength": 0.5, "aspect_ratio": "1:1"}, Size(width=512, height=512), "size"),
    ],
    ids=["no strength", "strength alone", "aspect ratio", "size"],
)
async def test_inputs_that_do_not_go_together(
    emulator: Emulator, stability: StabilityProvider, inputs: dict[str, JsonValue], size: Size | None, option: str
) -> None:
    """Refused before anything is sent, by the option's common name."""
    for model in ("ultra", "sd3.5-large"):
        request = wish(model, **inputs).model_copy(update={"size": size})
        with pytest.raises(UnsupportedOptionError) as refused:
            await stability.submit(request, submit_key="k")
        assert refused.value.option == option
        assert refused.value.hint
        assert not refused.value.maybe_billed
    assert emulator.books().requests == ()


@pytest.mark.parametrize("image", ["https://example.com/a.png", "data:image/png;base64,???", "data:,x", ""])
async def test_an_image_that_is_no_file(emulator: Emulator, stability: StabilityProvider, image: str) -> None:
    """Stability reads no URLs; what is no file is refused before anything is sent."""
    with pytest.raises(RequestRejectedError, match="file"):
        await stability.submit(wish("ultra", image=image, strength=1), submit_key="k")
    assert emulator.books().requests == ()


# -- making media ------------------------------------------------------------------------------------------------------


def test_roles() -> None:
    """What the adapter can do, and what Stability has no call for."""
    provider = StabilityProvider()
    for wanted in (Catalogue, Checkable, InputLimits):
        assert role(provider, wanted) is provider
    for missing in (Pollable, Cancellable, Findable, InputUploader, CostReporter, TextWriter, WebhookVerifier):
        assert role(provider, missing) is None
    assert not provider.reads_urls
    assert 9 * 2**20 < provider.data_uri_limit < 10 * 2**20


@pytest.mark.parametrize("model", [capability.model for capability in StabilityProvider.capabilities])
async def test_each_model(emulator: Emulator, stability: StabilityProvider, model: str) -> None:
    """Each built-in model takes everything that its data say, in one multipart request that asks for bytes."""
    capability = await stability.describe("image", model)
    request = MediaRequest(
        kind="image", prompt="a cat", provider="stability", model=model, aspect_ratio="21:9", seed=4294967294,
        negative_prompt="dogs", output_format="jpeg", options={"style_preset": "anime"},
    )  # fmt: skip
    state = await stability.submit(
        request.model_copy(update={"inputs": model_inputs(request, capability).values}), submit_key="k"
    )
    assert isinstance(state, Succeeded)
    (output,) = state.outputs
    assert isinstance(output, InlineFile)
    assert output.media_type == "image/jpeg"
    assert Image.open(io.BytesIO(output.data)).format == "JPEG"
    assert state.seed == 4294967294
    assert state.emulated
    headers = emulator.last_request("stability.generate").headers
    assert headers["accept"] == "image/*"
    assert headers["content-type"].startswith("multipart/form-data; boundary=")
    (made,) = emulator.books().predictions
    assert made.model == model
    assert capability.price is not None
    assert made.billed == float(capability.price.amount)


async def test_a_random_seed_is_reported(stability: StabilityProvider) -> None:
    """Without a seed the header's is the one to repeat it with; 0 asks for any, which is said."""
    first = await stability.submit(wish(), submit_key="k")
    assert isinstance(first, Succeeded)
    assert first.seed
    assert first.warnings == ()
    zero = await stability.submit(wish(seed=0), submit_key="k")
    assert isinstance(zero, Succeeded)
    assert zero.seed
    assert str(zero.seed) in zero.warnings[0]
    again = await stability.submit(wish(seed=first.seed), submit_key="k")
    assert isinstance(again, Succeeded)
    assert again.outputs == first.outputs


async def test_a_name_the_vendor_reroutes(emulator: Emulator, stability: StabilityProvider) -> None:
    """A name that is not built in goes to `sd3`, where the vendor decides; the case of a name does not matter."""
    assert isinstance(await stability.submit(wish("Ultra"), submit_key="k"), Succeeded)
    assert isinstance(await stability.submit(wish("sd3-large"), submit_key="k"), Succeeded)
    assert [made.model for made in emulator.books().predictions] == ["ultra", "sd3.5-large"]
    with pytest.raises(RequestRejectedError, match="model"):
        await stability.submit(wish("sd9"), submit_key="k")


# -- what goes wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_after", "half_body", "wrong_length"])
async def test_a_lost_answer_may_be_billed(emulator: Emulator, stability: StabilityProvider, fault: str) -> None:
    """A create goes out once; if its answer is lost or broken, that is said."""
    emulator.fault("stability.generate", fault)  # type: ignore[arg-type]
    with pytest.raises(ProviderUnavailableError) as lost:
        await stability.submit(wish(), submit_key="k")
    assert lost.value.maybe_billed
    assert not lost.value.retryable
    assert emulator.books().creates == 1


async def test_a_create_is_held_as_long_as_its_caller_waits(
    emulator: Emulator, stability: StabilityProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No longer: then its answer counts as lost."""
    monkeypatch.setattr("aifs_media.providers.stability.CREATE_MARGIN", 0.0)
    emulator.fault("stability.generate", "hang_after")
    with anyio.fail_after(20), pytest.raises(ProviderUnavailableError) as lost:
        await stability.submit(wish().model_copy(update={"timeout": 0.2}), submit_key="k")
    assert lost.value.maybe_billed


@pytest.mark.parametrize(
    ("status", "body", "billed"),
    [
        (301, "", True),
        (408, "<html>", True),
        (502, "<html>Bad gateway</html>", True),
        (503, "", True),
        (405, "", False),
        (418, "", False),
    ],
)
async def test_who_may_be_billed(
    emulator: Emulator, stability: StabilityProvider, status: int, body: str, *, billed: bool
) -> None:
    """4xx is a refusal, but for a proxy's 408. Nothing else is documented as one, 503 included."""
    emulator.fault("stability.generate", "status", status=status, body=body)
    with pytest.raises(MediaError) as refused:
        await stability.submit(wish(), submit_key="k")
    assert refused.value.maybe_billed is billed


async def test_a_failed_generation(emulator: Emulator, stability: StabilityProvider) -> None:
    """A 500 in the vendor's words is a failed job, not a lost answer."""
    emulator.fault("stability.generate", "failed", text="out of sorts")
    state = await stability.submit(wish(), submit_key="k")
    assert isinstance(state, Failed)
    assert "out of sorts" in state.message


async def test_a_model_that_is_gone(emulator: Emulator, stability: StabilityProvider) -> None:
    """A 404 names the models that there are."""
    emulator.fault("stability.generate", "status", status=404)
    with pytest.raises(ModelRetiredError) as gone:
        await stability.submit(wish("ultra"), submit_key="k")
    assert gone.value.model == "stability:ultra"
    assert gone.value.suggestions[0] == "stability:core"
    assert "stability:ultra" not in gone.value.suggestions
    assert gone.value.request_id


async def test_no_key() -> None:
    """Without a key nothing is sent, and the setting is named."""
    with pytest.raises(MissingCredentialError, match="STABILITY_API_KEY"):
        await StabilityProvider().submit(wish(), submit_key="k")


# -- what models there are ---------------------------------------------------------------------------------------------


async def test_describe(stability: StabilityProvider) -> None:
    """Built-in models are known by any case; retired ones name their successor, and videos are gone."""
    assert (await stability.describe("image", "SD3.5-Medium")).model == "sd3.5-medium"
    with pytest.raises(ModelRetiredError) as retired:
        await stability.describe("image", "sd3-large-turbo")
    assert retired.value.suggestions[0] == "stability:sd3.5-large-turbo"
    with pytest.raises(ModelRetiredError, match="check_options=False") as unknown:
        await stability.describe("image", "sdxl")
    assert "stability:core" in unknown.value.suggestions
    with pytest.raises(ModelRetiredError, match="2025-07-24") as video:
        await stability.describe("video", "image-to-video")
    assert video.value.suggestions == ()


# -- credits -----------------------------------------------------------------------------------------------------------


async def test_check(emulator: Emulator, stability: StabilityProvider) -> None:
    """The balance proves the key; too little, a wrong key and a missing one each say what to do."""
    (found,) = await stability.check()
    assert found.ok
    assert found.facts == {"credits": 1000.0}
    assert "1,000.00 credits" in found.message
    emulator.switches.stability_credits = 2.5
    (poor,) = await stability.check()
    assert not poor.ok
    assert "at least 3 credits" in poor.hint
    emulator.fault("stability.balance", "status", status=200, body={})
    (silent,) = await stability.check()
    assert silent.ok
    assert silent.facts == {}
    for key in ("", KEY):
        provider = StabilityProvider.from_settings({**emulator.settings(), "STABILITY_API_KEY": key})
        (found,) = await provider.check()
        assert not found.ok
        assert found.hint
        await provider.aclose()
    assert emulator.books().creates == 0
