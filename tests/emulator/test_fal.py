"""The emulated queue of fal, in the form that fal's documents and recorded bodies have."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aifs_media.testing.emulator import Emulator

SCHNELL = "fal-ai/flux/schnell"
FIXTURES = Path(__file__).parents[1] / "fixtures" / "fal"


@pytest.fixture
def fal(emulator: Emulator) -> Iterator[httpx.Client]:
    """A client with the key of the emulated fal."""
    headers = {"authorization": f"Key {emulator.settings()['FAL_KEY']}"}
    with httpx.Client(base_url=emulator.fal_url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


def submit(fal: httpx.Client, model: str = SCHNELL, headers: dict[str, str] | None = None, **values: Any) -> Any:
    answer = fal.post(f"/{model}", json={"prompt": "a fox", **values}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def recorded(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))


def test_documents_have_the_known_members(emulator: Emulator, fal: httpx.Client) -> None:
    """202 while it waits and runs, 200 when it has ended; the members are those of the known documents."""
    emulator.switches.queue_time = emulator.switches.latency = 10
    job = submit(fal)
    assert job.keys() == recorded("submit-200").keys()
    assert uuid.UUID(job["request_id"]).version == 4
    assert job["response_url"] == f"{emulator.fal_url}/fal-ai/flux/requests/{job['request_id']}"
    assert job["status_url"] == job["response_url"] + "/status"
    assert job["cancel_url"] == job["response_url"] + "/cancel"
    queued = fal.get(job["status_url"])
    assert (queued.status_code, queued.json().keys()) == (202, recorded("status-202-in-queue").keys())
    early = fal.get(job["response_url"])
    assert (early.status_code, early.json()) == (400, {"detail": "Request is still in progress"})
    emulator.advance(11)
    for logs, name in ({}, "status-202-in-progress-null-logs"), ({"logs": "1"}, "status-202-in-progress"):
        running = fal.get(job["status_url"], params=logs)
        assert (running.status_code, running.json().keys()) == (202, recorded(name).keys())
        assert (running.json()["logs"] is None) is not bool(logs)
    emulator.advance(11)
    done = fal.get(job["status_url"])
    assert (done.status_code, done.json().keys()) == (200, recorded("status-200-completed").keys())


def test_a_result_has_the_known_members(emulator: Emulator, fal: httpx.Client, web: httpx.Client) -> None:
    """Files on the delivery host, a seed that may be large, and flags of the safety checker."""
    job = submit(fal, num_images=2, seed=2**60, image_size={"width": 320, "height": 240}, output_format="png")
    result = fal.get(job["response_url"]).json()
    assert result["seed"] == 2**60
    assert result["has_nsfw_concepts"] == [False, False]
    assert recorded("webhook-ok")["payload"]["images"][0].keys() - {"file_size"} == result["images"][0].keys()
    for image in result["images"]:
        file = web.get(image["url"])
        assert (file.headers["content-type"], image["width"], image["height"]) == ("image/png", 320, 240)
    assert emulator.books().billed("USD") == 0.006


def test_a_video(emulator: Emulator, fal: httpx.Client, web: httpx.Client) -> None:
    """Durations are texts here and numbers there."""
    job = submit(fal, "bytedance/seedance-2.0/text-to-video", duration="1", resolution="480p")
    video = fal.get(job["response_url"]).json()["video"]
    assert web.get(video["url"]).content[4:8] == b"ftyp"
    wrong = fal.post("/minimax/h3/text-to-video", json={"prompt": "x", "duration": "1"})
    assert (wrong.status_code, wrong.json()["detail"][0]["loc"]) == (422, ["body", "duration"])
    assert emulator.books().billed("USD") == 0.1346


@pytest.mark.parametrize("header", [None, "Bearer x", "Key wrong", "Key"])
def test_a_wrong_key(emulator: Emulator, web: httpx.Client, header: str | None) -> None:
    """401 at every door but that of the published keys, and nothing in the books."""
    headers = {} if header is None else {"authorization": header}
    assert web.post(f"{emulator.fal_url}/{SCHNELL}", json={"prompt": "x"}, headers=headers).status_code == 401
    assert web.get(f"{emulator.fal_url}/fal-ai/flux/requests/1/status", headers=headers).status_code == 401
    assert web.get(f"{emulator.fal_url}/.well-known/jwks.json").status_code == 200
    assert emulator.books().creates == 0


def test_no_credit_is_a_403_with_a_sentence(emulator: Emulator, fal: httpx.Client) -> None:
    """Creates are refused; what is there is still served."""
    job = submit(fal)
    emulator.switches.fal_credit = 0
    refused = fal.post(f"/{SCHNELL}", json={"prompt": "x"})
    assert (refused.status_code, refused.json()) == (403, recorded("error-403-exhausted-balance"))
    assert fal.get(job["status_url"]).status_code == 200
    assert fal.get(job["response_url"]).status_code == 200


def test_jobs_are_asked_for_under_owner_and_app_only(fal: httpx.Client) -> None:
    """Under the model's whole name they are unknown, as at fal."""
    job = submit(fal)
    assert fal.get(f"/{SCHNELL}/requests/{job['request_id']}/status").status_code == 404
    spaced = submit(fal, "workflows/emulated/postcard")
    assert "/workflows/emulated/postcard/requests/" in spaced["status_url"]
    assert fal.get(spaced["status_url"]).status_code == 200


def test_an_unknown_model_and_inputs(fal: httpx.Client) -> None:
    """404 and the model's own 422; unknown inputs are dropped."""
    assert fal.post("/fal-ai/nothing", json={"prompt": "x"}).status_code == 404
    for body in ({}, {"prompt": "x", "num_images": 5}, []):
        refused = fal.post(f"/{SCHNELL}", json=body)
        assert refused.status_code == 422
        assert refused.json()["detail"][0].keys() == recorded("error-422-content-policy")["detail"][0].keys()
    submit(fal, nonsense=True)


@pytest.mark.parametrize(
    ("fault", "text", "status", "body", "error"),
    [
        ("moderated", "", 422, "error-422-content-policy", "Invalid status code: 422"),
        ("aborted", "", 503, None, "Runner disconnected"),
        ("failed", "boom", 500, None, "boom"),
    ],
)
def test_failures(
    emulator: Emulator, fal: httpx.Client, fault: Any, text: str, status: int, body: str | None, error: str
) -> None:
    """COMPLETED with an error, and a result that is one; nothing is billed."""
    emulator.fault("fal.create", fault, text=text)
    job = submit(fal)
    document = fal.get(job["status_url"]).json()
    assert (document["status"], document["error"]) == ("COMPLETED", error)
    assert document["metrics"] == {"inference_time": None}
    result = fal.get(job["response_url"])
    assert result.status_code == status
    if body is not None:
        assert result.json() == recorded(body)
        assert "error_type" not in document
    else:
        assert document.keys() == recorded("status-200-completed-error").keys()
        assert document["error_type"] == result.json()["error_type"] == result.headers["x-fal-error-type"]
    assert emulator.books().billed("USD") == 0
    assert emulator.books().predictions[0].status == "FAILED"


def test_black_pictures_are_billed(emulator: Emulator, fal: httpx.Client) -> None:
    """A moderation inside a 200."""
    emulator.fault("fal.create", "moderated", text="nsfw", count=1)
    job = submit(fal, num_images=2)
    assert fal.get(job["response_url"]).json()["has_nsfw_concepts"] == [True, False]
    assert emulator.books().billed("USD") == 0.006


def test_a_time_to_start(emulator: Emulator, fal: httpx.Client) -> None:
    """It bounds the queue and not the run; a value that fal's own client refuses is refused."""
    emulator.switches.queue_time = 100
    job = submit(fal, headers={"x-fal-request-timeout": "50"})
    emulator.advance(51)
    assert fal.get(job["status_url"]).json()["error_type"] == "request_timeout"
    result = fal.get(job["response_url"])
    assert (result.status_code, result.json()) == (504, recorded("error-504-request-timeout"))
    assert result.headers["x-fal-request-timeout-type"] == "user"
    emulator.switches.queue_time, emulator.switches.latency = 10, 100
    job = submit(fal, headers={"x-fal-request-timeout": "50"})
    emulator.advance(111)
    assert fal.get(job["response_url"]).status_code == 200
    for wrong in ("1", "soon"):
        refused = fal.post(f"/{SCHNELL}", json={"prompt": "x"}, headers={"x-fal-request-timeout": wrong})
        assert (refused.status_code, refused.json()["error_type"]) == (400, "bad_request")


def test_cancelling(emulator: Emulator, fal: httpx.Client) -> None:
    """In the queue, while running, too late, and twice."""
    emulator.switches.queue_time = emulator.switches.latency = 10
    waiting, started = submit(fal), submit(fal)
    cancelled = fal.put(waiting["cancel_url"])
    assert (cancelled.status_code, cancelled.json()) == (202, recorded("cancel-202"))
    assert fal.get(waiting["status_url"]).status_code == 404
    emulator.advance(11)
    assert fal.put(started["cancel_url"]).status_code == 202
    assert fal.get(started["status_url"]).json()["error_type"] == "client_cancelled"
    assert fal.get(started["response_url"]).status_code == 499
    late = fal.put(started["cancel_url"])
    assert (late.status_code, late.json()) == (400, recorded("cancel-400-completed"))
    unknown = fal.put("/fal-ai/flux/requests/1/cancel")
    assert (unknown.status_code, unknown.json()) == (404, {"status": "NOT_FOUND"})
    assert emulator.books().cancels == 2


@pytest.mark.parametrize(
    ("preference", "kept"),
    [(None, 7 * 86400), ({"expiration_duration_seconds": 60}, 60), ({"expiration_duration_seconds": None}, None)],
)
def test_files_expire(emulator: Emulator, fal: httpx.Client, web: httpx.Client, preference: Any, kept: Any) -> None:
    """After a week, or as the create asked."""
    headers = {} if preference is None else {"x-fal-object-lifecycle-preference": json.dumps(preference)}
    url = fal.get(submit(fal, headers=headers)["response_url"]).json()["images"][0]["url"]
    emulator.advance((kept or 10**8) - 30)
    assert web.get(url).status_code == 200
    emulator.advance(60)
    assert web.get(url).status_code == (200 if kept is None else 404)


@pytest.mark.parametrize(
    ("status", "ours"), [(400, True), (404, True), (429, True), (500, True), (502, False), (504, True)]
)
def test_scripted_statuses(emulator: Emulator, fal: httpx.Client, status: int, *, ours: bool) -> None:
    """An ingress in front of fal answers 502 and knows no request id."""
    emulator.fault("fal.create", "status", status=status)
    answer = fal.post(f"/{SCHNELL}", json={"prompt": "x"})
    assert (answer.status_code, "x-fal-request-id" in answer.headers) == (status, ours)
    assert emulator.books().creates == 0


def test_flux_dev_is_charged_by_the_megapixel(emulator: Emulator, fal: httpx.Client) -> None:
    """Each image is rounded up to whole ones."""
    submit(fal, "fal-ai/flux/dev", image_size={"width": 1024, "height": 1025}, num_images=2)
    assert emulator.books().billed("USD") == 0.1
