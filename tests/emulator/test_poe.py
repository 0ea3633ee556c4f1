"""The emulated Poe: content grammar, parameters, errors, points."""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import av
import pytest
from PIL import Image

if TYPE_CHECKING:
    import httpx

    from aifs_media.testing.emulator import Emulator

LINK = r"http://127\.0\.0\.1:\d+/base/image/[0-9a-f]{64}\?w=\d+&h=\d+"


def chat(client: httpx.Client, bot: str, prompt: str = "a fox", **members: Any) -> httpx.Response:
    """Ask a bot."""
    body = {"model": bot, "messages": [{"role": "user", "content": prompt}], **members}
    return client.post("/chat/completions", json=body)


def content(client: httpx.Client, bot: str, prompt: str = "a fox", **members: Any) -> str:
    """Ask a bot and return what it said."""
    answer = chat(client, bot, prompt, **members)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def film(web: httpx.Client, url: str) -> tuple[int, int, float, int]:
    """Return width, height, frames per second and number of frames."""
    answer = web.get(url)
    assert answer.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(answer.content)) as container:
        stream = container.streams.video[0]
        frames = sum(1 for _ in container.decode(stream))
        assert stream.average_rate is not None
        return stream.width, stream.height, float(stream.average_rate), frames


def test_an_answer_has_the_recorded_shape(poe: httpx.Client) -> None:
    """The name as it was sent, no token for a video, the headers of the service and none about rates."""
    answer = chat(poe, "VEO-3.1")
    body = answer.json()
    assert re.fullmatch(r"chatcmpl-[0-9a-f]{24}", body["id"])
    assert (body["object"], body["model"]) == ("chat.completion", "VEO-3.1")
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == 0
    assert answer.headers["openai-version"] == "2020-10-01"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert not [name for name in answer.headers if name.startswith("x-ratelimit")]


@pytest.mark.parametrize(
    ("bot", "pattern"),
    [
        ("GPT-Image-1.5", rf"!\[a fox\.png\]\(({LINK})\)\n\n({LINK})"),
        ("imagen-4", rf"!\[a fox_image_1\]\(({LINK})\)\n\n\n({LINK})"),
        ("flux-schnell", rf"!\[a fox\]\(({LINK})\)\n\n({LINK})"),
    ],
)
def test_image_bots_say_the_link_twice(poe: httpx.Client, bot: str, pattern: str) -> None:
    """A markdown image, then the bare link, with two or three line ends between."""
    found = re.fullmatch(pattern, content(poe, bot))
    assert found is not None
    assert found[1] == found[2]


def test_video_bots_say_one_bare_link(poe: httpx.Client) -> None:
    """Without an extension."""
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/base/video/[0-9a-f]{64}", content(poe, "veo-3.1"))


def test_dall_e_links_live_an_hour(emulator: Emulator, poe: httpx.Client, web: httpx.Client) -> None:
    """They are signed, and another vendor's."""
    url = content(poe, "dall-e-3").rpartition("\n")[2]
    assert "&se=" in url
    assert web.get(url).status_code == 200
    emulator.advance(3601)
    assert web.get(url).status_code == 404


def test_nano_banana_answers_text_unless_told(poe: httpx.Client) -> None:
    """200 without media, with thoughts before it for the larger one; `image_only` makes it draw."""
    assert "http" not in content(poe, "nano-banana")
    assert content(poe, "nano-banana-pro").startswith("**")
    assert "/base/image/" in content(poe, "nano-banana", image_only=True)


def test_several_images(poe: httpx.Client) -> None:
    """`num_images`, at the top level or in a literal `extra_body`."""
    assert len(set(re.findall(LINK, content(poe, "qwen-image-2.0", num_images=3)))) == 3
    assert len(set(re.findall(LINK, content(poe, "hunyuan-image-3", extra_body={"num_images": 2})))) == 2


@pytest.mark.parametrize(
    ("bot", "given", "size"),
    [
        ("gpt-image-1.5", {"aspect": "3:2"}, (1536, 1024)),
        ("hunyuan-image-3", {"size": "512x512"}, (512, 512)),
        ("imagen-4", {"aspect_ratio": "16:9"}, (1376, 768)),
        ("imagen-4", {"aspect": "16:9"}, (1024, 1024)),
    ],
)
def test_parameters_have_names_of_their_own(
    poe: httpx.Client, web: httpx.Client, bot: str, given: dict[str, Any], size: tuple[int, int]
) -> None:
    """What a bot does not list is ignored silently."""
    url = content(poe, bot, **given).rpartition("\n")[2]
    assert url.endswith(f"?w={size[0]}&h={size[1]}")
    with Image.open(io.BytesIO(web.get(url).content)) as image:
        assert image.size == size


@pytest.mark.parametrize(
    ("bot", "given", "measured"),
    [
        ("veo-3.1", {"duration": "4", "aspect_ratio": "9:16"}, (720, 1280, 24, 96)),
        ("veo-v3.1", {"duration": "4s", "resolution": "720p"}, (1280, 720, 24, 96)),
        ("Video-Generator-PRO", {"duration": 2, "size": "320x240", "fps": 8}, (320, 240, 8, 16)),
    ],
)
def test_videos_have_the_length_and_size_asked_for(
    poe: httpx.Client, web: httpx.Client, bot: str, given: dict[str, Any], measured: tuple[int, int, float, int]
) -> None:
    """Durations as text, with a unit, or as a number."""
    assert film(web, content(poe, bot, **given)) == measured


def test_an_unlisted_bot(emulator: Emulator, poe: httpx.Client) -> None:
    """Callable by default, though not in the catalogue; a switch makes it unknown."""
    listed = {entry["id"] for entry in poe.get("/models").json()["data"]}
    assert "veo-3.1" in listed
    assert not [name for name in listed if name.lower() == "video-generator-pro"]
    assert chat(poe, "Video-Generator-PRO").status_code == 200
    emulator.switches.unlisted_bots = frozenset()
    answer = chat(poe, "Video-Generator-PRO")
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        {
            "message": "The model `Video-Generator-PRO` does not exist or you do not have access to it.",
            "type": "invalid_request_error",
        },
    )


def test_text_bots_speak_of_the_prompt(poe: httpx.Client) -> None:
    """Plainly, or in JSON with the keys that are asked for."""
    assert "lighthouse" in content(poe, "gpt-5.4-mini", "Write about a lighthouse in fog")
    asked = 'Write a caption about a lighthouse. Answer in JSON with "text" and "hashtags", exactly 3 hashtags.'
    caption = json.loads(content(poe, "gpt-5.4-mini", asked))
    assert set(caption) == {"text", "hashtags"}
    assert len(caption["hashtags"]) == 3
    script = json.loads(
        content(poe, "gpt-5.4-mini", 'A script about rain as JSON: {"hook": ..., "body": ..., "outro": ...}')
    )
    assert set(script) == {"hook", "body", "outro"}


def test_system_messages_and_parts_are_read(poe: httpx.Client) -> None:
    """The order may stand in the system message, the prompt in parts beside a picture."""
    messages = [
        {"role": "system", "content": 'Answer in JSON with the key "text".'},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a lighthouse"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
    ]
    answer = poe.post("/chat/completions", json={"model": "gpt-5.4-mini", "messages": messages})
    assert "lighthouse" in json.loads(answer.json()["choices"][0]["message"]["content"])["text"]


def test_streamed_text(poe: httpx.Client) -> None:
    """Server-sent events that end with [DONE]."""
    answer = chat(poe, "gpt-5.4-mini", "rain", stream=True)
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "[DONE]"
    assert "rain" in json.loads(lines[0])["choices"][0]["delta"]["content"].lower()


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"messages": [{"role": "user", "content": "x"}]}, 400, "missing_parameter"),
        ({"model": "veo-3.1"}, 400, "missing_parameter"),
        ({"model": "veo-3.1", "messages": []}, 400, "missing_parameter"),
        ({"model": "veo-3.1", "n": 2, "messages": [{"role": "user", "content": "x"}]}, 400, None),
    ],
)
def test_requests_that_lack_something(poe: httpx.Client, body: dict[str, Any], status: int, code: str | None) -> None:
    """400 in the documented form."""
    answer = poe.post("/chat/completions", json=body)
    assert (answer.status_code, answer.json()["error"].get("code")) == (status, code)


def test_a_wrong_key(emulator: Emulator, web: httpx.Client) -> None:
    """401 with a numeric code; the catalogue needs no key."""
    answer = web.post(f"{emulator.poe_url}/chat/completions", json={}, headers={"authorization": "Bearer x"})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == 401
    assert web.get(f"{emulator.poe_url}/models").status_code == 200


def test_points(emulator: Emulator, poe: httpx.Client) -> None:
    """Spent when a call is done; at zero the next one is refused, not before."""
    emulator.switches.poe_points = 600
    balance = f"{emulator.base_url}/poe/usage/current_balance"
    assert poe.get(balance).json() == {"current_point_balance": 600}
    assert chat(poe, "imagen-4").status_code == 200
    assert chat(poe, "imagen-4").status_code == 200
    assert poe.get(balance).json() == {"current_point_balance": -400}
    refused = chat(poe, "imagen-4")
    assert (refused.status_code, refused.json()["error"]["type"]) == (402, "insufficient_credits")
    assert emulator.books().billed("points") == 1000


def test_history_in_both_documented_forms(emulator: Emulator, poe: httpx.Client) -> None:
    """Newest first, in pages; microseconds and bot_name, or seconds and app_name."""
    for bot in ("imagen-4", "veo-3.1", "gpt-5.4-mini"):
        chat(poe, bot)
    address = f"{emulator.base_url}/poe/usage/points_history"
    first = poe.get(address, params={"limit": 2}).json()
    assert (first["has_more"], first["length"]) == (True, 2)
    assert [entry["bot_name"] for entry in first["data"]] == ["gpt-5.4-mini", "veo-3.1"]
    assert first["data"][0]["creation_time"] > 10**15
    assert first["data"][0]["usage_type"] == "API"
    rest = poe.get(address, params={"starting_after": first["data"][1]["query_id"]}).json()
    assert (rest["has_more"], [entry["bot_name"] for entry in rest["data"]]) == (False, ["imagen-4"])
    emulator.switches.poe_history_form = "guide"
    entry = poe.get(address).json()["data"][0]
    assert set(entry) == {"app_name", "creation_time", "query_id", "cost_points"}
    assert entry["creation_time"] < 10**10
    assert poe.get(address, params={"limit": "101"}).status_code == 400


@pytest.mark.parametrize(
    ("status", "kind"), [(403, "moderation_error"), (408, "timeout_error"), (429, "rate_limit_error")]
)
def test_errors_by_status(emulator: Emulator, poe: httpx.Client, status: int, kind: str) -> None:
    """Each status has its documented type."""
    emulator.fault("poe.chat", "status", status=status)
    answer = chat(poe, "veo-3.1")
    assert (answer.status_code, answer.json()["error"]["type"]) == (status, kind)
    assert "retry-after" not in answer.headers
    assert emulator.books().creates == 0


def test_generations_that_fail(emulator: Emulator, poe: httpx.Client) -> None:
    """Moderated is 403, failed is 500 with the text; neither costs points."""
    emulator.fault("poe.chat", "moderated")
    emulator.fault("poe.chat", "failed", text="Error from OpenAI: try again")
    assert chat(poe, "veo-3.1").status_code == 403
    failed = chat(poe, "veo-3.1")
    assert (failed.status_code, failed.json()["error"]["type"]) == (500, "provider_error")
    assert failed.json()["error"]["message"] == "Error from OpenAI: try again"
    assert emulator.books().billed("points") == 0


def test_answers_without_media(emulator: Emulator, poe: httpx.Client) -> None:
    """Text only, nothing, a foreign link."""
    emulator.fault("poe.chat", "text_only", text="I cannot draw this.")
    emulator.fault("poe.chat", "empty_output")
    emulator.fault("poe.chat", "foreign_output", url="http://169.254.169.254/film")
    said = [content(poe, "veo-3.1") for _ in range(3)]
    assert said == ["I cannot draw this.", "", "http://169.254.169.254/film"]


def test_a_lost_answer_is_made_and_paid(emulator: Emulator, poe: httpx.Client) -> None:
    """The client is gone, the points are too."""
    emulator.switches.latency = 60
    with pytest.raises(Exception, match="timed out"):
        poe.post(
            "/chat/completions",
            json={"model": "veo-3.1", "messages": [{"role": "user", "content": "x"}]},
            timeout=0.1,
        )
    assert emulator.books().billed("points") == 0
    emulator.advance(61)
    assert emulator.books().billed("points") == 9000


def test_the_images_endpoint(poe: httpx.Client, web: httpx.Client) -> None:
    """OpenAI's shape, for the bots that list it."""
    answer = poe.post("/images", json={"model": "gpt-image-1.5", "prompt": "a fox"})
    assert web.get(answer.json()["data"][0]["url"]).headers["content-type"] == "image/png"
    assert poe.post("/images", json={"model": "imagen-4", "prompt": "a fox"}).status_code == 404


def test_videos_from_queue_to_content(emulator: Emulator, poe: httpx.Client) -> None:
    """Queued, in progress, completed; whole seconds; null members; variants; nothing to fetch before the end."""
    emulator.switches.latency = 100
    body = {"model": "Veo-3.1", "prompt": "a fox", "seconds": 4, "size": "320x240"}
    video = poe.post("/videos", json=body).json()
    path = f"/videos/{video['id']}"
    assert (video["status"], video["seconds"], video["progress"], video["model"]) == ("queued", 4, 0, "Veo-3.1")
    assert (video["completed_at"], video["error"], video["usage"]) == (None, None, None)
    emulator.advance(40)
    running = poe.get(path).json()
    assert running["status"] == "in_progress"
    assert 0 < running["progress"] < 100
    assert poe.get(f"{path}/content").status_code == 404
    emulator.advance(61)
    assert poe.get(path).json()["status"] == "completed"
    film_answer = poe.get(f"{path}/content")
    assert film_answer.headers["content-type"] == "video/mp4"
    assert poe.get(f"{path}/content?variant=thumbnail").headers["content-type"] == "image/webp"
    assert poe.get(f"{path}/content?variant=spritesheet").headers["content-type"] == "image/jpeg"
    assert poe.get(f"{path}/content?variant=poster").status_code == 400
    assert emulator.books().predictions[0].downloads == 1


def test_videos_in_multipart(poe: httpx.Client) -> None:
    """As OpenAI's client sends them, with a file and seconds as text."""
    parts = {
        "model": (None, "veo-3.1"),
        "prompt": (None, "a fox"),
        "seconds": (None, "6"),
        "input_reference": ("a.png", b"x"),
    }
    video = poe.post("/videos", files=parts).json()
    assert (video["seconds"], video["size"]) == (6, "720x1280")


def test_videos_that_fail_or_are_refused(emulator: Emulator, poe: httpx.Client) -> None:
    """A failed one has an error; other bots, sizes and names are refused."""
    emulator.fault("poe.videos.create", "failed", text="broken")
    video = poe.post("/videos", json={"model": "veo-3.1", "prompt": "x"}).json()
    failed = poe.get(f"/videos/{video['id']}").json()
    assert (failed["status"], failed["error"]["message"]) == ("failed", "broken")
    assert poe.post("/videos", json={"model": "kling-v3-pro", "prompt": "x"}).status_code == 400
    assert poe.post("/videos", json={"model": "veo-3.1", "prompt": "x", "size": "big"}).status_code == 400
    assert poe.post("/videos", json={"model": "veo-3.1"}).status_code == 400
    assert poe.get("/videos/none").status_code == 404
