"""What becomes of a prediction at the emulated Replicate: states, cancel, lists, retention, bills."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
import re
import urllib.parse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import av
import pytest
from PIL import Image

from aifs_media.testing.emulator.replicate_models import by_name
from aifs_media.testing.emulator.replicate_pictures import pictures

if TYPE_CHECKING:
    import httpx

    from aifs_media.testing.emulator import Emulator

SCHNELL = "black-forest-labs/flux-schnell"
PRO = "black-forest-labs/flux-1.1-pro"
KLING = "kwaivgi/kling-v3-video"
ZEROSCOPE = "9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
LIGHTNING = "5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637"


def create(client: httpx.Client, version: str = SCHNELL, **values: Any) -> dict[str, Any]:
    """Create and return the body."""
    answer = client.post("/predictions", json={"version": version, "input": values})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def finished(client: httpx.Client, version: str = SCHNELL, **values: Any) -> dict[str, Any]:
    """Create, and return the prediction as it then is."""
    return dict(client.get(create(client, version, **values)["urls"]["get"]).json())


def test_it_starts_processes_and_succeeds(emulator: Emulator, replicate: httpx.Client) -> None:
    """Progress shows in the logs; times have nine digits; metrics come at the end."""
    emulator.switches.queue_time, emulator.switches.latency = 10, 100
    url = create(replicate, prompt="a fox", num_outputs=2, seed=7)["urls"]["get"]
    assert replicate.get(url).json()["status"] == "starting"
    emulator.advance(60)
    running = replicate.get(url).json()
    assert (running["status"], running["output"], "metrics" in running) == ("processing", None, False)
    assert "50%|" in running["logs"]
    assert running["logs"].startswith("Using seed: 7\n")
    emulator.advance(60)
    done = replicate.get(url)
    body = done.json()
    assert done.headers["ratelimit-remaining"] == "59999"
    assert body["status"] == "succeeded"
    assert body["metrics"] == {"predict_time": 100, "total_time": 110, "image_count": 2}
    assert re.fullmatch(r"\S+\.\d{9}Z", body["completed_at"])
    assert [url.rpartition("/")[2] for url in body["output"]] == ["out-0.webp", "out-1.webp"]


def test_an_unknown_prediction(replicate: httpx.Client) -> None:
    """404 without a title."""
    assert replicate.get("/predictions/nothing").json() == {
        "detail": "The requested resource could not be found.",
        "status": 404,
    }


@pytest.mark.parametrize(("after", "billed"), [(5, 0.0), (60, 0.003)])
def test_cancel(emulator: Emulator, replicate: httpx.Client, after: float, billed: float) -> None:
    """In the queue it costs nothing, while running it does; afterwards it stays as it is."""
    emulator.switches.queue_time, emulator.switches.latency = 10, 100
    body = create(replicate, prompt="a fox")
    emulator.advance(after)
    answer = replicate.post(body["urls"]["cancel"])
    assert (answer.status_code, answer.json()["status"]) == (200, "canceled")
    assert "completed_at" in answer.json()
    emulator.advance(1000)
    assert replicate.get(body["urls"]["get"]).json()["status"] == "canceled"
    assert emulator.books().billed("USD") == billed
    assert emulator.books().cancels == 1


def test_a_finished_prediction_cannot_be_cancelled(emulator: Emulator, replicate: httpx.Client) -> None:
    """200 with the terminal object."""
    body = finished(replicate, prompt="a fox")
    assert replicate.post(body["urls"]["cancel"]).json()["status"] == "succeeded"
    assert emulator.books().cancels == 0


def test_half_an_hour_is_the_end(emulator: Emulator, replicate: httpx.Client) -> None:
    """The platform kills what runs longer."""
    emulator.switches.latency = 5000
    url = create(replicate, prompt="a fox")["urls"]["get"]
    emulator.advance(1801)
    body = replicate.get(url).json()
    assert (body["status"], body["error"]) == ("failed", "Prediction timed out")


def test_after_an_hour_everything_is_gone(emulator: Emulator, replicate: httpx.Client, web: httpx.Client) -> None:
    """Output, inputs and logs, and the files too."""
    body = finished(replicate, prompt="a fox")
    assert web.get(body["output"][0]).status_code == 200
    emulator.advance(3601)
    later = replicate.get(body["urls"]["get"]).json()
    assert (later["data_removed"], later["output"], later["input"], later["logs"]) == (True, None, {}, "")
    assert later["status"] == "succeeded"
    assert web.get(body["output"][0]).status_code == 404


@pytest.mark.parametrize(
    ("version", "values", "size"),
    [
        (SCHNELL, {}, (1024, 1024)),
        (SCHNELL, {"aspect_ratio": "16:9"}, (1344, 768)),
        (SCHNELL, {"aspect_ratio": "9:21", "megapixels": "0.25"}, (320, 768)),
        (PRO, {"aspect_ratio": "custom", "width": 512, "height": 256}, (512, 256)),
        (LIGHTNING, {"width": 640, "height": 512}, (640, 512)),
    ],
)
def test_images_have_the_size_asked_for(
    replicate: httpx.Client, web: httpx.Client, version: str, values: dict[str, object], size: tuple[int, int]
) -> None:
    """By Flux's table, or by width and height; one model gives a list, another one URL."""
    output = finished(replicate, version, prompt="a fox", **values)["output"]
    url = output if version == PRO else output[0]
    answer = web.get(url)
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == size
    assert answer.headers["content-type"] == ("image/png" if version == LIGHTNING else "image/webp")


@pytest.mark.parametrize(
    ("name", "values", "measured"),
    [
        ("anotherjesse/zeroscope-v2-xl", {}, (576, 320, 24, 8)),
        (
            "anotherjesse/zeroscope-v2-xl",
            {"num_frames": 30, "fps": 10, "width": 1024, "height": 576},
            (1024, 576, 30, 10),
        ),
        ("kwaivgi/kling-v3-video", {"duration": 15, "aspect_ratio": "9:16"}, (1080, 1920, 360, 24)),
        ("kwaivgi/kling-v3-video", {"mode": "standard"}, (1280, 720, 120, 24)),
        ("wan-video/wan-2.2-t2v-fast", {}, (832, 480, 152, 30)),
        ("wan-video/wan-2.2-t2v-fast", {"aspect_ratio": "9:16", "interpolate_output": False}, (480, 832, 81, 16)),
        ("wan-video/wan-2.5-t2v", {"size": "720*1280", "duration": 10}, (720, 1280, 240, 24)),
        ("pixverse/pixverse-v5", {"aspect_ratio": "1:1"}, (540, 540, 120, 24)),
        ("lightricks/ltx-video", {"aspect_ratio": "1:1", "length": 129}, (640, 640, 129, 24)),
        ("tencent/hunyuan-video", {"fps": 12}, (864, 480, 129, 12)),
        ("minimax/hailuo-02", {"duration": 10, "resolution": "768p"}, (1366, 768, 240, 24)),
    ],
)
def test_videos_are_planned_as_asked(
    name: str, values: dict[str, object], measured: tuple[int, int, int, float]
) -> None:
    """Size, frames and rate, by whatever names a model has for them."""
    model = by_name(*name.split("/"))
    assert model is not None
    (picture,) = pictures(model, {"prompt": "a fox", **values})
    assert (picture.width, picture.height, picture.frames, picture.fps) == measured


def test_a_zeroscope_film(replicate: httpx.Client, web: httpx.Client) -> None:
    """H.264 in MP4, exactly as it was planned."""
    (url,) = finished(replicate, ZEROSCOPE, prompt="a fox", num_frames=6, fps=12, width=320, height=256)["output"]
    assert url.endswith("/output-0.mp4")
    answer = web.get(url)
    assert answer.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(answer.content)) as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 320, 256)
        assert stream.average_rate == 12
        assert sum(1 for _ in film.decode(stream)) == 6


def test_two_prompts_make_two_pictures_and_a_seed_repeats_one(replicate: httpx.Client, web: httpx.Client) -> None:
    """Prompt and seed decide the bytes."""

    def picture(**values: Any) -> bytes:
        return web.get(finished(replicate, **values)["output"][0]).content

    fox = picture(prompt="a fox", seed=1)
    assert fox == picture(prompt="a fox", seed=1)
    assert fox != picture(prompt="a mountain", seed=1)


@pytest.mark.parametrize(
    ("version", "values", "usd"),
    [
        (SCHNELL, {"num_outputs": 3}, 0.009),
        (PRO, {}, 0.04),
        (LIGHTNING, {}, 0.944134354 * 0.000975),
        (ZEROSCOPE, {}, 88.4 * 0.0014),
        (KLING, {"duration": 10}, 1.4),
        ("minimax/video-01", {}, 0.5),
    ],
)
def test_bills(
    emulator: Emulator, replicate: httpx.Client, version: str, values: dict[str, object], usd: float
) -> None:
    """Per image, per second of hardware, per second of video, per video."""
    create(replicate, version, prompt="x", **values)
    assert emulator.books().billed("USD") == pytest.approx(usd, abs=1e-6)


def test_the_list_is_newest_first_in_pages_of_a_hundred(replicate: httpx.Client) -> None:
    """`next` and `previous` are whole URLs with a cursor of the recorded form."""
    made = [create(replicate, prompt=str(number))["id"] for number in range(205)]
    pages: list[list[str]] = []
    url: str | None = "/predictions"
    last: dict[str, Any] = {}
    while url:
        last = replicate.get(url).json()
        pages.append([entry["id"] for entry in last["results"]])
        url = last["next"]
    assert [len(page) for page in pages] == [100, 100, 5]
    assert [one for page in pages for one in page] == made[::-1]
    back = replicate.get(last["previous"]).json()
    assert [entry["id"] for entry in back["results"]] == pages[1]
    cursor = urllib.parse.parse_qs(urllib.parse.urlsplit(back["next"]).query)["cursor"][0]
    assert base64.b64decode(cursor).startswith(b"p=")


def test_the_list_can_be_bounded_in_time(emulator: Emulator, replicate: httpx.Client) -> None:
    """`created_after` and `created_before` take ISO 8601; web-made predictions there are none."""
    ids: list[str] = []
    for number in range(3):
        ids.append(create(replicate, prompt=str(number))["id"])
        emulator.advance(100)
    middle = emulator.books().predictions[1].created_at

    def found(**query: str) -> list[str]:
        return [entry["id"] for entry in replicate.get("/predictions", params=query).json()["results"]]

    def text(moment: float) -> str:
        return datetime.fromtimestamp(moment, tz=UTC).isoformat()

    assert found(created_after=text(middle - 50)) == ids[:0:-1]
    assert found(created_before=text(middle - 50)) == ids[:1]
    assert found(created_after=text(middle - 50), created_before=text(middle + 50)) == [ids[1]]
    assert found(source="web") == []
    assert replicate.get("/predictions", params={"created_after": "yesterday"}).status_code == 422


def test_models_publish_their_schema(replicate: httpx.Client) -> None:
    """Inputs and output of a model, its versions, and whether it is official."""
    model = replicate.get(f"/models/{SCHNELL}").json()
    schemas = model["latest_version"]["openapi_schema"]["components"]["schemas"]
    assert schemas["Input"]["properties"]["num_outputs"]["maximum"] == 4
    assert schemas["Output"]["type"] == "array"
    assert model["is_official"] is True
    community = replicate.get("/models/anotherjesse/zeroscope-v2-xl").json()
    assert (community["is_official"], community["latest_version"]["id"]) == (False, ZEROSCOPE)
    versions = replicate.get("/models/anotherjesse/zeroscope-v2-xl/versions").json()["results"]
    assert [version["id"] for version in versions] == [ZEROSCOPE]
    assert replicate.get(f"/models/anotherjesse/zeroscope-v2-xl/versions/{ZEROSCOPE}").json() == versions[0]
    assert replicate.get("/models/nobody/nothing").status_code == 404


def test_account_and_secret_need_the_token(emulator: Emulator, replicate: httpx.Client, web: httpx.Client) -> None:
    """The cheap proof of a token."""
    assert replicate.get("/account").json()["type"] == "user"
    assert replicate.get("/webhooks/default/secret").json()["key"].startswith("whsec_")
    assert web.get(f"{emulator.replicate_url}/account").status_code == 401


def test_files_are_kept_for_a_day(emulator: Emulator, replicate: httpx.Client) -> None:
    """Upload, look, list, delete; expired after 24 h."""
    data = bytes(range(256)) + b"\r\n--x\r\n"
    parts = {
        "content": ("start frame.png", data, "image/png"),
        "metadata": (None, json.dumps({"a": 1}), "application/json"),
    }
    answer = replicate.post("/files", files=parts)
    body = answer.json()
    assert answer.status_code == 201
    assert (body["name"], body["content_type"], body["size"]) == ("start frame.png", "image/png", len(data))
    assert body["checksums"]["sha256"] == hashlib.sha256(data).hexdigest()
    assert body["metadata"] == {"a": 1}
    assert replicate.get(body["urls"]["get"]).json() == body
    assert replicate.get("/files").json()["results"] == [body]
    second = replicate.post("/files", files={"content": ("a.txt", b"a", "text/plain")}).json()
    assert replicate.delete(f"/files/{second['id']}").status_code == 204
    assert replicate.get(f"/files/{second['id']}").status_code == 404
    emulator.advance(86_401)
    assert replicate.get(body["urls"]["get"]).status_code == 404


def test_a_file_can_be_fetched_by_its_signed_link(
    emulator: Emulator, replicate: httpx.Client, web: httpx.Client
) -> None:
    """HMAC-SHA256 over owner, id and expiry; a wrong signature finds nothing."""
    body = replicate.post("/files", files={"content": ("a.txt", b"hello", "text/plain")}).json()
    token = emulator.settings()["REPLICATE_API_KEY"]
    digest = hmac.digest(token.encode(), f"me {body['id']} 99".encode(), "sha256")
    query = {"owner": "me", "expiry": "99", "signature": base64.b64encode(digest).decode()}
    url = f"{emulator.replicate_url}/files/{body['id']}/download"
    assert web.get(url, params=query).content == b"hello"
    assert web.get(url, params={**query, "expiry": "100"}).status_code == 404
