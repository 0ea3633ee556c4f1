"""Creating predictions at the emulated Replicate: doors, checks, holds, deadlines."""

from __future__ import annotations

import re
import threading
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHNELL = "black-forest-labs/flux-schnell"
ZEROSCOPE = "9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
LIGHTNING = "5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637"
MISSING_VERSION = "Invalid version or not permitted"


def create(
    client: httpx.Client, version: str = SCHNELL, headers: dict[str, str] | None = None, **values: Any
) -> httpx.Response:
    """Create by the one door that takes every model."""
    return client.post("/predictions", json={"version": version, "input": values}, headers=headers)


@pytest.fixture
def slow() -> Iterator[Emulator]:
    """An emulator whose generations wait 10 s and run 100 s of its clock."""
    with Emulator(latency=100, queue_time=10) as running:
        yield running


@pytest.fixture
def slow_client(slow: Emulator) -> Iterator[httpx.Client]:
    """A client of the slow emulator."""
    headers = {"authorization": f"Token {slow.settings()['REPLICATE_API_KEY']}"}
    with httpx.Client(base_url=slow.replicate_url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


def test_create_answers_a_starting_prediction(emulator: Emulator, replicate: httpx.Client) -> None:
    """201, no output yet, an id of 26 lower-case characters, a time with three digits."""
    answer = create(replicate, prompt="a fox")
    body = answer.json()
    assert answer.status_code == 201
    assert answer.headers["x-emulated-by"] == "aifs-media"
    assert answer.headers["ratelimit-remaining"] == "599"
    assert answer.text.endswith("\n")
    assert re.fullmatch(r"[a-z0-9]{26}", body["id"])
    assert (body["status"], body["output"], body["logs"], body["error"]) == ("starting", None, "", None)
    assert body["version"] == "hidden"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", body["created_at"])
    assert body["urls"]["get"] == f"{emulator.replicate_url}/predictions/{body['id']}"
    assert set(body["urls"]) == {"get", "cancel", "web"}
    assert "metrics" not in body


@pytest.mark.parametrize("header", [None, "Bearer wrong", "Basic r8_emulated0000000000000000000000000000"])
def test_a_wrong_token_is_refused(emulator: Emulator, web: httpx.Client, header: str | None) -> None:
    """401 with the recorded body, and nothing in the books."""
    headers = {} if header is None else {"authorization": header}
    answer = web.post(f"{emulator.replicate_url}/predictions", json={}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] == "You did not pass a valid authentication token"
    assert emulator.books().creates == 0


def test_the_three_doors(replicate: httpx.Client) -> None:
    """An official model has a door of its own, a community model does not, deployments have theirs."""
    values = {"input": {"prompt": "a fox"}}
    assert replicate.post(f"/models/{SCHNELL}/predictions", json=values).status_code == 201
    community = replicate.post("/models/anotherjesse/zeroscope-v2-xl/predictions", json=values)
    assert (community.status_code, community.json()) == (
        404,
        {"detail": "The requested resource could not be found.", "status": 404},
    )
    deployed = replicate.post("/deployments/anotherjesse/zeroscope-v2-xl/predictions", json=values)
    assert deployed.json()["deployment"] == "anotherjesse/zeroscope-v2-xl"


@pytest.mark.parametrize(
    ("version", "shown"),
    [(f"anotherjesse/zeroscope-v2-xl:{ZEROSCOPE}", ZEROSCOPE), (ZEROSCOPE, ZEROSCOPE), (SCHNELL, "hidden")],
)
def test_versions_that_exist(replicate: httpx.Client, version: str, shown: str) -> None:
    """A name with a version, a bare version, and the name of an official model."""
    assert create(replicate, version, prompt="x").json()["version"] == shown


@pytest.mark.parametrize("version", ["anotherjesse/zeroscope-v2-xl", f"{SCHNELL}:latest", "nobody/nothing", "0" * 64])
def test_versions_that_do_not_exist(replicate: httpx.Client, version: str) -> None:
    """422 with the recorded body."""
    answer = create(replicate, version, prompt="x")
    assert (answer.status_code, answer.json()["title"]) == (422, MISSING_VERSION)


def test_unknown_inputs_are_dropped_silently(emulator: Emulator, replicate: httpx.Client) -> None:
    """`width` means nothing to Flux Schnell, and still bills."""
    body = create(replicate, prompt="a fox", width=1024).json()
    assert body["input"] == {"prompt": "a fox"}
    assert emulator.books().creates == 1


@pytest.mark.parametrize(
    ("values", "kind", "field", "text"),
    [
        ({}, "required", "input", "prompt is required"),
        ({"prompt": 3}, "invalid_type", "input.prompt", "Expected: string, given: integer"),
        ({"prompt": "x", "num_outputs": 5}, "number_lte", "input.num_outputs", "less than or equal to 4"),
        ({"prompt": "x", "num_outputs": 0}, "number_gte", "input.num_outputs", "greater than or equal to 1"),
        ({"prompt": "x", "num_outputs": True}, "invalid_type", "input.num_outputs", "given: boolean"),
        ({"prompt": "x", "aspect_ratio": "7:1"}, "enum", "input.aspect_ratio", "must be one of the following"),
        ({"prompt": "x", "megapixels": 1}, "invalid_type", "input.megapixels", "given: integer"),
    ],
)
def test_inputs_are_checked(
    emulator: Emulator, replicate: httpx.Client, values: dict[str, object], kind: str, field: str, text: str
) -> None:
    """422 names each wrong field, and bills nothing."""
    answer = create(replicate, **values)
    (found,) = answer.json()["invalid_fields"]
    assert answer.status_code == 422
    assert (found["type"], found["field"]) == (kind, field)
    assert text in found["description"]
    assert answer.json()["detail"] == f"- {field}: {found['description']}\n"
    assert emulator.books().creates == 0


@pytest.mark.parametrize("body", [{"input": {"prompt": "x"}}, {"version": SCHNELL}, {"version": SCHNELL, "input": "x"}])
def test_version_and_input_are_required(replicate: httpx.Client, body: dict[str, object]) -> None:
    """422 without either of them."""
    answer = replicate.post("/predictions", json=body)
    assert (answer.status_code, answer.json()["title"]) == (422, "Input validation failed")


def test_no_credit(emulator: Emulator, replicate: httpx.Client) -> None:
    """402 with the recorded body."""
    emulator.replicate_credit = 0
    answer = create(replicate, prompt="a fox")
    assert (answer.status_code, answer.json()["title"]) == (402, "Insufficient credit")


def test_little_credit_means_one_create_in_ten_seconds(emulator: Emulator, replicate: httpx.Client) -> None:
    """429 says the wait in its body only, and a refused attempt starts the wait anew."""
    emulator.replicate_credit = 4.0
    assert create(replicate, prompt="a").status_code == 201
    emulator.advance(8)
    early = create(replicate, prompt="b")
    assert early.status_code == 429
    assert "retry-after" not in early.headers
    assert early.json()["retry_after"] == 10
    assert "while you have less than $5.0 in credit" in early.json()["detail"]
    emulator.advance(8)
    assert create(replicate, prompt="c").status_code == 429
    emulator.advance(10.1)
    assert create(replicate, prompt="d").status_code == 201
    assert emulator.books().creates == 2


def test_six_hundred_creates_a_minute(emulator: Emulator, replicate: httpx.Client) -> None:
    """The next one is throttled until the minute has passed."""
    statuses = {create(replicate, LIGHTNING, prompt="x", width=256).status_code for _ in range(600)}
    assert statuses == {201}
    assert create(replicate, prompt="x").status_code == 429
    emulator.advance(60)
    assert create(replicate, prompt="x").status_code == 201


def test_a_held_create_says_processing_with_its_output(emulator: Emulator, replicate: httpx.Client) -> None:
    """As recorded: output there, no metrics; a switch makes it say succeeded."""
    answer = create(replicate, headers={"prefer": "wait"}, prompt="a fox")
    body = answer.json()
    assert (answer.status_code, answer.headers["preference-applied"]) == (201, "wait")
    assert (body["status"], len(body["output"])) == ("processing", 1)
    assert not {"metrics", "completed_at"} & set(body)
    emulator.switches.held_status = "succeeded"
    again = create(replicate, headers={"prefer": "wait=5"}, prompt="a fox")
    assert again.headers["preference-applied"] == "wait=5"
    assert again.json()["status"] == "succeeded"
    assert "metrics" in again.json()


def test_a_held_create_that_comes_too_early_says_where_it_stands(slow: Emulator, slow_client: httpx.Client) -> None:
    """202, still starting, no output, once the five seconds that were asked for have passed."""
    later = threading.Timer(0.05, slow.advance, [6])
    later.start()
    answer = create(slow_client, headers={"prefer": "wait=5"}, prompt="a fox")
    later.join()
    assert (answer.status_code, answer.json()["status"], answer.json()["output"]) == (202, "starting", None)


@pytest.mark.parametrize("prefer", ["wait=0", "wait=500", "respond-async"])
def test_another_preference_is_taken_as_none(slow_client: httpx.Client, prefer: str) -> None:
    """Nothing is held and nothing echoed."""
    answer = create(slow_client, headers={"prefer": prefer}, prompt="a fox")
    assert answer.status_code == 201
    assert "preference-applied" not in answer.headers


@pytest.mark.parametrize("text", ["3", "4s", "soon", ""])
def test_a_deadline_under_five_seconds_is_refused(replicate: httpx.Client, text: str) -> None:
    """422, and nothing is made."""
    assert create(replicate, headers={"cancel-after": text}, prompt="x").status_code == 422


@pytest.mark.parametrize(("text", "seconds"), [("30", 30), ("30s", 30), ("5m", 300), ("1h30m45s", 5445)])
def test_deadlines_are_read(slow: Emulator, slow_client: httpx.Client, text: str, seconds: int) -> None:
    """Every documented way to write a duration sets `deadline`."""
    assert "deadline" in create(slow_client, headers={"cancel-after": text}, prompt="x").json()
    (record,) = slow.books().predictions
    assert record.deadline is not None
    assert record.deadline - record.created_at == pytest.approx(seconds)


def test_a_deadline_in_the_queue_aborts_and_bills_nothing(slow: Emulator, slow_client: httpx.Client) -> None:
    """It never ran."""
    url = create(slow_client, headers={"cancel-after": "5"}, prompt="x").json()["urls"]["get"]
    slow.advance(6)
    body = slow_client.get(url).json()
    assert (body["status"], "started_at" in body) == ("aborted", False)
    assert slow.books().billed("USD") == 0


def test_a_deadline_while_running_cancels_and_bills(slow: Emulator, slow_client: httpx.Client) -> None:
    """50 s of 100 were used, at the rate of the hardware."""
    url = create(slow_client, LIGHTNING, {"cancel-after": "1m"}, prompt="x").json()["urls"]["get"]
    slow.advance(200)
    body = slow_client.get(url).json()
    assert (body["status"], body["output"]) == ("canceled", None)
    assert body["metrics"]["predict_time"] == pytest.approx(50)
    assert slow.books().billed("USD") == pytest.approx(50 * 0.000975)
    assert slow.books().cancels == 0
