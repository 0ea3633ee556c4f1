"""What Replicate is sent: names of models, headers and bodies, each checked against the OpenAPI file."""

from __future__ import annotations

import email
import email.message
import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openapi_core import Config, OpenAPI
from openapi_core.datatypes import RequestParameters
from openapi_core.exceptions import OpenAPIError
from werkzeug.datastructures import Headers, ImmutableMultiDict

from aifs_media._forms import FormFile, multipart_form
from aifs_media._options import model_inputs
from aifs_media.errors import RateLimitedError, RequestRejectedError
from aifs_media.providers._data import load_capabilities
from aifs_media.providers._replicate_requests import ModelName, create_headers, hold_seconds
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.records import Capability, InputFile, MediaRequest
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

pytestmark = pytest.mark.anyio

FIXTURES = Path(__file__).parents[1] / "fixtures" / "replicate"
FLUX, *_ = load_capabilities("replicate")
HASH = "a" * 64
KEY = {"authorization": "Bearer a-key"}


@dataclass
class Sent:
    """A request as openapi-core reads it."""

    method: str
    path: str
    content_type: str
    body: bytes | None
    parameters: RequestParameters
    host_url: str = "https://api.replicate.com"


@functools.cache
def openapi() -> OpenAPI:
    # The file itself breaks OpenAPI 3.1: it describes a method QUERY.
    config = Config(spec_validator_cls=None)
    return OpenAPI.from_dict(json.loads((FIXTURES / "openapi.json").read_text("utf-8")), config=config)


def assert_documented(
    method: str,
    path: str,
    *,
    headers: Mapping[str, str] | None = None,
    query: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> None:
    """Check a request against the OpenAPI file, headers and query included."""
    sent = dict(headers or {})
    parameters = RequestParameters(query=ImmutableMultiDict(query or {}), header=Headers(sent))
    openapi().validate_request(
        Sent(method.lower(), f"/v1{path}", sent.get("content-type", "application/json"), body, parameters)
    )


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


def wish(**members: Any) -> MediaRequest:
    request = MediaRequest(kind="image", prompt="a cat", provider="replicate", model=FLUX.model, **members)
    return request.model_copy(update={"inputs": {"prompt": "a cat", "seed": 5}})


# -- names of models ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "path", "version"),
    [
        ("black-forest-labs/flux-1.1-pro", "black-forest-labs/flux-1.1-pro", ""),
        (f"a/b:{HASH}", "a/b", HASH),
        (HASH, "", HASH),
    ],
)
def test_names(text: str, path: str, version: str) -> None:
    """A model is named in one of three ways, and written again in the same one."""
    assert ModelName.parse(text) == (path, version)
    assert str(ModelName.parse(text)) == text


@pytest.mark.parametrize(
    "text", ["", "flux", "a/b:latest", "a/b/c", "a/b:", f"a/b{HASH}:", f":{HASH}", "a/b?x=1", "../x/y", "../x", "a/.."]
)
def test_what_is_no_name(text: str) -> None:
    """Anything else is refused before it becomes a part of an address."""
    with pytest.raises(RequestRejectedError, match="owner/name:version"):
        ModelName.parse(text)


def test_which_model_serves() -> None:
    """A version that is asked for is that version and no other, even of the same model."""
    official, pinned = ModelName("a/b", ""), ModelName("a/b", HASH)
    assert official.serves(official)
    assert pinned.serves(official)
    assert pinned.serves(ModelName("", HASH))
    assert not official.serves(pinned)
    assert not pinned.serves(ModelName("a/b", "b" * 64))
    assert official.may_be(pinned)
    assert not pinned.may_be(ModelName("a/b", "b" * 64))
    assert not ModelName("", HASH).may_be(official)


# -- holding -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "timeout", "inputs", "seconds"),
    [
        (FLUX, 120, {"seed": 1}, 60),
        (FLUX, None, {"seed": 1}, 60),
        (FLUX, 20.9, {"seed": 1}, 20),
        (FLUX, 0.5, {"seed": 1}, 0),
        (FLUX, 120, {"prompt": "a cat"}, 0),
        (FLUX.model_copy(update={"hold_seconds": 0}), 120, {"seed": 1}, 0),
        (FLUX.model_copy(update={"hold_seconds": 300}), 120, {"seed": 1}, 60),
        (None, 120, {"seed": 1}, 0),
    ],
)
def test_hold(known: Capability | None, timeout: float | None, inputs: dict[str, Any], seconds: int) -> None:
    """A create is held only where a seed can find it again, and never longer than the caller waits."""
    request = wish(timeout=timeout).model_copy(update={"inputs": inputs})
    assert hold_seconds(request, known) == seconds


@pytest.mark.parametrize(
    ("lifetime", "header"), [(None, "1800s"), (0.1, "5s"), (5, "5s"), (70.01, "71s"), (1800, "1800s")]
)
def test_deadline_at_replicate(lifetime: float | None, header: str) -> None:
    """Every create has a deadline, in whole seconds and never below the shortest that is allowed."""
    assert create_headers(wish(lifetime=lifetime), hold=0) == {"cancel-after": header}


@given(st.floats(min_value=0, max_value=1e6), st.integers(min_value=0, max_value=60))
def test_headers_are_documented(lifetime: float, hold: int) -> None:
    """Any lifetime and hold make headers that the OpenAPI file allows."""
    headers = create_headers(wish(lifetime=lifetime), hold=hold)
    assert re.fullmatch(r"\d+s", headers["cancel-after"])
    body = json.dumps({"version": "a/b", "input": {}}).encode()
    assert_documented("POST", "/predictions", headers={**KEY, **headers}, body=body)


def test_the_check_can_fail() -> None:
    """The OpenAPI file refuses an unknown member and a hold that is too long."""
    good = {"version": "a/b", "input": {}}
    assert_documented("POST", "/predictions", headers={**KEY, "prefer": "wait=5"}, body=json.dumps(good).encode())
    for body, headers in (
        ({**good, "lifetime": 5}, KEY),
        ({"input": {}}, KEY),
        (good, {**KEY, "prefer": "wait=0"}),
        (good, {"prefer": "wait=5"}),
    ):
        with pytest.raises(OpenAPIError):
            assert_documented("POST", "/predictions", headers=headers, body=json.dumps(body).encode())


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_form_of_an_upload() -> None:
    """The body is one part, under the name that the OpenAPI file requires."""
    form = multipart_form({}, [FormFile("content", "a.png", "image/png", b"png")])
    message = email.message_from_bytes(f"Content-Type: {form.media_type}\r\n\r\n".encode() + form.content)
    (part,) = cast("list[email.message.Message]", message.get_payload())
    described = json.loads((FIXTURES / "openapi.json").read_text("utf-8"))["paths"]["/files"]["post"]["requestBody"]
    assert described["content"]["multipart/form-data"]["schema"]["required"] == [
        part.get_param("name", header="content-disposition")
    ]


# -- what really leaves ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", load_capabilities("replicate"), ids=lambda known: known.model.partition(":")[0])
async def test_every_create_is_documented(emulator: Emulator, known: Capability) -> None:
    """For each built-in model, what leaves is what the OpenAPI file describes, and the model is named so that it runs."""
    replicate = ReplicateProvider.from_settings(emulator.settings())
    seed = 5 if "seed" in known.names else None
    image = InputFile(url="https://example.com/cat.png") if "image" in known.required else None
    request = MediaRequest(
        kind=known.kind, prompt="a cat", provider="replicate", model=known.model, seed=seed, image=image
    )
    request = request.model_copy(update={"lifetime": 70, "timeout": 60})
    request = request.model_copy(update={"inputs": model_inputs(request, known).values})
    emulator.fault("replicate.create", "status", status=429)
    # Refused by a script: nothing needs to be made.
    with pytest.raises(RateLimitedError):
        await replicate.submit(request, submit_key="k")
    await replicate.aclose()
    sent = emulator.last_request("replicate.create", reveal=True)
    assert_documented(
        "POST", sent.path.removeprefix("/replicate/v1"), headers=sent.headers, body=json.dumps(sent.json).encode()
    )
    assert sent.json == {"version": known.model, "input": request.inputs}
    assert sent.headers["cancel-after"] == "70s"
    assert sent.headers.get("prefer") == ("wait=60" if known.hold_seconds else None)
