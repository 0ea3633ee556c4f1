"""PyPI's openai with Poe's base URL against the emulator, unchanged. Skipped where it is not installed."""

from __future__ import annotations

import re
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

openai = pytest.importorskip("openai")

if TYPE_CHECKING:
    from aifs_media.testing.emulator import Emulator

KEY = "POE_API_KEY"
ERRORS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    402: "APIStatusError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    529: "InternalServerError",
}


def options(emulator: Emulator, **more: Any) -> dict[str, Any]:
    """Point a client at the emulator."""
    return {"api_key": emulator.settings()[KEY], "base_url": emulator.poe_url, "max_retries": 0, **more}


@pytest.fixture
def client(emulator: Emulator) -> Any:
    """The synchronous client."""
    with openai.OpenAI(**options(emulator)) as running:
        yield running


def say(prompt: str) -> list[dict[str, str]]:
    """Return the messages of a prompt."""
    return [{"role": "user", "content": prompt}]


def fetch(url: str) -> tuple[str, bytes]:
    """Return the media type and the bytes behind a link, without a key."""
    with urllib.request.urlopen(url) as answer:  # loopback only
        return str(answer.headers["content-type"]), bytes(answer.read())


def test_an_image_with_extra_body(emulator: Emulator, client: Any) -> None:
    """The client merges `extra_body` into the top level; the link is public."""
    answer = client.chat.completions.create(
        model="gpt-image-1.5", messages=say("a fox"), extra_body={"aspect": "3:2", "quality": "low"}
    )
    url = re.findall(r"http://\S+", answer.choices[0].message.content)[-1]
    assert url.endswith("?w=1536&h=1024")
    assert fetch(url)[0] == "image/png"
    assert emulator.books().predictions[0].input["quality"] == "low"
    assert emulator.books().leaks == 0


def test_a_video_by_chat(client: Any) -> None:
    """One bare link."""
    answer = client.chat.completions.create(
        model="Video-Generator-PRO", messages=say("a fox"), extra_body={"duration": 1, "size": "320x240", "fps": 8}
    )
    kind, data = fetch(answer.choices[0].message.content)
    assert (kind, data[4:8]) == ("video/mp4", b"ftyp")


def test_text_and_streamed_text(client: Any) -> None:
    """Whole, and in pieces."""
    whole = client.chat.completions.create(model="gpt-5.4-mini", messages=say("Write about rain"))
    assert "rain" in whole.choices[0].message.content.lower()
    pieces = client.chat.completions.create(model="gpt-5.4-mini", messages=say("Write about rain"), stream=True)
    assert "rain" in "".join(piece.choices[0].delta.content or "" for piece in pieces).lower()


def test_models(client: Any) -> None:
    """The catalogue."""
    assert "veo-3.1" in {model.id for model in client.models.list()}


# The client announces the end of the service that Poe's endpoint is modelled on.
@pytest.mark.filterwarnings("ignore:The Sora API")
def test_videos(emulator: Emulator, client: Any) -> None:
    """Create, look until it is done, download."""
    video = client.videos.create(model="veo-3.1", prompt="a fox", seconds="4", size="1280x720")
    assert (video.status, client.videos.retrieve(video.id).status) == ("queued", "completed")
    emulator.fault("poe.videos.content", "status", status=404)
    with pytest.raises(openai.NotFoundError):
        client.videos.download_content(video.id)
    assert client.videos.download_content(video.id, variant="thumbnail").read()[8:12] == b"WEBP"


@pytest.mark.parametrize("status", sorted(ERRORS))
def test_errors(emulator: Emulator, client: Any, status: int) -> None:
    """Each status has the client's own error, with Poe's message."""
    if status == 401:
        client = openai.OpenAI(**options(emulator, api_key="wrong"))
    elif status == 402:
        emulator.switches.poe_points = 0
    elif status != 404:
        emulator.fault("poe.chat", "status", status=status)
    with pytest.raises(getattr(openai, ERRORS[status])) as caught:
        client.chat.completions.create(model="nobody" if status == 404 else "veo-3.1", messages=say("x"))
    assert caught.value.status_code == status
    assert caught.value.body["message"]


@pytest.mark.filterwarnings("ignore:The Sora API")
@pytest.mark.anyio
async def test_async(emulator: Emulator) -> None:
    """Chat, catalogue and videos."""
    async with openai.AsyncOpenAI(**options(emulator)) as client:
        answer = await client.chat.completions.create(model="imagen-4", messages=say("a fox"))
        assert "/base/image/" in answer.choices[0].message.content
        assert [model.id async for model in client.models.list()]
        video = await client.videos.create(model="veo-3.1", prompt="a fox")
        assert (await client.videos.retrieve(video.id)).status == "completed"
        with pytest.raises(openai.NotFoundError):
            await client.chat.completions.create(model="nobody", messages=say("x"))
    assert emulator.books().creates == 2
