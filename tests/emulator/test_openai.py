"""The emulated OpenAI, and the server that copies it: shapes, refusals, tokens, faults."""

from __future__ import annotations

import base64
import io
import itertools
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aifs_media.testing.emulator import Emulator

FLARE = "gpt-image-2.5-flare"
SMALL = {"model": FLARE, "prompt": "a fox", "size": "256x256"}


@pytest.fixture
def openai(emulator: Emulator) -> Iterator[httpx.Client]:
    """A client with the key of the emulated OpenAI."""
    headers = {"authorization": f"Bearer {emulator.settings()['OPENAI_API_KEY']}"}
    with httpx.Client(base_url=emulator.openai_url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def server(emulator: Emulator) -> Iterator[httpx.Client]:
    """A client without any key for the server that copies it."""
    with httpx.Client(base_url=emulator.compatible_url, timeout=10, trust_env=False) as client:
        yield client


def create(client: httpx.Client, **members: Any) -> httpx.Response:
    """Ask for images."""
    return client.post("/images/generations", json={**SMALL, **members})


def picture(item: dict[str, str]) -> Image.Image:
    """Read a file out of an answer."""
    return Image.open(io.BytesIO(base64.b64decode(item["b64_json"])))


def test_an_answer_has_the_documented_shape(openai: httpx.Client) -> None:
    """Base64 without any URL, the settings as they were chosen, and the tokens."""
    answer = create(openai, n=2, quality="low")
    body = answer.json()
    assert body.keys() == {"created", "background", "data", "output_format", "quality", "size", "usage"}
    assert [item.keys() for item in body["data"]] == [{"b64_json"}] * 2
    assert [picture(item).size for item in body["data"]] == [(256, 256)] * 2
    assert (body["background"], body["output_format"], body["quality"], body["size"]) == (
        "opaque",
        "png",
        "low",
        "256x256",
    )
    usage = body["usage"]
    assert usage["input_tokens"] == sum(usage["input_tokens_details"].values())
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert answer.headers["x-request-id"].startswith("req_")
    assert answer.headers["openai-version"] == "2020-10-01"


def test_a_png_carries_its_record_behind_the_header(openai: httpx.Client) -> None:
    """As recorded: so the bytes of two answers differ."""
    first, second = (base64.b64decode(create(openai).json()["data"][0]["b64_json"]) for _ in range(2))
    assert first[37:41] == second[37:41] == b"caBX"
    assert first != second


@pytest.mark.parametrize(("form", "shown"), [("jpeg", "JPEG"), ("webp", "WEBP")])
def test_formats(openai: httpx.Client, form: str, shown: str) -> None:
    """The files are what they are called."""
    assert picture(create(openai, output_format=form).json()["data"][0]).format == shown


def test_it_bills_tokens(emulator: Emulator, openai: httpx.Client) -> None:
    """More for quality, for size, and for each image."""
    billed = [0.0]
    for members in ({"quality": "low"}, {"quality": "high"}, {"quality": "high", "n": 2}):
        create(openai, **members)
        billed.append(emulator.books().billed("USD"))
    low, high, two = (after - before for before, after in itertools.pairwise(billed))
    assert 0 < low < high < two


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"response_format": "b64_json"}, "response_format", "unknown_parameter"),
        ({"style": "vivid"}, "style", "unknown_parameter"),
        ({"complexity": "low"}, "complexity", "unknown_parameter"),
        ({"prompt": ""}, "prompt", "missing_required_parameter"),
        ({"size": "1000x1000"}, "size", "invalid_value"),
        ({"size": "3200x1024"}, "size", "invalid_value"),
        ({"size": "4096x2048"}, "size", "invalid_value"),
        ({"size": "huge"}, "size", "invalid_value"),
        ({"model": "gpt-image-1.5"}, "size", "invalid_value"),
        ({"model": "gpt-image-2", "quality": "max"}, "quality", "invalid_value"),
        ({"n": 11}, "n", "invalid_value"),
        ({"background": "transparent", "output_format": "jpeg"}, "background", "invalid_value"),
        ({"output_compression": 50}, "output_compression", "invalid_value"),
        ({"model": "dall-e-3"}, None, "model_not_found"),
        ({"model": "gpt-5.4"}, None, "model_not_found"),
    ],
    ids=str,
)
def test_what_it_refuses(
    emulator: Emulator, openai: httpx.Client, members: dict[str, Any], param: str | None, code: str
) -> None:
    """In the envelope with all four members, and nothing is billed."""
    answer = create(openai, **members)
    error = answer.json()["error"]
    assert answer.status_code == (404 if code == "model_not_found" else 400)
    assert error.keys() == {"message", "type", "param", "code"}
    assert (error["param"], error["code"]) == (param, code)
    assert emulator.books().creates == 0


def test_the_account(emulator: Emulator, openai: httpx.Client) -> None:
    """A wrong key, no credit and no verification, each with its recorded body."""
    wrong = openai.get("/models", headers={"authorization": "Bearer x"})
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
    emulator.switches.openai_credit = 0
    assert (create(openai).status_code, create(openai).json()["error"]["code"]) == (429, "insufficient_quota")
    emulator.switches.openai_verified = False
    unverified = create(openai)
    assert (unverified.status_code, unverified.json()["error"]["code"]) == (403, None)
    assert emulator.books().creates == 0


def test_edits(emulator: Emulator, openai: httpx.Client) -> None:
    """As JSON with data URLs, and as a form with files; images cost tokens of their own."""
    body = {**SMALL, "images": [{"image_url": "data:image/png;base64,AAAA"}, {"image_url": "https://x.test/a.png"}]}
    answer = openai.post("/images/edits", json=body)
    assert answer.json()["usage"]["input_tokens_details"]["image_tokens"] == 500
    form = openai.post("/images/edits", data={**SMALL, "n": "2"}, files={"image": ("a.png", b"png", "image/png")})
    assert len(form.json()["data"]) == 2
    assert [record.input["prompt"] for record in emulator.books().predictions] == ["a fox"] * 2
    for images in ([], ["https://x.test/a.png"], [{"image_url": "http://x.test/a.png"}], None):
        assert openai.post("/images/edits", json={**SMALL, "images": images}).json()["error"]["param"] == "images"


def test_models(openai: httpx.Client) -> None:
    """All that the account may use, and each by itself."""
    ids = [entry["id"] for entry in openai.get("/models").json()["data"]]
    assert {FLARE, "gpt-5.4"} <= set(ids)
    assert openai.get(f"/models/{FLARE}").json()["id"] == FLARE
    assert openai.get("/models/dall-e-3").status_code == 404


def test_faults(emulator: Emulator, openai: httpx.Client) -> None:
    """How a generation may end."""
    emulator.fault("openai.create", "failed", text="worker lost")
    assert (create(openai).status_code, emulator.books().billed("USD")) == (500, 0)
    for text, stage in (("input", "input"), ("", "output")):
        emulator.fault("openai.create", "moderated", text=text)
        error = create(openai).json()["error"]
        assert (error["code"], error["moderation_details"]["moderation_stage"]) == ("moderation_blocked", stage)
    # The request that was refused at once was never accepted.
    assert emulator.books().creates == 2
    for kind, data in (("empty_output", []), ("null_output", None)):
        emulator.fault("openai.create", kind)  # type: ignore[arg-type]
        assert create(openai).json()["data"] == data
    emulator.fault("openai.create", "partial_output", count=1)
    assert len(create(openai, n=3).json()["data"]) == 1
    emulator.fault("openai.create", "big_output", size=100_000)
    data = base64.b64decode(create(openai).json()["data"][0]["b64_json"])
    assert len(data) == 100_000
    assert Image.open(io.BytesIO(data)).size == (256, 256)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_statuses_bring_bodies(emulator: Emulator, openai: httpx.Client, status: int) -> None:
    """Each has the envelope."""
    emulator.fault("openai.create", "status", status=status)
    answer = create(openai)
    assert (answer.status_code, answer.json()["error"].keys()) == (status, {"message", "type", "param", "code"})


def test_a_server_that_copies_it(emulator: Emulator, server: httpx.Client, web: httpx.Client) -> None:
    """Links by default, base64 when asked for, no key, and the faults of such servers."""
    members = {"model": "emulated-diffusion", "prompt": "a fox", "size": "128x128"}
    url = server.post("/images/generations", json=members).json()["data"][0]["url"]
    assert Image.open(io.BytesIO(web.get(url).content)).size == (128, 128)
    both = server.post("/images/generations", json={**members, "response_format": "b64_json", "n": 2}).json()["data"]
    assert [picture(item).size for item in both] == [(128, 128)] * 2
    assert server.post("/images/generations", json={**members, "model": "x"}).status_code == 404
    assert server.post("/images/generations", json={**members, "prompt": 1}).status_code == 400
    emulator.fault("compatible.create", "failed", text="out of memory")
    failed = server.post("/images/generations", json=members)
    assert (failed.status_code, failed.json()["error"]["message"]) == (200, "out of memory")
    emulator.fault("compatible.create", "data_uri")
    shown = server.post("/images/generations", json=members).json()["data"][0]["url"]
    assert shown.startswith("data:image/png;base64,")
    emulator.fault("compatible.create", "empty_output")
    assert server.post("/images/generations", json=members).json()["data"] == []
    assert len(server.get("/models").json()["data"]) == 2
