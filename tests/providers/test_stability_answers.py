"""From Stability AI's answers to states and errors: reported, documented and composed bodies."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from aifs_media._http import Answer
from aifs_media.errors import (
    AuthenticationError,
    ContentRejectedError,
    MediaError,
    ModelRetiredError,
    PaymentRequiredError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
)
from aifs_media.providers._stability_answers import credits_left, failed_generation, state
from aifs_media.providers.stability import StabilityProvider
from aifs_media.records import Failed, InlineFile, Succeeded

FIXTURES = Path(__file__).parents[1] / "fixtures" / "stability"
KEY = "sk-key-1234567890"
PICTURE = base64.b64decode(json.loads((FIXTURES / "generate-200-json.json").read_text("utf-8"))["image"])


def load(name: str) -> dict[str, object]:
    return json.loads((FIXTURES / name).read_text("utf-8"))


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, {"content-type": "application/json", **named}, content, "stability")


def same(text: str) -> str:
    return text


def ended(body: object, status: int = 200, **headers: str) -> Succeeded | Failed:
    return state(answer(body, status, **headers), redact=same)


def error(body: object, status: int, **headers: str) -> MediaError:
    return StabilityProvider(api_key=KEY).error(answer(body, status, **headers), maybe_billed=status >= 500)


# -- what a create ended with ------------------------------------------------------------------------------------------


def test_bytes() -> None:
    """The bytes are the picture; headers say the rest."""
    made = ended(PICTURE, content_type="image/png", finish_reason="SUCCESS", seed="343940597", x_request_id="r")
    assert made == Succeeded(outputs=(InlineFile(data=PICTURE, media_type="image/png"),), seed=343940597)


@pytest.mark.parametrize("name", ["generate-200-json.json", "results-200-json.json"])
def test_json(name: str) -> None:
    """The JSON form says the same, with the picture under one of its known names."""
    made = ended(load(name), content_type="application/json; type=image/png")
    assert made == Succeeded(outputs=(InlineFile(data=PICTURE, media_type="image/png"),), seed=343940597)


@pytest.mark.parametrize("form", ["bytes", "json"])
def test_filtered_inside_a_200(form: str) -> None:
    """A blurred picture is a moderation failure, whatever the status says, and nobody knows whether it is charged."""
    failed = (
        ended(load("generate-200-content-filtered.json"))
        if form == "json"
        else ended(PICTURE, content_type="image/png", finish_reason="CONTENT_FILTERED", seed="343940597")
    )
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.billed, failed.retryable) == ("content_rejected", "unknown", False)


def test_an_error_inside_a_200() -> None:
    """An error body is a failure under any status, and not said to be free."""
    refused = ended(load("error-403-content-moderation.json"))
    assert isinstance(refused, Failed)
    assert (refused.reason, refused.billed) == ("content_rejected", "unknown")
    broken = ended({"id": "1", "name": "internal_error", "errors": ["it broke"]})
    assert isinstance(broken, Failed)
    assert (broken.reason, broken.billed) == ("generation_failed", "unknown")
    assert "it broke" in broken.message


def test_a_reason_nobody_has_heard_of_keeps_the_picture() -> None:
    """It is paid for: the picture stays, and a warning says what is odd."""
    made = ended(PICTURE, content_type="image/png", finish_reason="HIBERNATED")
    assert isinstance(made, Succeeded)
    assert len(made.outputs) == 1
    assert "HIBERNATED" in made.warnings[0]


@pytest.mark.parametrize("seed", ["9" * 5000, "\u0663", "-5", "x", "", "1e3"])
def test_an_odd_seed_does_not_cost_the_picture(seed: str) -> None:
    """It is not known then, in either form."""
    encoded = base64.b64encode(PICTURE).decode()
    for made in (
        ended(PICTURE, content_type="image/png", seed=seed),
        ended({"image": encoded, "finish_reason": "SUCCESS", "seed": seed}),
        ended({"image": encoded, "finish_reason": "SUCCESS", "seed": [seed]}),
    ):
        assert isinstance(made, Succeeded)
        assert (len(made.outputs), made.seed) == (1, None)


def test_a_picture_in_other_letters_is_none() -> None:
    """What is not base64 is an answer without sense."""
    with pytest.raises(UnexpectedResponseError) as refused:
        ended({"image": "\u00e9" + base64.b64encode(PICTURE).decode(), "finish_reason": "SUCCESS"})
    assert refused.value.maybe_billed


def test_headers_that_are_missing() -> None:
    """Neither reason nor seed are needed; a seed that is no number is none."""
    assert ended(PICTURE, content_type="image/webp") == ended(PICTURE, content_type="image/webp", seed="soon")
    made = ended(PICTURE, content_type="image/webp")
    assert isinstance(made, Succeeded)
    assert (made.seed, made.warnings) == (None, ())


@pytest.mark.parametrize(
    ("body", "content_type"),
    [(b"", "image/png"), ({"finish_reason": "SUCCESS", "seed": 1}, "application/json")],
    ids=["bytes", "json"],
)
def test_success_without_a_picture(body: object, content_type: str) -> None:
    """Nothing is no media, never an empty file."""
    made = ended(body, content_type=content_type)
    assert isinstance(made, Succeeded)
    assert made.outputs == ()


@pytest.mark.parametrize(
    ("body", "status", "content_type"),
    [
        (b"<html>hello</html>", 200, "text/html"),
        (b"{", 200, "application/json"),
        ([1], 200, "application/json"),
        (b"", 204, ""),
        (load("async-submit-200.json"), 200, "application/json"),
        (load("async-submit-200.json"), 202, "application/json"),
        ({"image": "no base64!", "finish_reason": "SUCCESS"}, 200, "application/json"),
    ],
    ids=["html", "broken", "list", "nothing", "id", "accepted", "base64"],
)
def test_nonsense_may_be_billed(body: object, status: int, content_type: str) -> None:
    """What is no answer of this endpoint says nothing about the create."""
    with pytest.raises(UnexpectedResponseError) as caught:
        ended(body, status, content_type=content_type)
    assert caught.value.maybe_billed


# -- errors ------------------------------------------------------------------------------------------------------------


def test_no_credit() -> None:
    """402 names the place where credits are bought."""
    refused = error(load("error-402-payment-required.json"), 402)
    assert isinstance(refused, PaymentRequiredError)
    assert "https://platform.stability.ai/account/credits" in str(refused)
    assert not refused.retryable


def test_moderation() -> None:
    """403 is about content where it says so, and then it is not charged; else it is about the key."""
    refused = error(load("error-403-content-moderation.json"), 403, x_request_id="r-1")
    assert isinstance(refused, ContentRejectedError)
    assert not refused.maybe_billed
    assert refused.request_id == "r-1"
    unnamed = {"errors": load("error-403-content-moderation.json")["errors"]}
    assert isinstance(error(unnamed, 403), ContentRejectedError)
    assert isinstance(error({"name": "forbidden", "errors": ["this key may not"]}, 403), AuthenticationError)


def test_rate_limit() -> None:
    """429 is retried after the documented minute, or when the server says; it is no matter of credit."""
    limited = error(load("error-429-rate-limit.json"), 429)
    assert isinstance(limited, RateLimitedError)
    assert limited.retryable
    assert limited.retry_after == 60
    assert error(load("error-429-rate-limit.json"), 429, retry_after="7").retry_after == 7


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (load("error-400-bad-request.json"), 400),
        ({"id": "1", "name": "payload_too_large", "errors": ["too large"]}, 413),
        ({"id": "1", "name": "invalid_language", "errors": ["English only"]}, 422),
    ],
)
def test_a_request_that_is_refused(body: dict[str, list[str]], status: int) -> None:
    """400, 413 and 422 quote the vendor, and the same request is not sent again."""
    refused = error(body, status)
    assert type(refused) is RequestRejectedError
    assert body["errors"][0] in str(refused)
    assert not refused.retryable


def test_wrong_key() -> None:
    """401 has another form; its words never show a key."""
    refused = error({"message": f"no such key {KEY}"}, 401)
    assert isinstance(refused, AuthenticationError)
    assert "no such key ***" in str(refused)
    assert "STABILITY_API_KEY" in refused.hint


def test_an_endpoint_that_is_gone() -> None:
    """404 of a create means that the model is not served any more."""
    assert isinstance(error({"id": "1", "name": "not_found", "errors": ["gone"]}, 404), ModelRetiredError)


def test_a_500_in_its_own_words_is_the_end() -> None:
    """The generation has failed, and nothing says that it is free; without these words the answer is lost."""
    failed = failed_generation(answer({"id": "1", "name": "internal_error", "errors": ["it broke"]}, 500), redact=same)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.billed, failed.retryable) == ("generation_failed", "unknown", True)
    assert failed_generation(answer(b"<html>Bad gateway</html>", 502), redact=same) is None
    lost = error(b"<html>Bad gateway</html>", 502)
    assert isinstance(lost, ProviderUnavailableError)
    assert lost.maybe_billed
    assert not lost.retryable


def test_balance() -> None:
    """The balance is a number of credits, and anything else is none."""
    assert credits_left(load("user-balance-200.json")) == pytest.approx(0.63368338)
    for body in ({}, [], None, {"credits": "many"}, {"credits": True}):
        assert credits_left(body) is None
