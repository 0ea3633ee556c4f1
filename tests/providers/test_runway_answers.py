"""From answers of Runway to states and errors: documented forms, and whatever else may come."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from tests.canaries import SIGNATURE

from aifs_media._http import Answer
from aifs_media._secrets import redact
from aifs_media.errors import (
    ModelRetiredError,
    PaymentRequiredError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    UnsupportedOptionError,
)
from aifs_media.providers import _runway_answers as answers
from aifs_media.providers._runway_requests import create_call
from aifs_media.providers.runway import RunwayProvider
from aifs_media.records import Failed, MediaRequest, Pending, RemoteFile, Succeeded

FIXTURES = Path(__file__).parents[1] / "fixtures" / "runway"
NOW = datetime(2026, 11, 22, tzinfo=UTC)
ID = "17f20503-6c24-4c16-946b-35dbbce2af2f"


def body(name: str) -> Any:
    return json.loads((FIXTURES / f"{name}.json").read_text("utf-8"))


def answer(value: Any, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(value).encode(), "runway")


def state(task: Any, **more: Any) -> Pending | Succeeded | Failed:
    return answers.state_of(task, now=NOW, redact=redact, **more)


def refusal(value: Any, status: int) -> Any:
    return answers.refusal(answer(value, status), provider="runway", redact=redact)


# -- states ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "progress"),
    [("create-200", None), ("task-pending", None), ("task-throttled", None), ("task-running", 0.42)],
)
def test_what_goes_on(name: str, progress: float | None) -> None:
    """Throttled is waiting too; nobody asks more than once in five seconds."""
    assert state(body(name)) == Pending(ref=ID, progress=progress, poll_after=5.0)


def test_an_unknown_status_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """A word that is not documented ends nothing, and is logged; so is a progress that cannot be."""
    with caplog.at_level(logging.WARNING):
        found = state({"id": ID, "status": f"DREAMING at https://a.test/?sig={SIGNATURE}", "progress": 7})
    assert found == Pending(ref=ID, progress=1.0, poll_after=5.0)
    assert "DREAMING at https://a.test/'" in caplog.text


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 10**400, -1, True, "5", None, [], {}])
def test_odd_members_do_not_cost_the_task(odd: Any) -> None:
    """Its id is readable, so that it can be asked for; what it is to cost is not known then."""
    for task in ({"id": ID, "estimatedCost": {"credits": odd}}, {"id": ID, "status": odd}, {"id": ID, "progress": odd}):
        found = state(task, estimate=answers.estimated_cost(task))
        assert isinstance(found, Pending)
        assert found.ref == ID
    ended = state({"id": ID, "status": "SUCCEEDED", "output": ["http://[", "https://a/b"], "cost": {"credits": odd}})
    assert isinstance(ended, Succeeded)
    assert [file.url for file in ended.outputs if isinstance(file, RemoteFile)] == ["https://a/b"]
    assert ended.cost is None


def test_success() -> None:
    """The link works for a day at least, and the credits are dollars."""
    found = state(body("task-succeeded"), emulated=True)
    assert isinstance(found, Succeeded)
    assert found.emulated
    (file,) = found.outputs
    assert isinstance(file, RemoteFile)
    assert (file.auth, file.expires_at) == ("none", NOW + timedelta(hours=24))
    assert file.url.endswith("output.mp4?_jwt=fixture")
    assert found.cost is not None
    assert (found.cost.amount, found.cost.currency, found.cost.status) == (Decimal("0.60"), "USD", "reported")
    assert (found.cost.basis, found.cost.quantity) == ("credits", 60)


def test_success_that_names_no_cost() -> None:
    """Older answers name none: then what was estimated counts, and says that it is an estimate."""
    task = {**body("task-succeeded")}
    del task["cost"]
    assert state(task).cost is None  # type: ignore[union-attr]
    estimate = answers.estimated_cost(body("create-200"))
    assert estimate is not None
    assert (estimate.amount, estimate.status) == (Decimal("0.60"), "estimated")
    assert state(task, estimate=estimate).cost == estimate  # type: ignore[union-attr]


@pytest.mark.parametrize("output", [None, [], [None], "https://example.com/x.mp4"])
def test_success_without_a_file(output: Any) -> None:
    """It was paid for, and there is nothing."""
    found = state({**body("task-succeeded"), "output": output})
    assert isinstance(found, Failed)
    assert (found.reason, found.billed) == ("no_media", "yes")


@pytest.mark.parametrize(
    ("code", "reason", "retryable"),
    [
        ("SAFETY.INPUT.TEXT", "content_rejected", False),
        ("SAFETY.OUTPUT.VIDEO", "content_rejected", False),
        ("INPUT_PREPROCESSING.SAFETY.TEXT", "content_rejected", False),
        ("INTERNAL.BAD_OUTPUT.CODE01", "generation_failed", True),
        ("INTERNAL", "generation_failed", True),
        ("INPUT_PREPROCESSING.INTERNAL", "generation_failed", True),
        ("ASSET.INVALID", "generation_failed", False),
        ("SOMETHING.NEW", "generation_failed", False),
        (None, "generation_failed", False),
    ],
)
@pytest.mark.parametrize(("charged", "billed"), [(0, "no"), (60, "yes")])
def test_failures_by_the_prefix_of_their_code(
    code: str | None, reason: str, retryable: object, charged: int, billed: str
) -> None:
    """The cost that Runway names says whether it is billed, whatever the cause."""
    task = {"id": ID, "status": "FAILED", "failure": "Words.", "failureCode": code, "cost": {"credits": charged}}
    found = state(task)
    assert isinstance(found, Failed)
    assert (found.reason, found.retryable, found.billed) == (reason, retryable, billed)
    assert "Words." in found.message
    assert (code or "Words") in found.message


def test_failures_that_name_no_cost() -> None:
    """Moderated generations cost as much as others; of the rest nobody knows."""
    estimate = answers.estimated_cost(body("create-200"))
    for name, billed, cost in (
        ("task-failed-safety-input", "yes", estimate),
        ("task-failed-bad-output", "unknown", None),
        ("task-failed-no-code", "unknown", None),
    ):
        task = body(name)
        del task["cost"]
        found = state(task, estimate=estimate)
        assert isinstance(found, Failed)
        assert (found.billed, found.cost) == (billed, cost)


@pytest.mark.parametrize(
    ("name", "reason", "billed"),
    [
        ("task-failed-safety-input", "content_rejected", "yes"),
        ("task-failed-bad-output", "generation_failed", "no"),
        ("task-failed-no-code", "generation_failed", "no"),
        ("task-cancelled", "canceled", "no"),
    ],
)
def test_files_of_ends(name: str, reason: str, billed: str) -> None:
    """Each file of an end that is no success."""
    found = state(body(name))
    assert isinstance(found, Failed)
    assert (found.reason, found.billed, found.ref) == (reason, billed, ID)


@pytest.mark.parametrize(
    ("name", "billed", "amount"),
    [("task-running", "yes", Decimal("0.60")), ("task-pending", "unknown", None), ("task-throttled", "unknown", None)],
)
def test_a_cancelled_task_that_ran_is_charged(name: str, billed: str, amount: Decimal | None) -> None:
    """And one that waited may be refunded, or not: it may begin at that very moment."""
    ended = answers.cancelled(body(name))
    assert (ended.reason, ended.billed) == ("canceled", billed)
    assert (ended.cost.amount if ended.cost else None) == amount


@pytest.mark.parametrize("value", [None, [], {}, {"id": 7}, {"id": ""}, "text"])
def test_what_is_no_task(value: Any) -> None:
    """A broken answer says nothing about the task."""
    with pytest.raises(UnexpectedResponseError) as caught:
        answers.task_of(answer(value))
    assert caught.value.retryable


def test_uploads() -> None:
    """The place, the fields, the name; and nothing else will do."""
    upload = answers.upload_of(answer(body("upload-200")))
    assert upload == ("https://uploads.example.invalid/", {"key": "k", "policy": "p"}, "runway://fixture")
    for value in (None, {}, {**body("upload-200"), "fields": None}, {**body("upload-200"), "uploadUrl": 7}):
        with pytest.raises(UnexpectedResponseError):
            answers.upload_of(answer(value))


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_no_credit_is_a_400() -> None:
    """Told by its words alone."""
    error = refusal(body("error-400-no-credits"), 400)
    assert isinstance(error, PaymentRequiredError)
    assert str(error).startswith(
        "Runway account has insufficient credits. Please add credits at https://dev.runwayml.com"
    )


def test_validation() -> None:
    """The complaint names the member."""
    error = refusal(body("error-400-validation"), 400)
    assert isinstance(error, RequestRejectedError)
    assert "Validation of body failed: ratio: Invalid enum value." in error.message
    assert not error.retryable


@pytest.mark.parametrize("issues", [None, "text", [None], [{}], [{"path": "ratio"}], [{"path": [0], "message": 7}]])
def test_issues_in_another_form(issues: Any) -> None:
    """Their members are not documented."""
    error = refusal({"error": "Validation of body failed", "issues": issues}, 400)
    assert type(error) is RequestRejectedError
    assert "Validation of body failed" in error.message


def test_an_unknown_model() -> None:
    """A complaint about the model, or a call that is gone."""
    issue = {"path": ["model"], "message": "Invalid discriminator value"}
    assert isinstance(refusal({"error": "Validation of body failed", "issues": [issue]}, 400), ModelRetiredError)
    assert isinstance(refusal(None, 404), ModelRetiredError)


def test_the_daily_limit_is_not_tried_again() -> None:
    """It counts a whole day; any other 429 passes."""
    error = refusal(body("error-429-daily-limit"), 429)
    assert isinstance(error, RateLimitedError)
    assert not error.retryable
    assert refusal({"error": "Too many requests."}, 429) is None


def test_words_lose_their_secrets() -> None:
    """A signed link in an error stays out of ours."""
    error = refusal({"error": "Cannot fetch https://bucket.example/x.png?sig=secret"}, 400)
    assert "secret" not in str(error)
    found = state({**body("task-failed-no-code"), "failure": "See https://example.com/x?token=secret"})
    assert "secret" not in found.message  # type: ignore[union-attr]


# -- requests ----------------------------------------------------------------------------------------------------------


def ask(kind: Any, model: str, **inputs: Any) -> tuple[str, dict[str, Any]]:
    return create_call(MediaRequest(kind=kind, prompt="a fox", provider="runway", model=model, inputs=inputs))


def test_the_call_follows_from_the_start_image() -> None:
    """Of a text, of an image, an image."""
    text = {"promptText": "a fox", "ratio": "1280:720", "duration": 5}
    assert ask("video", "gen4.5", **text) == ("/v1/text_to_video", {"model": "gen4.5", **text})
    assert ask("video", "gen4.5", **text, promptImage="https://x.example/a.png")[0] == "/v1/image_to_video"
    assert ask("image", "gen4_image", promptText="a fox", ratio="1024:1024")[0] == "/v1/text_to_image"


def test_references_are_objects() -> None:
    """A reference that comes as a link becomes one; those with a tag stay as they are."""
    tagged = {"uri": "https://x.example/b.png", "tag": "fox"}
    _, sent = ask("image", "gen4_image", referenceImages=["https://x.example/a.png", tagged])
    assert sent["referenceImages"] == [{"uri": "https://x.example/a.png"}, tagged]


def test_a_size_that_needs_a_start_image() -> None:
    """Refused here, with those that need none."""
    with pytest.raises(UnsupportedOptionError, match="1280:720, 720:1280"):
        ask("video", "gen4.5", promptText="a fox", ratio="960:960")
    assert ask("video", "gen4.5", ratio="960:960", promptImage="runway://x")[0] == "/v1/image_to_video"


def test_names_of_a_model_that_is_not_built_in() -> None:
    """The common options go out under the names that Runway's models share."""
    common = {"prompt": "a fox", "width": 1280, "height": 720, "image": "runway://x", "negative_prompt": "dogs", "n": 2}
    shared = {"promptText": "a fox", "ratio": "1280:720", "negativePrompt": "dogs", "outputCount": 2}
    assert ask("video", "new", **common) == (
        "/v1/image_to_video",
        {"model": "new", **shared, "promptImage": "runway://x"},
    )
    assert ask("image", "new", **common)[1]["referenceImages"] == [{"uri": "runway://x"}]
    assert ask("video", "new", prompt="a fox", aspect_ratio="16:9")[1]["ratio"] == "16:9"


def test_built_in_data() -> None:
    """Every required input is a common option or has a default, and every default is one that the model takes."""
    for known in RunwayProvider.capabilities:
        assert known.inputs is not None
        for name in known.required:
            assert name in known.defaults or name in known.names.values()
        for name, value in known.defaults.items():
            schema = known.inputs[name]
            assert value in schema.get("enum", [value])  # type: ignore[operator]
        for name in known.names.values():
            assert name in known.inputs
        if known.price is not None:
            assert known.price.source
            assert known.price.as_of
