"""The emulated Stability AI: forms, answers in both shapes, errors, credits, its limit of requests."""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aifs_media.testing.emulator import Emulator


@pytest.fixture
def stability(emulator: Emulator) -> Iterator[httpx.Client]:
    """A client with the key of the emulated Stability AI."""
    headers = {"authorization": f"Bearer {emulator.settings()['STABILITY_API_KEY']}"}
    with httpx.Client(base_url=emulator.stability_url, headers=headers, timeout=20, trust_env=False) as client:
        yield client


def png(width: int = 64, height: int = 64) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, "PNG")
    return file.getvalue()


def generate(
    client: httpx.Client, service: str = "core", *, image: bytes | None = None, accept: str = "image/*", **fields: Any
) -> httpx.Response:
    """Send a form as the vendor's samples do."""
    parts: dict[str, Any] = {name: (None, str(value)) for name, value in {"prompt": "a fox", **fields}.items()}
    if image is not None:
        parts["image"] = ("a.png", image, "image/png")
    return client.post(f"/v2beta/stable-image/generate/{service}", files=parts, headers={"accept": accept})


def errors(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"id", "name", "errors"}
    assert answer.headers["x-request-id"]
    return f"{body['name']}: {'; '.join(body['errors'])}"


def test_a_picture_in_both_forms(stability: httpx.Client) -> None:
    """Bytes with headers, or JSON with base64; the same seed makes the same picture."""
    plain = generate(stability, seed=7)
    assert (plain.headers["content-type"], plain.headers["finish-reason"]) == ("image/png", "SUCCESS")
    assert plain.headers["seed"] == "7"
    told = generate(stability, seed=7, accept="application/json")
    assert told.headers["content-type"] == "application/json; type=image/png"
    assert set(told.json()) == {"image", "finish_reason", "seed"}
    assert base64.b64decode(told.json()["image"]) == plain.content


@pytest.mark.parametrize("form", ["png", "jpeg", "webp"])
def test_output_formats(stability: httpx.Client, form: str) -> None:
    """`sd3` makes no WebP."""
    made = generate(stability, "ultra", output_format=form)
    assert made.headers["content-type"] == f"image/{form}"
    assert (Image.open(io.BytesIO(made.content)).format or "").lower() == form
    assert generate(stability, "sd3", output_format=form).status_code == (400 if form == "webp" else 200)


def test_seed_0_is_any_seed(stability: httpx.Client) -> None:
    """The header says which."""
    seeds = {int(generate(stability, **given).headers["seed"]) for given in ({}, {"seed": 0})}
    assert len(seeds) == 2
    assert 0 not in seeds


@pytest.mark.parametrize(("service", "megapixels"), [("core", 1.5), ("ultra", 1.0), ("sd3", 1.0)])
def test_ratios(stability: httpx.Client, service: str, megapixels: float) -> None:
    """The area is the service's own, whatever the ratio."""
    for ratio in ("1:1", "21:9", "4:5"):
        width, height = Image.open(io.BytesIO(generate(stability, service, aspect_ratio=ratio).content)).size
        wide, high = map(int, ratio.split(":"))
        assert width / height == pytest.approx(wide / high, rel=0.06)
        assert width * height / 2**20 == pytest.approx(megapixels, rel=0.1)


def test_a_start_image(stability: httpx.Client) -> None:
    """Strength 0 gives it back; the result has its shape."""
    start = png(80, 120)
    for service, more in (("ultra", {}), ("sd3", {"mode": "image-to-image"})):
        same = generate(stability, service, image=start, strength=0, **more)
        assert Image.open(io.BytesIO(same.content)).tobytes() == Image.open(io.BytesIO(start)).tobytes()
        other = generate(stability, service, image=start, strength=0.9, **more)
        assert Image.open(io.BytesIO(other.content)).size == (80, 120)
        assert other.content != same.content


@pytest.mark.parametrize(
    ("service", "fields", "image", "words"),
    [
        ("core", {"prompt": ""}, None, "prompt: is required"),
        ("core", {"prompt": "x" * 10_001}, None, "10000"),
        ("core", {"aspect_ratio": "4:3"}, None, "aspect_ratio: must be one of"),
        ("core", {"seed": 4294967295}, None, "seed: must be between 0 and 4294967294"),
        ("core", {"seed": "x"}, None, "seed"),
        ("core", {"style_preset": "baroque"}, None, "style_preset"),
        ("core", {"strength": 1}, png(), "image: is not allowed"),
        ("ultra", {}, png(), "strength: is required"),
        ("ultra", {"strength": 2}, png(), "strength: must be between 0 and 1"),
        ("ultra", {"strength": 1}, b"GIF89a", "jpeg, png or webp"),
        ("ultra", {"strength": 1}, png(63, 64), "64 pixels"),
        ("sd3", {"model": "sd4"}, None, "model: must be one of sd3.5-large"),
        ("sd3", {"cfg_scale": 11}, None, "cfg_scale"),
        ("sd3", {"mode": "image-to-image"}, None, "image: is required"),
        ("sd3", {"strength": 1}, png(), "only valid for"),
        ("sd3", {"mode": "image-to-image", "strength": 1, "aspect_ratio": "1:1"}, png(), "aspect_ratio"),
    ],
)
def test_forms_that_are_refused(
    emulator: Emulator, stability: httpx.Client, service: str, fields: dict[str, Any], image: bytes | None, words: str
) -> None:
    """400 says which field; nothing is made."""
    assert words in errors(generate(stability, service, image=image, **fields), 400)
    assert emulator.books().creates == 0


def test_other_refusals(emulator: Emulator, stability: httpx.Client, web: httpx.Client) -> None:
    """The key, the address, the size and the types."""
    path = "/v2beta/stable-image/generate/core"
    assert set(web.post(f"{emulator.stability_url}{path}").json()) == {"message"}
    assert web.get(f"{emulator.stability_url}/v1/user/balance").status_code == 401
    assert errors(generate(stability, "sdxl"), 404).startswith("not_found")
    assert errors(generate(stability, "ultra", image=bytes(10 * 2**20), strength=1), 413).startswith("payload_too")
    assert "multipart" in errors(stability.post(path, data={"prompt": "a fox"}), 400)
    assert "accept" in errors(generate(stability, accept="text/html"), 400)
    assert emulator.books().creates == 0


def test_credits(emulator: Emulator, stability: httpx.Client) -> None:
    """Each model has its price; who has too little gets the reported 402."""
    emulator.switches.stability_credits = 10.0
    generate(stability, "sd3", model="sd3-large")
    assert stability.get("/v1/user/balance").json() == {"credits": 3.5}
    assert emulator.books().predictions[0].model == "sd3.5-large"
    generate(stability)
    assert stability.get("/v1/user/balance").json() == {"credits": 0.5}
    assert re.match(
        r"payment_required: You lack sufficient credits .*/account/credits", errors(generate(stability), 402)
    )
    assert emulator.books().billed("USD") == 0.095


def test_endings(emulator: Emulator, stability: httpx.Client) -> None:
    """A filtered picture is a 200 with another picture; a failed generation is free; a slow one takes its time."""
    clear = generate(stability, seed=1)
    emulator.fault("stability.generate", "moderated")
    blurred = generate(stability, seed=1)
    assert (blurred.status_code, blurred.headers["finish-reason"]) == (200, "CONTENT_FILTERED")
    assert blurred.content != clear.content
    emulator.fault("stability.generate", "failed", text="out of sorts")
    assert errors(generate(stability), 500) == "internal_error: out of sorts"
    emulator.fault("stability.generate", "empty_output")
    assert generate(stability).content == b""
    assert [made.status for made in emulator.books().predictions] == ["succeeded", "moderated", "failed", "succeeded"]
    assert [made.billed for made in emulator.books().predictions] == [0.03, 0.03, 0.0, 0.03]


def test_too_many_requests(emulator: Emulator, stability: httpx.Client) -> None:
    """More than 150 in 10 s shut the key out for a minute."""
    for _ in range(150):
        assert stability.get("/v1/user/balance").status_code == 200
    assert errors(stability.get("/v1/user/balance"), 429).startswith("rate_limit_exceeded")
    emulator.advance(55)
    assert stability.get("/v1/user/balance").status_code == 429
    emulator.advance(6)
    assert stability.get("/v1/user/balance").status_code == 200
