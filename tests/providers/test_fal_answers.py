"""How fal's answers become states and errors: every body that is known, and every form that the facts name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aifs_media._http import Answer
from aifs_media.errors import (
    ContentRejectedError,
    ModelRetiredError,
    PaymentRequiredError,
    RequestRejectedError,
    UnexpectedResponseError,
)
from aifs_media.providers import _fal_answers as answers
from aifs_media.providers._fal_requests import create_headers, create_path, halves_to_hide, with_names_of_its_client
from aifs_media.records import Failed, InlineFile, MediaRequest, Pending, RemoteFile, Succeeded

FIXTURES = Path(__file__).parents[1] / "fixtures" / "fal"
ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
ADDRESS = f"https://queue.fal.run/fal-ai/flux/requests/{ID}"
REF = {
    "id": ID, "status_url": f"{ADDRESS}/status", "response_url": ADDRESS, "cancel_url": f"{ADDRESS}/cancel"
}  # fmt: skip
OURS = {"x-fal-request-id": "r"}
IMAGE = {"url": "https://v3.fal.media/files/x/out.png", "content_type": "image/png", "width": 1024, "height": 1024}
DONE: dict[str, Any] = {"status": "COMPLETED"}
BROKEN: dict[str, Any] = {"status": "COMPLETED", "error": "Runner disconnected", "error_type": "runner_disconnected"}


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Answer:
    content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    return Answer(status, headers or {}, content, "fal")


def fixture(name: str, headers: dict[str, str] | None = None) -> Answer:
    """Return a file as an answer; its HTTP status stands in its name."""
    status = next(int(part) for part in name.split("-") if part.isdigit())
    return answer((FIXTURES / f"{name}.json").read_text("utf-8"), status, headers)


def plain(text: str) -> str:
    return text


def ended(result: Answer, document: dict[str, Any] | None = None) -> Pending | Succeeded | Failed | None:
    return answers.ended(result, document or DONE, REF, redact=plain)


def refusal(result: Answer) -> Any:
    return answers.refusal(result, provider="fal", redact=plain)


# -- what is sent ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", ["fal-ai/flux/dev", "bytedance/seedance-2.0/text-to-video", "workflows/me/mine", "google/app"]
)
def test_the_whole_name_is_the_path(model: str) -> None:
    """No owner is put in front: `google/...` is not `fal-ai/google/...`."""
    assert create_path(MediaRequest(kind="image", prompt="x", model=model)) == f"/{model}"


@pytest.mark.parametrize(
    "model", ["flux", "/fal-ai/flux", "fal-ai/", "fal-ai/../x", "fal-ai//x", "a/b?c=d", "a/b#c", "a/b\n", "a/ b", ""]
)
def test_what_is_no_name_never_becomes_an_address(model: str) -> None:
    """Nothing but a path of plain segments is put behind the address that the key goes to."""
    with pytest.raises(RequestRejectedError):
        create_path(MediaRequest(kind="image", prompt="x", model=model))


def test_the_webhook_goes_as_a_parameter() -> None:
    """Its own query stays one value."""
    request = MediaRequest(kind="image", prompt="x", model="a/b", webhook="https://me.example/fal?job=n%2Fj&x=1")
    assert create_path(request) == "/a/b?fal_webhook=https%3A%2F%2Fme.example%2Ffal%3Fjob%3Dn%252Fj%26x%3D1"


@pytest.mark.parametrize(("lifetime", "sent"), [(None, None), (90.2, "91"), (0.5, "2"), (120, "120")])
def test_the_time_to_start(lifetime: float | None, sent: str | None) -> None:
    """A job that nobody waits for any more does not start; fal refuses one second or less."""
    headers = create_headers(MediaRequest(kind="image", prompt="x", model="a/b", lifetime=lifetime))
    assert headers.get("x-fal-request-timeout") == sent


def test_names_of_fals_own_client() -> None:
    """A key in halves and a host work as they do there; what is set under our names counts more."""
    theirs = {"FAL_KEY_ID": "a", "FAL_KEY_SECRET": "b", "FAL_QUEUE_RUN_HOST": "queue.example"}
    values = with_names_of_its_client(theirs)
    assert (values["FAL_KEY"], values["FAL_BASE_URL"]) == ("a:b", "https://queue.example")
    values = with_names_of_its_client({**theirs, "FAL_KEY": "c:d", "FAL_BASE_URL": "https://other.example"})
    assert (values["FAL_KEY"], values["FAL_BASE_URL"]) == ("c:d", "https://other.example")
    assert "FAL_KEY" not in with_names_of_its_client({"FAL_KEY_ID": "a"})


# -- states ------------------------------------------------------------------------------------------------------------


def test_an_accepted_create_keeps_the_addresses() -> None:
    """The ref is the id and the three addresses, as they were answered."""
    assert answers.accepted(fixture("submit-200")) == Pending(ref=REF, queue_position=0)


@pytest.mark.parametrize("body", ["<html>", "", [], {}, {"request_id": ID}, {"status_url": 3}])
def test_a_create_without_addresses_may_be_billed(body: object) -> None:
    """Whatever was accepted there, nobody can ask for it."""
    with pytest.raises(UnexpectedResponseError) as lost:
        answers.accepted(answer(body))
    assert lost.value.maybe_billed
    assert not lost.value.retryable


@pytest.mark.parametrize(
    ("name", "position"),
    [("status-202-in-queue", 3), ("status-202-in-progress", None), ("status-202-in-progress-null-logs", None)],
)
def test_a_job_that_waits_or_runs(name: str, position: int | None) -> None:
    """The place in the queue is told where there is one."""
    document = answers.document_of(fixture(name))
    assert answers.running(document, REF) == Pending(ref=REF, queue_position=position)


@pytest.mark.parametrize("name", ["status-200-completed", "status-200-completed-error"])
def test_a_job_that_has_ended(name: str) -> None:
    """Both forms of COMPLETED are an end; only the result says of which kind."""
    assert answers.running(answers.document_of(fixture(name)), REF) is None


def test_an_unknown_status_counts_as_running() -> None:
    """For example the FAILED that others list and fal does not have."""
    assert isinstance(answers.running({"status": "FAILED"}, REF), Pending)


@pytest.mark.parametrize("body", ["<html>", "", "null", [], {}, {"status": 1}])
def test_no_status_document_says_nothing(body: object) -> None:
    """A proxy answered, perhaps: ask again."""
    with pytest.raises(UnexpectedResponseError) as broken:
        answers.document_of(answer(body))
    assert broken.value.retryable


def test_images_with_a_large_seed() -> None:
    """The payload of the webhook is what the result answers; its seed is exact."""
    payload = json.loads((FIXTURES / "webhook-ok.json").read_text("utf-8"))["payload"]
    state = ended(answer(payload))
    assert isinstance(state, Succeeded)
    assert state.outputs == (RemoteFile(url=IMAGE["url"], media_type="image/png"),)  # type: ignore[arg-type]
    assert (state.seed, state.ref, state.cost) == (196619188014358660, REF, None)


@pytest.mark.parametrize(
    ("body", "urls"),
    [
        ({"image": {"url": "https://a/1"}}, ["https://a/1"]),
        ({"image": "https://a/1"}, ["https://a/1"]),
        ({"images": [{"url": "https://a/1"}, "https://a/2"], "image": {"url": "https://a/1"}}, ["https://a/1", "https://a/2"]),
        ({"video": {"url": "https://a/v"}, "image": {"url": "https://a/frame"}}, ["https://a/v"]),
        ({"videos": [{"url": "https://a/v"}]}, ["https://a/v"]),
        ({"images": []}, []),
        ({"images": None, "video": None}, []),
        ({"images": [{"url": "ftp://a"}, {"url": 3}, 4, None]}, []),
        ({"prompt": "https://a/1", "timings": {"url": "https://a/1"}}, []),
        ({}, []),
    ],
)  # fmt: skip
def test_files_of_a_result(body: object, urls: list[str]) -> None:
    """Only where files are named; without any the job succeeded and has no media."""
    state = ended(answer(body))
    assert isinstance(state, Succeeded)
    assert [file.url for file in state.outputs if isinstance(file, RemoteFile)] == urls


def test_a_file_inside_the_result() -> None:
    """sync_mode puts a data URI where the address would be."""
    state = ended(answer({"images": [{"url": "data:image/png;base64,iVBORw=="}]}))
    assert isinstance(state, Succeeded)
    assert state.outputs == (InlineFile(data=b"\x89PNG", media_type="image/png"),)


def test_a_black_picture_is_no_output() -> None:
    """The safety checker blackens and answers 200: that is moderation, not success."""
    state = ended(answer({"images": [IMAGE], "has_nsfw_concepts": [True]}))
    assert isinstance(state, Failed)
    assert (state.reason, state.billed) == ("content_rejected", "unknown")


def test_the_other_pictures_are_kept() -> None:
    """One of two is black: the other one was paid for, and a warning says what is missing."""
    second = {**IMAGE, "url": "https://v3.fal.media/2"}
    state = ended(answer({"images": [IMAGE, second], "has_nsfw_concepts": [True, False]}))
    assert isinstance(state, Succeeded)
    assert [file.url for file in state.outputs if isinstance(file, RemoteFile)] == ["https://v3.fal.media/2"]
    assert "1 of 2 images" in state.warnings[0]


@pytest.mark.parametrize("flags", [None, "yes", [], [False], [None], [1]])
def test_flags_of_other_forms_flag_nothing(flags: object) -> None:
    """Only `true` says so."""
    assert isinstance(ended(answer({"images": [IMAGE], "has_nsfw_concepts": flags})), Succeeded)


def test_an_early_result_is_still_running() -> None:
    """The status said COMPLETED, and the result is not there yet."""
    assert ended(answer({"detail": "Request is still in progress"}, 400, OURS)) == Pending(ref=REF)


def test_a_success_that_cannot_be_read_is_asked_for_again() -> None:
    """The output is paid for; a page of a proxy does not change that."""
    with pytest.raises(UnexpectedResponseError) as broken:
        ended(answer("<html>"))
    assert broken.value.retryable


def test_media_beat_an_error_beside_them() -> None:
    """What was made is kept, with a warning."""
    state = ended(answer({"images": [IMAGE]}), BROKEN)
    assert isinstance(state, Succeeded)
    assert "Runner disconnected" in state.warnings[0]


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "document", "reason", "billed", "retryable"),
    [
        (fixture("error-422-content-policy", OURS), DONE, "content_rejected", "unknown", False),
        # Even without the header: the body is fal's own.
        (fixture("error-504-request-timeout"), DONE, "canceled", "no", False),
        (answer({"detail": "x", "error_type": "startup_timeout"}, 504), DONE, "generation_failed", "no", True),
        (answer({"detail": "x", "error_type": "runner_disconnected"}, 503), DONE, "generation_failed", "no", True),
        (answer("x", 500, {"x-fal-error-type": "runner_server_error"}), DONE, "generation_failed", "no", True),
        (answer({"detail": "x", "error_type": "client_cancelled"}, 499), DONE, "canceled", "unknown", False),
        (answer({"detail": [{"loc": ["body", "seed"], "msg": "too big", "type": "t"}]}, 422), DONE, "generation_failed", "unknown", False),
        (answer({"detail": [{"msg": "x", "type": "generation_timeout"}]}, 504), DONE, "generation_failed", "no", True),
        (answer({"detail": [{"msg": "x", "type": "t"}]}, 422, {"x-fal-retryable": "true"}), DONE, "generation_failed", "unknown", True),
        (answer({"detail": [{"msg": "x", "type": "t"}]}, 422, {"x-fal-needs-retry": "1"}), DONE, "generation_failed", "unknown", True),
        (answer("no such thing", 422, OURS), DONE, "generation_failed", "unknown", False),
        (answer({"message": "no"}, 400), DONE, "generation_failed", "unknown", False),
        (answer({"detail": "Internal Server Error"}, 500, OURS), DONE, "generation_failed", "no", True),
        # The status says that it failed, so an unreadable result does not make it worth another question.
        (answer("<html>", 502), BROKEN, "generation_failed", "unknown", True),
        (answer({"detail": "Not Found"}, 404), BROKEN, "generation_failed", "unknown", False),
        (answer({}, 200), BROKEN, "generation_failed", "unknown", False),
        (answer({"error": {"message": '{"error": "quota"}', "code": 429}}, 429), BROKEN, "generation_failed", "unknown", True),
        (answer({"detail": "x", "error_type": {"odd": 1}}, 503, OURS), DONE, "generation_failed", "no", True),
        # An error inside a 200.
        (answer({"error": {"message": "no", "code": 500}}, 200), DONE, "generation_failed", "unknown", False),
        (answer({"detail": [{"msg": "x", "type": "content_policy_violation"}]}, 200), DONE, "content_rejected", "unknown", False),
    ],
)  # fmt: skip
def test_failed_jobs(result: Answer, document: dict[str, Any], reason: str, billed: str, *, retryable: bool) -> None:
    """A result that is an error is how the job ended; 5xx of fal's own are free, a 422 may not be."""
    state = ended(result, document)
    assert isinstance(state, Failed)
    assert (state.reason, state.billed, state.retryable, state.ref) == (reason, billed, retryable, REF)


def test_the_words_of_a_failure() -> None:
    """Which input, and what about it; and what the status said where the result says nothing."""
    state = ended(answer({"detail": [{"loc": ["body", "a", 0], "msg": "bad", "type": "t"}]}, 422))
    assert isinstance(state, Failed)
    assert state.message == "fal says that the generation failed: a.0: bad"
    state = ended(answer("<html>", 502), BROKEN)
    assert isinstance(state, Failed)
    assert state.message.endswith("Runner disconnected")


@pytest.mark.parametrize(
    "result",
    [
        answer("<html><center>nginx</center></html>", 502),
        answer("<html><center>nginx</center></html>", 503),
        answer({"message": "upstream"}, 504),
        answer("", 500, OURS),
        answer({"detail": "Not Found"}, 404, OURS),
        answer({"detail": "Authentication is required"}, 401, OURS),
        fixture("error-403-exhausted-balance", OURS),
        fixture("error-403-admin-lock", OURS),
        answer({"detail": "Too many requests"}, 429, OURS),
        answer("", 408),
        answer("Method Not Allowed", 405),
        answer("", 302),
        answer({"detail": []}, 302),
        # In whatever form: the question may be refused for the account, the key or the rate.
        answer({"detail": "Too many requests", "error_type": "rate_limited"}, 429),
        answer({"detail": "x"}, 429, {"x-fal-error-type": "rate_limited"}),
        answer({"error": {"message": '{"error": "quota"}', "code": 429}}, 429),
        answer({"error": {"message": "timeout", "code": 408}}, 408),
        answer({"detail": "Cannot access", "error_type": "unauthorized"}, 401),
        answer({"detail": "User is locked. Reason: Exhausted balance.", "error_type": "forbidden"}, 403),
        answer({"detail": [{"msg": "no such image", "type": "file_download_error"}]}, 404),
    ],
)
def test_what_is_not_about_the_job(result: Answer) -> None:
    """It could not be asked: the paid output is not given up."""
    assert ended(result) is None


@pytest.mark.parametrize(
    ("result", "document", "doubtful"),
    [
        (answer({"detail": "x", "error_type": "runner_disconnected"}, 503), DONE, True),
        (answer({"detail": "x", "error_type": "runner_disconnected"}, 503), BROKEN, False),
        (answer({"detail": [{"msg": "x", "type": "t"}]}, 422), DONE, False),
        (answer({"images": [IMAGE]}), DONE, False),
    ],
)
def test_what_is_asked_for_twice(result: Answer, document: dict[str, Any], *, doubtful: bool) -> None:
    """A 5xx tells of a job that failed, and of a service that is out of order; only the status can tell which."""
    assert answers.is_doubtful(result, document) is doubtful


def test_an_odd_member_does_not_cost_the_output() -> None:
    """Neither a link that is none beside a good one, nor a seed that nobody can write down."""
    odd = {
        "images": [{"url": "http://["}, {**IMAGE, "content_type": "\ud800"}, {"url": "data:\ud800,x"}],
        "seed": 10**400,
    }
    state = ended(answer(odd))
    assert isinstance(state, Succeeded)
    assert state.outputs == (RemoteFile(url=str(IMAGE["url"])),)
    assert state.seed is None
    accepted = answers.accepted(
        answer({**REF, "request_id": "\ud800", "queue_position": float("nan"), "status_url": "https://a/s"})
    )
    assert isinstance(accepted.ref, dict)
    assert (accepted.ref["id"], accepted.ref["status_url"], accepted.queue_position) == (None, "https://a/s", None)


def test_the_halves_of_a_key() -> None:
    """The secret is hidden whatever its length, the id where it can be told from a word."""
    assert halves_to_hide("0f1e2d3c-0000-4000:secret") == ("secret", "0f1e2d3c-0000-4000")
    assert halves_to_hide("short:se:cret") == ("se:cret",)
    assert halves_to_hide("only-one-half-of-it") == ("only-one-half-of-it",)
    assert halves_to_hide("") == ()


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["Exhausted balance. Top up your balance", "TOP_UP required", "Exhausted balance"])
def test_no_credit_is_a_403(reason: str) -> None:
    """It is told by its sentence alone."""
    error = refusal(answer({"detail": f"User is locked. Reason: {reason}"}, 403, OURS))
    assert isinstance(error, PaymentRequiredError)
    assert "fal.ai/dashboard/billing" in error.message
    assert isinstance(refusal(fixture("error-403-exhausted-balance")), PaymentRequiredError)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (fixture("error-422-content-policy"), ContentRejectedError),
        (answer({"detail": [{"loc": ["body", "prompt"], "msg": "field required", "type": "missing"}]}, 422), RequestRejectedError),
        (answer({"detail": "Not Found"}, 404), ModelRetiredError),
        (fixture("error-403-admin-lock"), None),
        (answer({"detail": "no"}, 401), None),
        (answer({"detail": "Too many requests"}, 429), None),
        (fixture("error-504-request-timeout"), None),
        (answer("<html>", 403), None),
        (answer([], 422), None),
    ],
)  # fmt: skip
def test_refusals(result: Answer, expected: type | None) -> None:
    """What only fal's words tell; the rest is told by the status."""
    error = refusal(result)
    assert type(error) is (expected or type(None))


def test_the_inputs_that_are_refused_are_named() -> None:
    """`body` says nothing."""
    payload = json.loads((FIXTURES / "webhook-error.json").read_text("utf-8"))["payload"]
    assert refusal(answer(payload, 422)).message == "fal refuses the inputs: prompt: field required."


def test_cancelled_too_late() -> None:
    """The body's word decides: a 400 may be something else."""
    assert answers.has_ended(fixture("cancel-400-completed"))
    assert not answers.has_ended(answer({"detail": "bad"}, 400))
    assert not answers.has_ended(fixture("cancel-202"))
