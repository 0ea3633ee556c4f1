"""PyPI's runwayml 5 against the emulator, unchanged, and its requests beside ours. Skipped where it is not installed."""

from __future__ import annotations

import importlib
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

runwayml = pytest.importorskip("runwayml")
polling = importlib.import_module("runwayml.lib.polling")

from aifs_media import MediaGenerator, Settings  # noqa: E402 - only where the client is installed
from aifs_media.storage.memory import MemoryStorage  # noqa: E402 - as above

if TYPE_CHECKING:
    from aifs_media.testing.emulator import Emulator

KEY = "RUNWAYML_API_SECRET"
ERRORS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    429: "RateLimitError",
    500: "InternalServerError",
    503: "InternalServerError",
}
IMAGE = {"model": "gen4_image", "prompt_text": "a fox", "ratio": "1280:720"}
FILM = {"model": "gen4.5", "prompt_text": "a fox", "ratio": "1280:720", "duration": 2}


def options(emulator: Emulator, **more: Any) -> dict[str, Any]:
    """Point a client at the emulator."""
    return {"api_key": emulator.settings()[KEY], "base_url": emulator.runway_url, "max_retries": 0, **more}


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client looks about every six seconds."""
    monkeypatch.setattr(polling, "POLL_TIME", 0.01)
    monkeypatch.setattr(polling, "POLL_JITTER", 0.0)


@pytest.fixture
def client(emulator: Emulator) -> Any:
    """The synchronous client."""
    with runwayml.RunwayML(**options(emulator)) as running:
        yield running


def fetch(url: str) -> tuple[str, bytes]:
    """Return the media type and the bytes behind a link, without a key."""
    with urllib.request.urlopen(url) as answer:  # loopback only
        return str(answer.headers["content-type"]), bytes(answer.read())


def test_an_image(emulator: Emulator, client: Any) -> None:
    """Create, wait, fetch."""
    task = client.text_to_image.create(**IMAGE).wait_for_task_output()
    assert (task.status, task.cost.credits) == ("SUCCEEDED", 5)
    assert fetch(task.output[0])[0] == "image/png"
    assert emulator.books().leaks == 0


def test_videos(emulator: Emulator, client: Any) -> None:
    """Of a text, of a link, of an upload."""
    upload = client.uploads.create_ephemeral(file=("start.png", b"bytes"))
    turbo = {"model": "gen4_turbo", "ratio": "1280:720", "duration": 2}
    for create in (
        lambda: client.text_to_video.create(**FILM),
        lambda: client.image_to_video.create(**FILM, prompt_image="https://x.example/start.png"),
        lambda: client.image_to_video.create(**turbo, prompt_image=[{"uri": upload.uri, "position": "first"}]),
    ):
        task = create().wait_for_task_output()
        kind, data = fetch(task.output[0])
        assert (kind, data[4:8]) == ("video/mp4", b"ftyp")
    assert emulator.books().creates == 3


def test_states(emulator: Emulator, client: Any) -> None:
    """Each has the client's own type, with its members."""
    emulator.switches.queue_time, emulator.switches.latency, emulator.switches.runway_concurrency = 10, 100, 1
    first, second = (client.text_to_image.create(**IMAGE).id for _ in range(2))
    assert client.tasks.retrieve(first).estimated_cost.credits == 5
    assert [client.tasks.retrieve(task).status for task in (first, second)] == ["PENDING", "THROTTLED"]
    emulator.advance(60)
    running = client.tasks.retrieve(first)
    assert running.status == "RUNNING"
    assert 0.4 < running.progress < 0.6
    client.tasks.delete(first)
    with pytest.raises(runwayml.NotFoundError):
        client.tasks.retrieve(first)
    assert emulator.books().cancels == 1


def test_failures(emulator: Emulator, client: Any) -> None:
    """With and without a code."""
    for kind, code in (("moderated", "SAFETY.INPUT.TEXT"), ("failed", None)):
        emulator.fault("runway.create", kind)
        with pytest.raises(runwayml.TaskFailedError) as caught:
            client.text_to_image.create(**IMAGE).wait_for_task_output()
        assert caught.value.task_details.failure_code == code


def test_a_cancelled_task_keeps_the_client_waiting(emulator: Emulator, client: Any) -> None:
    """The synchronous client does not know CANCELLED as an end; ours does, in tests/providers/test_runway_answers.py."""
    emulator.fault("runway.create", "aborted")
    with pytest.raises(runwayml.TaskTimeoutError):
        client.text_to_image.create(**IMAGE).wait_for_task_output(timeout=0.1)


def test_organization(client: Any) -> None:
    """Credits and limits."""
    found = client.organization.retrieve()
    assert found.credit_balance == 10_000
    assert found.tier.models["gen4.5"].max_concurrent_generations == 2


@pytest.mark.parametrize("status", sorted(ERRORS))
def test_errors(emulator: Emulator, client: Any, status: int) -> None:
    """Each status has the client's own error."""
    if status == 401:
        client = runwayml.RunwayML(**options(emulator, api_key="key_wrong"))
    elif status == 400:
        emulator.switches.runway_credits = 0
    else:
        emulator.fault("runway.create", "status", status=status)
    with pytest.raises(getattr(runwayml, ERRORS[status])) as caught:
        client.text_to_image.create(**IMAGE)
    assert caught.value.status_code == status


def test_a_lost_answer_is_paid_several_times(emulator: Emulator) -> None:
    """The client repeats a create whose answer was lost: the books show what that costs."""
    emulator.fault("runway.create", "drop_after", times=2)
    client = runwayml.RunwayML(**options(emulator, max_retries=2))
    client.text_to_image.create(**IMAGE)
    assert emulator.books().creates == 3
    assert list(emulator.books().duplicates.values()) == [3]


@pytest.mark.anyio
async def test_async(emulator: Emulator) -> None:
    """Create, wait, upload, delete, and a cancelled task as an end."""
    async with runwayml.AsyncRunwayML(**options(emulator)) as client:
        task = await client.text_to_image.create(**IMAGE)
        assert (await task.wait_for_task_output()).status == "SUCCEEDED"
        upload = await client.uploads.create_ephemeral(file=("start.png", b"bytes"))
        assert upload.uri.startswith("runway://")
        await client.tasks.delete(task.id)
        emulator.fault("runway.create", "aborted")
        with pytest.raises(runwayml.TaskFailedError):
            await (await client.text_to_image.create(**IMAGE)).wait_for_task_output()
    assert emulator.books().creates == 2


# -- its requests beside ours ------------------------------------------------------------------------------------------

# Where the headers differ: the client says in `x-stainless-*` how it was built, which try this is and how long it waits, and
# asks for JSON by name, where ours takes any answer and reads what it is. Nothing of it is documented to mean anything at Runway.
ITS_OWN = {"accept", "accept-encoding"}
CALLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "text_to_image": (
        {**IMAGE, "seed": 7},
        {"kind": "image", "model": "runway:gen4_image", "size": "1280x720", "seed": 7},
    ),
    "text_to_video": (
        {**FILM, "seed": 7},
        {"kind": "video", "model": "runway:gen4.5", "duration": 2, "seed": 7},
    ),
    "image_to_video": (
        {**FILM, "ratio": "960:960", "prompt_image": "https://x.example/start.png"},
        {
            "kind": "video", "model": "runway:gen4.5", "duration": 2, "aspect_ratio": "1:1",
            "image": "https://x.example/start.png",
        },
    ),
}  # fmt: skip


@pytest.mark.anyio
@pytest.mark.parametrize("call", sorted(CALLS))
async def test_the_same_create(emulator: Emulator, client: Any, call: str) -> None:
    """Path, body and headers are the same, but for what is named above."""
    theirs, ours = CALLS[call]
    getattr(client, call).create(**theirs)
    one = emulator.last_request("runway.create", reveal=True)
    generator = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())
    await generator.start(ours.pop("kind"), "a fox", **ours)
    two = emulator.last_request("runway.create", reveal=True)
    assert two is not one
    assert (two.method, two.path, two.query) == (one.method, one.path, one.query)
    assert two.json == one.json
    its_own = {name for name in one.headers if name.startswith("x-stainless-")} | ITS_OWN
    shared = {"host", "user-agent", "content-length", "connection"}
    for name in one.headers.keys() - its_own - shared:
        assert two.headers[name] == one.headers[name], name
    # We send nothing that the client does not.
    assert two.headers.keys() <= one.headers.keys()


@pytest.mark.anyio
async def test_the_same_upload(emulator: Emulator, client: Any) -> None:
    """The same place is asked for, and the same form is sent to it; ours names the file's media type."""
    client.uploads.create_ephemeral(file=("start.png", b"bytes", "image/png"))
    places = [emulator.last_request("runway.upload").json]
    forms = [emulator.last_request("delivery.upload")]
    generator = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())
    provider: Any = generator._jobs.parts.provider("runway")
    await provider.upload(b"bytes", media_type="image/png", name="start.png")
    await provider.aclose()
    places.append(emulator.last_request("runway.upload").json)
    forms.append(emulator.last_request("delivery.upload"))
    assert places[0] == places[1] == {"filename": "start.png", "type": "ephemeral"}
    assert [form.status for form in forms] == [204, 204]
    assert not any(form.authorized for form in forms)
