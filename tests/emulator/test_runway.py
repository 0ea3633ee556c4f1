"""The emulated Runway: calls, states, credits, links, uploads, and its words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aifs_media.testing.emulator import Emulator

TEXT = {"model": "gen4.5", "promptText": "a fox", "ratio": "1280:720", "duration": 2}
IMAGE = {"model": "gen4_image", "promptText": "a fox", "ratio": "1024:1024"}


@pytest.fixture
def runway(emulator: Emulator) -> Iterator[httpx.Client]:
    """A client with the key of the emulated Runway."""
    headers = {
        "authorization": f"Bearer {emulator.settings()['RUNWAYML_API_SECRET']}",
        "x-runway-version": "2024-11-06",
    }
    with httpx.Client(base_url=f"{emulator.runway_url}/v1", headers=headers, timeout=10, trust_env=False) as client:
        yield client


def create(runway: httpx.Client, body: dict[str, object] | None = None, call: str = "text_to_image") -> Any:
    return runway.post(f"/{call}", json=IMAGE if body is None else body).json()


def test_a_task_from_beginning_to_end(emulator: Emulator, runway: httpx.Client) -> None:
    """Pending, running with progress, succeeded with a link; an estimate, then a cost."""
    emulator.switches.queue_time, emulator.switches.latency = 10, 100
    created = create(runway, TEXT, "text_to_video")
    assert set(created) == {"id", "estimatedCost"}
    assert created["estimatedCost"] == {"credits": 24}
    waiting = runway.get(f"/tasks/{created['id']}").json()
    assert (waiting["status"], waiting["estimatedCost"]) == ("PENDING", {"credits": 24})
    emulator.advance(60)
    running = runway.get(f"/tasks/{created['id']}").json()
    assert running["status"] == "RUNNING"
    assert running["progress"] == pytest.approx(0.5, abs=0.01)
    emulator.advance(51)
    ended = runway.get(f"/tasks/{created['id']}").json()
    assert set(ended) == {"id", "createdAt", "status", "cost", "output"}
    assert (ended["status"], ended["cost"]) == ("SUCCEEDED", {"credits": 24})
    (link,) = ended["output"]
    assert link.startswith(emulator.delivery_url)
    assert "?_jwt=" in link


def test_links_work_for_a_day_and_come_anew(emulator: Emulator, runway: httpx.Client, web: httpx.Client) -> None:
    """A later look gives one that works again, to the same picture."""
    path = f"/tasks/{create(runway)['id']}"
    (first,) = runway.get(path).json()["output"]
    picture = web.get(first).content
    emulator.advance(25 * 3600)
    assert web.get(first).status_code == 404
    (second,) = runway.get(path).json()["output"]
    assert web.get(second).content == picture


def test_concurrency_throttles(emulator: Emulator, runway: httpx.Client) -> None:
    """Each model by itself; a place that becomes free is taken by the next."""
    emulator.switches.latency = 100
    tasks = [create(runway)["id"] for _ in range(4)]
    other = create(runway, TEXT, "text_to_video")["id"]

    def states() -> list[str]:
        return [runway.get(f"/tasks/{task}").json()["status"] for task in tasks]

    assert states() == ["RUNNING", "RUNNING", "THROTTLED", "THROTTLED"]
    assert runway.get(f"/tasks/{other}").json()["status"] == "RUNNING"
    emulator.advance(101)
    assert states() == ["SUCCEEDED", "SUCCEEDED", "RUNNING", "RUNNING"]


@pytest.mark.parametrize(
    ("kind", "text", "status", "code", "charged"),
    [
        ("failed", "", "FAILED", None, 0),
        ("failed", "INTERNAL.BAD_OUTPUT.CODE01", "FAILED", "INTERNAL.BAD_OUTPUT.CODE01", 0),
        ("moderated", "", "FAILED", "SAFETY.INPUT.TEXT", 5),
        ("aborted", "", "CANCELLED", None, 0),
    ],
)
def test_ends_without_an_output(
    emulator: Emulator, runway: httpx.Client, kind: Any, text: str, status: str, code: str | None, charged: int
) -> None:
    """Moderated ones are charged, others refunded."""
    emulator.fault("runway.create", kind, text=text)
    ended = runway.get(f"/tasks/{create(runway)['id']}").json()
    assert (ended["status"], ended.get("failureCode"), ended["cost"]) == (status, code, {"credits": charged})
    assert "output" not in ended
    assert emulator.books().billed("USD") == charged / 100


@pytest.mark.parametrize(("wait", "usd"), [(5, 0.0), (50, 0.05), (200, 0.05)])
def test_delete(emulator: Emulator, runway: httpx.Client, wait: float, usd: float) -> None:
    """What waited is refunded, what ran is not, what ended is deleted; and then it is not found."""
    emulator.switches.queue_time, emulator.switches.latency = 10, 100
    path = f"/tasks/{create(runway)['id']}"
    emulator.advance(wait)
    assert runway.delete(path).status_code == 204
    emulator.advance(1000)
    assert runway.get(path).status_code == 404
    assert runway.delete(path).status_code == 404
    assert emulator.books().billed("USD") == usd
    assert emulator.books().cancels == (0 if wait > 110 else 1)


def test_a_cancelled_task_leaves_its_place(emulator: Emulator, runway: httpx.Client) -> None:
    """The next create begins at once."""
    emulator.switches.latency, emulator.switches.runway_concurrency = 100, 1
    runway.delete(f"/tasks/{create(runway)['id']}")
    assert runway.get(f"/tasks/{create(runway)['id']}").json()["status"] == "RUNNING"


def test_credits(emulator: Emulator, runway: httpx.Client) -> None:
    """Taken at the create, given back by a failure, and refused when they are not enough."""
    emulator.switches.runway_credits = 9
    create(runway)
    assert runway.get("/organization").json()["creditBalance"] == 4
    refused = runway.post("/text_to_image", json=IMAGE)
    assert (refused.status_code, refused.json()["error"]) == (400, "You do not have enough credits to run this task.")
    usage = runway.get("/organization").json()
    assert usage["usage"]["models"]["gen4_image"] == {"dailyGenerations": 1}
    assert usage["tier"]["models"]["gen4_image"]["maxConcurrentGenerations"] == 2


@pytest.mark.parametrize(
    ("call", "body", "path"),
    [
        ("text_to_video", {**TEXT, "ratio": "960:960"}, "ratio"),
        ("text_to_video", {**TEXT, "duration": 11}, "duration"),
        ("text_to_video", {**TEXT, "promptText": ""}, "promptText"),
        ("text_to_video", {**TEXT, "promptText": "\N{FOX FACE}" * 501}, "promptText"),
        ("text_to_video", {**TEXT, "model": "gen4_turbo"}, "model"),
        ("text_to_video", {"model": "veo3.1", "promptText": "x", "ratio": "1280:720", "duration": 5}, "duration"),
        ("image_to_video", TEXT, "promptImage"),
        ("image_to_video", {**TEXT, "promptImage": "http://x.example/a.png"}, "promptImage"),
        ("image_to_video", {**TEXT, "promptImage": [{"uri": "https://x.example/" + "a" * 2048}]}, "promptImage"),
        ("image_to_video", {**TEXT, "promptImage": "data:image/png;base64," + "A" * 5 * 1024 * 1024}, "promptImage"),
        ("image_to_video", {**TEXT, "promptImage": "runway://nothing"}, "promptImage"),
        ("text_to_image", {**IMAGE, "model": "gen4_image_turbo"}, "referenceImages"),
        ("text_to_image", {**IMAGE, "referenceImages": ["https://x.example/a.png"]}, "referenceImages"),
    ],
)
def test_what_it_does_not_take(
    emulator: Emulator, runway: httpx.Client, call: str, body: dict[str, object], path: str
) -> None:
    """Nothing is made, and the complaint names the member."""
    refused = runway.post(f"/{call}", json=body)
    assert refused.status_code == 400
    assert [path] in [issue["path"] for issue in refused.json()["issues"]]
    assert emulator.books().creates == 0


def test_who_may_ask(emulator: Emulator, runway: httpx.Client, web: httpx.Client) -> None:
    """The key, and the version of the API."""
    address = f"{emulator.runway_url}/v1/organization"
    key = {"authorization": runway.headers["authorization"]}
    assert web.get(address).status_code == 401
    assert web.get(address, headers={"authorization": "Bearer key_wrong"}).json()["error"]
    assert web.get(address, headers=key).status_code == 400
    assert runway.get("/organization").status_code == 200
    assert runway.get("/nothing").json()["error"]


def test_uploads_take_a_signed_form_and_no_key(emulator: Emulator, runway: httpx.Client, web: httpx.Client) -> None:
    """As a storage service does."""
    place = runway.post("/uploads", json={"filename": "a.png", "type": "ephemeral"}).json()
    assert place["uploadUrl"].startswith(emulator.delivery_url)
    body = {"model": "gen4_turbo", "ratio": "1280:720", "promptImage": place["runwayUri"]}
    file = {"file": ("a.png", b"bytes", "image/png")}
    assert runway.post("/image_to_video", json=body).status_code == 400
    wrong = {**place["fields"], "policy": "other"}
    assert web.post(place["uploadUrl"], data=wrong, files=file).status_code == 403
    assert (
        web.post(place["uploadUrl"], data=place["fields"], files=file, headers={"authorization": "x"}).status_code
        == 403
    )
    assert web.post(place["uploadUrl"], data=place["fields"], files=file).status_code == 204
    assert runway.post("/image_to_video", json=body).status_code == 200
    emulator.advance(25 * 3600)
    assert runway.post("/image_to_video", json=body).status_code == 400


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_words(emulator: Emulator, runway: httpx.Client, status: int) -> None:
    """The documented form, or a page of what stands in front."""
    emulator.fault("runway.create", "status", status=status)
    refused = runway.post("/text_to_image", json=IMAGE)
    assert refused.status_code == status
    if status in {429, 500}:
        assert refused.json()["error"]
    else:
        assert refused.text.startswith("<html>")
    assert emulator.books().creates == 0
