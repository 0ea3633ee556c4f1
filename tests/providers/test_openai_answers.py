"""From answers of OpenAI's image API, and of servers that copy it, to states and errors: recorded, documented and made-up bodies."""

from __future__ import annotations

import json
from decimal import Decimal
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
from aifs_media.providers._openai_answers import (
    Rates,
    Vendor,
    failed_generation,
    hold_seconds,
    images_state,
    listed_models,
)
from aifs_media.providers.openai import OpenAIProvider
from aifs_media.providers.openai_compatible import OpenAICompatibleProvider
from aifs_media.records import Failed, InlineFile, MediaRequest, RemoteFile, Succeeded

FIXTURES = Path(__file__).parents[1] / "fixtures" / "openai"
KEY = "sk-1234567890"
RATES = Rates({"text_in": "5", "image_in": "8", "image_out": "30"}, "a page", "2026-11-22")
HTTP = Vendor("openai-compatible", "The server", "http://127.0.0.1:8080/v1", "", str)
VENDOR = Vendor("openai", "OpenAI", "https://api.openai.com/v1", "", str)


def load(name: str) -> dict[str, object]:
    return json.loads((FIXTURES / name).read_text("utf-8"))


def recorded(name: str, **headers: str) -> Answer:
    response = load(name)["response"]
    return answer(response["body"], response["status"], **headers)  # type: ignore[index]


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, "openai")


def state(body: object, vendor: Vendor = VENDOR, rates: Rates | None = None) -> Succeeded | Failed:
    return images_state(answer(body), vendor, rates=rates)


def error(found: Answer) -> MediaError:
    provider = OpenAIProvider(api_key=KEY)
    return provider.error(found, maybe_billed=provider.may_be_accepted(found))


def refused(status: int, **members: object) -> MediaError:
    return error(
        answer(
            {"error": {"message": "", "type": "invalid_request_error", "param": None, "code": None, **members}}, status
        )
    )


@pytest.mark.parametrize(
    ("timeout", "lifetime", "held"),
    [(None, None, 600), (300.0, 310.0, 320), (300.0, 600.0, 610), (900.0, 600.0, 910), (30.0, None, 40)],
)
def test_how_long_a_create_is_held(timeout: float | None, lifetime: float | None, held: float) -> None:
    """As long as the caller waits or the job may live, whichever is longer."""
    request = MediaRequest(kind="image", prompt="p", timeout=timeout, lifetime=lifetime)
    assert hold_seconds(request) == held


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_recorded_pictures() -> None:
    """Two pictures come inside the answer; what the prompt was changed to is not mistaken for one."""
    ended = images_state(recorded("images-generate-two.json"), VENDOR)
    assert isinstance(ended, Succeeded)
    assert [isinstance(one, InlineFile) and one.data[:8] for one in ended.outputs] == [b"\x89PNG\r\n\x1a\n"] * 2
    assert (ended.cost, ended.ref, ended.warnings, ended.emulated) == (None, None, (), False)


def test_documented_answer() -> None:
    """The sample's picture is an ellipsis, which is none; its tokens cost what the published rates say."""
    ended = images_state(recorded("doc-images-response.json"), VENDOR, rates=RATES)
    assert isinstance(ended, Succeeded)
    assert ended.outputs == ()
    assert ended.cost is not None
    # 10 of the text at 5, 40 of the picture at 8, 50 made at 30 USD for a million.
    assert (ended.cost.amount, ended.cost.status, ended.cost.basis) == (Decimal("0.00187"), "estimated", "tokens")
    assert (ended.cost.quantity, ended.cost.source, ended.cost.as_of) == (100, "a page", "2026-11-22")


@pytest.mark.parametrize(
    ("usage", "rates", "amount"),
    [
        ({"input_tokens": 10, "output_tokens": 100}, RATES, "0.00305"),
        ({"input_tokens": 0, "output_tokens": 0}, RATES, "0"),
        ({"input_tokens": 10, "output_tokens": 100, "output_tokens_details": {"text_tokens": 60}}, RATES, "0.00305"),
        (
            {"input_tokens": 10, "output_tokens": 100, "output_tokens_details": {"text_tokens": 60}},
            Rates({**RATES.usd, "text_out": "10"}, "", ""),
            "0.00185",
        ),
        ({"input_tokens": 10, "output_tokens": 100}, None, None),
        ({"input_tokens": "10", "output_tokens": 100}, RATES, None),
        ({"input_tokens": 10**400, "output_tokens": 100}, RATES, None),
        ({"input_tokens": float("inf"), "output_tokens": float("nan")}, RATES, None),
        ({}, RATES, None),
        (None, RATES, None),
    ],
)
def test_cost_of_tokens(usage: object, rates: Rates | None, amount: str | None) -> None:
    """Reported tokens times published rates; unknown where either is missing, and unknown is never 0."""
    ended = state({"created": 1, "data": [], "usage": usage}, rates=rates)
    assert ended.cost is None if amount is None else ended.cost is not None and ended.cost.amount == Decimal(amount)


def test_the_rates_of_every_model_are_known() -> None:
    """Each built-in model has rates, so that each success has a cost."""
    provider = OpenAIProvider()
    for capability in provider.capabilities:
        rates = provider._rates_of(capability.model)
        assert rates is not None
        assert {"text_in", "image_in", "image_out"} <= rates.usd.keys()
    assert provider._rates_of("gpt-image-2-2026-04-21") == provider._rates_of("gpt-image-2")
    assert provider._rates_of("gpt-image-9") is None


def test_what_gateways_answer() -> None:
    """Base64 and URLs; a URL may lie at the server itself, be relative, or hold the picture."""
    (foreign,) = images_state(answer(load("together-image-url.json")), HTTP).outputs  # type: ignore[union-attr]
    assert foreign == RemoteFile(url="https://api.together.ai/shrt/fixture")
    (inline,) = images_state(answer(load("xai-image.json")), HTTP).outputs  # type: ignore[union-attr]
    assert inline == InlineFile(data=b"test")
    urls = [
        "/files/a.png",
        "files/b.png",
        "http://127.0.0.1:8080/c.png",
        "http://127.0.0.1:9/d.png",
        "data:image/png;base64,AAAA",
        "",
    ]
    ended = state({"created": 1, "data": [{"url": url} for url in urls], "output_format": "png"}, HTTP)
    assert isinstance(ended, Succeeded)
    assert ended.outputs == (
        RemoteFile(url="http://127.0.0.1:8080/files/a.png", auth="provider"),
        RemoteFile(url="http://127.0.0.1:8080/v1/files/b.png", auth="provider"),
        RemoteFile(url="http://127.0.0.1:8080/c.png", auth="provider"),
        RemoteFile(url="http://127.0.0.1:9/d.png"),
        InlineFile(data=bytes(3), media_type="image/png"),
    )


@pytest.mark.parametrize(
    "data", [None, [], [{}], [None], "x", [{"b64_json": None}], [{"b64_json": 7}], [{"b64_json": "A"}], [{"url": 1}]]
)
def test_a_success_without_a_picture(data: object) -> None:
    """It is one without outputs, which the core calls `no_media`, whatever is missing."""
    ended = state({"created": 1, "data": data})
    assert isinstance(ended, Succeeded)
    assert ended.outputs == ()


def test_what_moderation_withheld() -> None:
    """All of it is a refusal of the content that may be billed; some of it is a warning."""
    item, withheld = {"b64_json": "AAAA"}, {"url": "", "respect_moderation": False}
    ended = state({"created": 1, "data": [withheld]})
    assert isinstance(ended, Failed)
    assert (ended.reason, ended.billed) == ("content_rejected", "unknown")
    some = state({"created": 1, "data": [item, withheld]})
    assert isinstance(some, Succeeded)
    assert len(some.outputs) == 1
    assert "1 of 2" in some.warnings[0]


def test_an_error_inside_a_200() -> None:
    """A gateway may report so that the model behind it failed, or refused."""
    ended = state({"error": {"message": "worker lost", "type": "server_error"}})
    assert isinstance(ended, Failed)
    assert (ended.reason, ended.billed, ended.retryable) == ("generation_failed", "unknown", True)
    assert "worker lost" in ended.message
    moderated = state({"error": {"message": "no", "code": "content_policy_violation"}})
    assert isinstance(moderated, Failed)
    assert moderated.reason == "content_rejected"


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b'{"status": "ok"}', b'{"data": [{"b64_json": "AAAA'])
def test_what_is_no_answer_may_be_billed(body: bytes) -> None:
    """An answer that makes no sense proves nothing."""
    with pytest.raises(UnexpectedResponseError) as caught:
        state(body)
    assert caught.value.maybe_billed
    assert not caught.value.retryable


# -- errors ------------------------------------------------------------------------------------------------------------


def test_recorded_moderation_of_what_was_made() -> None:
    """It comes after the whole wait: a failed job with its stage and categories, whose price is not known."""
    found = failed_generation(recorded("error-400-moderation-blocked-output-stage.json"), VENDOR)
    assert found is not None
    assert (found.reason, found.billed, found.retryable) == ("content_rejected", "unknown", False)
    assert "refused what it had made (sexual)" in found.message


def test_moderation_of_the_request() -> None:
    """A refusal that names the input came before anything was made: an error that is not billed."""
    body = load("error-400-moderation-blocked-output-stage.json")["response"]["body"]  # type: ignore[index]
    body["error"]["moderation_details"]["moderation_stage"] = "input"
    assert failed_generation(answer(body, 400), VENDOR) is None
    found = error(answer(body, 400))
    assert isinstance(found, ContentRejectedError)
    assert not found.maybe_billed
    assert "refused the request (sexual)" in str(found)


def test_moderation_without_a_stage() -> None:
    """Older bodies do not tell what was refused, so nothing is said about money."""
    old = {
        "error": {
            "message": "Your request was rejected as a result of our safety system.",
            "code": "content_policy_violation",
        }
    }
    found = failed_generation(answer(old, 400), VENDOR)
    assert found is not None
    assert (found.reason, found.billed) == ("content_rejected", "unknown")


@pytest.mark.parametrize("name", ["error-429-insufficient-quota.json", "error-400-billing-hard-limit.json"])
def test_recorded_empty_account(name: str) -> None:
    """A 429 and a 400 that mean money: never tried again."""
    found = error(recorded(name, x_request_id="req_1"))
    assert isinstance(found, PaymentRequiredError)
    assert str(found).startswith(
        "OpenAI account has insufficient credits. Please add credits at https://platform.openai.com/"
    )
    assert (found.retryable, found.maybe_billed, found.request_id) == (False, False, "req_1")


def test_recorded_suspended_account() -> None:
    """Fireworks says with a 412 that the account has reached its limit."""
    provider = OpenAICompatibleProvider(base_url="https://api.fireworks.ai/inference/v1")
    found = provider.error(answer(load("fireworks-error-412-suspended.json"), 412))
    assert isinstance(found, PaymentRequiredError)
    assert "suspended" in str(found)


def test_recorded_limit_of_nothing() -> None:
    """A limit of 0 does not pass by waiting; a limit of 10 does."""
    found = error(recorded("error-429-limit-zero.json", retry_after="20"))
    assert isinstance(found, RateLimitedError)
    assert not found.retryable
    assert "waiting does not help" in str(found)
    some = refused(429, type="requests", code="rate_limit_exceeded", message="Limit: 10/1min. Current: 11/1min.")
    assert isinstance(some, RateLimitedError)
    assert some.retryable
    assert refused(429, message="images per min: Limit 0, Used 0, Requested 1").retryable is False


@pytest.mark.parametrize(
    "url", ["http://[", "http://x:abc/", "https://\u2100.com/x", "data:image/png;base64,\ud800", "\ud800", 7, None, {}]
)
@pytest.mark.parametrize("vendor", [VENDOR, HTTP])
def test_an_odd_url_does_not_cost_the_picture_beside_it(url: object, vendor: Vendor) -> None:
    """In the same member, or in one of its own."""
    for data in ([{"url": url, "b64_json": "iVBORw=="}], [{"url": url}, {"b64_json": "iVBORw=="}]):
        ended = state({"created": 1, "data": data, "output_format": "png"}, vendor)
        assert isinstance(ended, Succeeded)
        assert ended.outputs == (InlineFile(data=b"\x89PNG", media_type="image/png"),)


@pytest.mark.parametrize(
    ("headers", "wait", "retryable"),
    [
        ({"retry_after": "20"}, 20.0, True),
        ({"retry_after_ms": "1500", "retry_after": "20"}, 1.5, True),
        ({"retry_after_ms": "soon", "retry_after": "20"}, 20.0, True),
        ({"retry_after_ms": "9" * 400, "retry_after": "20"}, 20.0, True),
        ({"retry_after_ms": "\u0663", "retry_after": "20"}, 20.0, True),
        ({}, None, True),
        ({"x_should_retry": "false"}, None, False),
        ({"x_should_retry": "true"}, None, True),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], wait: float | None, *, retryable: bool) -> None:
    """The headers that the vendor's own client reads."""
    found = error(
        answer({"error": {"message": "slow down", "type": "requests", "code": "rate_limit_exceeded"}}, 429, **headers)
    )
    assert (found.retry_after, found.retryable) == (wait, retryable)


@pytest.mark.parametrize("status", [400, 403, 404])
def test_recorded_unverified_organization(status: int) -> None:
    """Under whichever status: no fault of the key, and the page where it is verified is named."""
    body = load("error-org-verification.json")["response"]["body"]  # type: ignore[index]
    found = error(answer(body, status))
    assert isinstance(found, AuthenticationError)
    assert "https://platform.openai.com/settings/organization/general" in found.hint


def test_recorded_unknown_parameter() -> None:
    """The vendor's words are quoted; the same request will be refused again."""
    found = error(recorded("error-400-response-format.json"))
    assert isinstance(found, RequestRejectedError)
    assert "Unknown parameter: 'response_format'" in str(found)
    assert (found.retryable, found.maybe_billed) == (False, False)


@pytest.mark.parametrize(
    ("status", "members"),
    [
        (404, {"code": "model_not_found", "message": "no"}),
        (400, {"code": "model_not_found", "message": "no"}),
        (400, {"code": "invalid_value", "param": "model", "message": "no"}),
        (404, {"message": "The model 'x' does not exist."}),
    ],
)
def test_models_that_are_gone(status: int, members: dict[str, object]) -> None:
    """In the ways that this is said."""
    assert isinstance(refused(status, **members), ModelRetiredError)


def test_a_404_that_is_about_something_else() -> None:
    """A wrong address is no retired model."""
    assert not isinstance(error(answer(b"Not Found", 404)), ModelRetiredError)
    assert not isinstance(refused(404, message="Invalid URL (POST /v2/images/generations)"), ModelRetiredError)


@pytest.mark.parametrize(
    ("status", "expected", "maybe_billed"),
    [
        (302, UnexpectedResponseError, True),
        (400, RequestRejectedError, False),
        (401, AuthenticationError, False),
        (402, PaymentRequiredError, False),
        (403, AuthenticationError, False),
        (408, ProviderUnavailableError, True),
        (413, RequestRejectedError, False),
        (500, ProviderUnavailableError, True),
        (502, ProviderUnavailableError, True),
        (503, ProviderUnavailableError, True),
        (504, ProviderUnavailableError, True),
        (524, ProviderUnavailableError, True),
    ],
)
def test_statuses(status: int, expected: type[MediaError], *, maybe_billed: bool) -> None:
    """What nobody documents as free may be billed, and is never sent again by itself."""
    found = refused(status, message="x")
    assert type(found) is expected
    assert found.maybe_billed is maybe_billed
    assert not found.retryable


def test_words_are_short_and_without_secrets() -> None:
    """Neither the key nor a signed query comes back in an error."""
    found = refused(429, message=f"{KEY} https://x.test/a?sig=secret " + "far too long " * 100)
    assert KEY not in str(found)
    assert "secret" not in str(found)
    assert len(str(found)) < 600


def test_lists_of_models() -> None:
    """Only ids count; what is no list lists nothing."""
    assert listed_models({"data": [{"id": "a"}, {"id": 1}, None, {}]}) == ["a"]
    assert listed_models(["a"]) == listed_models({"data": "a"}) == listed_models(None) == []
