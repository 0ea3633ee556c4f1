"""From Poe's answers to states and errors: recorded, documented and composed bodies."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.canaries import SIGNATURE

from aifs_media._http import Answer
from aifs_media._secrets import Secret, redact
from aifs_media.errors import (
    AuthenticationError,
    ContentRejectedError,
    MediaError,
    ModelRetiredError,
    PaymentRequiredError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
)
from aifs_media.providers._poe_answers import chat_state, chat_text, failed_generation, moment, video_state
from aifs_media.providers.poe import PoeProvider
from aifs_media.records import Failed, Pending, RemoteFile, Succeeded

FIXTURES = Path(__file__).parents[1] / "fixtures" / "poe"
KEY = "poe-key-1234567890"
BASE = "https://api.poe.com/v1"


def load(name: str) -> dict[str, object]:
    return json.loads((FIXTURES / name).read_text("utf-8"))


def answer(body: object, status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, content, "poe")


def same(text: str) -> str:
    return text


def completion(content: object, **choice: object) -> dict[str, object]:
    return {
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": "stop", **choice}
        ]
    }


def state(body: object) -> Succeeded | Failed:
    return chat_state(answer(body), prompt="a cat", kind="image", redact=same)


def error(status: int, **members: object) -> MediaError:
    return PoeProvider(api_key=KEY).error(answer({"error": members}, status), maybe_billed=status == 500)


# -- chat completions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["image-gpt-image-1.json", "image-imagen-4.json", "video-veo-3.1.json"])
def test_recorded_media(name: str) -> None:
    """A recorded answer with a link is one remote file that needs no key."""
    ended = state(load(name)["response"]["body"])
    assert isinstance(ended, Succeeded)
    (output,) = ended.outputs
    assert isinstance(output, RemoteFile)
    assert output.auth == "none"
    assert not ended.emulated
    assert ended.ref is None


def test_recorded_text_only() -> None:
    """A recorded 200 without any link is a typed failure that quotes the bot and does not claim to be free."""
    ended = state(load("image-bot-answers-text-nano-banana.json")["response"]["body"])
    assert isinstance(ended, Failed)
    assert (ended.reason, ended.billed) == ("no_media", "unknown")
    assert "Hello there!" in ended.message


def test_text_only_is_quoted_short_and_without_secrets() -> None:
    """A long answer is cut, and neither the key nor a query of a URL is repeated."""
    provider = PoeProvider(api_key=KEY)
    body = completion(f"My key is {KEY}. " + "thinking " * 100)
    ended = chat_state(answer(body), prompt="p", kind="image", redact=provider._redact)
    assert isinstance(ended, Failed)
    assert KEY not in ended.message
    assert "…" in ended.message
    assert len(ended.message) < 400


@pytest.mark.parametrize("content", ["", None, [], {"a": 1}])
def test_nothing_at_all(content: object) -> None:
    """An empty answer is no media either."""
    ended = state(completion(content))
    assert isinstance(ended, Failed)
    assert ended.reason == "no_media"


def test_content_as_parts() -> None:
    """Content in parts is read like a text."""
    assert isinstance(
        state(completion([{"type": "text", "text": "https://pfst.cf2.poecdn.net/base/image/ab"}])), Succeeded
    )


def test_refusals_inside_a_200() -> None:
    """A refusal is told from a bot that only talks, and an error inside a 200 from both."""
    for body in (
        completion("No.", finish_reason="content_filter"),
        {"choices": [{"message": {"content": None, "refusal": "I cannot make that."}}]},
        {"error": {"message": "The prompt was flagged", "type": "invalid_request_error"}},
    ):
        ended = state(body)
        assert isinstance(ended, Failed)
        assert ended.reason == "content_rejected"
    ended = state({"error": {"message": "Internal server error", "type": "provider_error"}})
    assert isinstance(ended, Failed)
    assert (ended.reason, ended.retryable) == ("generation_failed", True)


@pytest.mark.parametrize("body", [[], "x", {}, {"choices": []}, {"choices": ["x"]}, b"<html>"])
def test_answers_outside_the_contract(body: object) -> None:
    """What is no chat completion is an error that says it may be billed, unless it is no JSON at all."""
    with pytest.raises(UnexpectedResponseError) as caught:
        state(body)
    assert caught.value.maybe_billed or body == b"<html>"


def test_emulated_is_said() -> None:
    """The emulator's answers are marked."""
    body = completion("https://pfst.cf2.poecdn.net/base/image/ab")
    ended = chat_state(answer(body, x_emulated_by="aifs-media"), prompt="p", kind="image", redact=same)
    assert isinstance(ended, Succeeded)
    assert ended.emulated


def test_text() -> None:
    """A text comes with the provider's own token counts."""
    result = chat_text(
        answer({**completion("Hello."), "usage": {"prompt_tokens": 7, "completion_tokens": 3}}),
        provider="poe",
        model="gpt-5.4-mini",
        redact=same,
    )
    assert (str(result), result.prompt_tokens, result.completion_tokens) == ("Hello.", 7, 3)
    assert not result.emulated


def test_text_that_is_none() -> None:
    """A refusal and an empty text are errors, never a text."""
    for body, expected in (
        (completion(" "), UnexpectedResponseError),
        (completion(None, finish_reason="content_filter"), ContentRejectedError),
    ):
        with pytest.raises(expected):
            chat_text(answer(body), provider="poe", model="m", redact=same)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[" * 100_000, b"7", b"{}", b"\xff"])
def test_an_answer_without_sense_may_be_billed(body: bytes) -> None:
    """Something was made for the status 200, whatever came of it on the way."""
    for read in (
        lambda: chat_text(answer(body), provider="poe", model="m", redact=same),
        lambda: chat_state(answer(body), prompt="p", kind="image", redact=same),
    ):
        with pytest.raises(UnexpectedResponseError) as refused:
            read()
        assert refused.value.maybe_billed
        assert not refused.value.retryable


# -- videos ------------------------------------------------------------------------------------------------------------


def video(body: object, **headers: str) -> Pending | Succeeded | Failed:
    return video_state(answer(body, **headers), base_url=BASE, redact=same)


def test_video_life() -> None:
    """The documented statuses, from queued to either end."""
    life = load("composed-videos-lifecycle.json")
    queued = video(life["create"]["response"]["body"])
    assert queued == Pending(ref="video_abc123", progress=0.0, poll_after=5.0)
    running = video(life["in_progress"])
    assert isinstance(running, Pending)
    assert running.progress == 0.4
    done = video(life["completed"])
    assert isinstance(done, Succeeded)
    assert done.ref == "video_abc123"
    assert done.outputs == (
        RemoteFile(
            url=f"{BASE}/videos/video_abc123/content",
            auth="provider",
            media_type="video/mp4",
            expires_at=datetime.fromtimestamp(1775003679, UTC),
        ),
    )
    failed = video(life["failed"])
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.billed, failed.ref) == ("generation_failed", "unknown", "video_abc123")


def test_video_with_hardly_any_members() -> None:
    """Every member is optional but the id; an undocumented status counts as running."""
    assert isinstance(video({"id": "v1"}), Pending)
    assert isinstance(video({"id": "v1", "status": "postprocessing", "progress": None}), Pending)
    done = video({"id": "v1", "status": "completed"}, x_emulated_by="aifs-media")
    assert isinstance(done, Succeeded)
    assert done.emulated
    failed = video({"id": "v1", "status": "failed", "error": {"code": "moderation_blocked", "message": "no"}})
    assert isinstance(failed, Failed)
    assert failed.reason == "content_rejected"


@pytest.mark.parametrize("body", [[], {}, {"id": None, "status": "queued"}, {"id": "../chat", "status": "queued"}])
def test_video_without_a_usable_id(body: object) -> None:
    """Without an id nobody could ask for the video again."""
    with pytest.raises(UnexpectedResponseError) as caught:
        video(body)
    assert caught.value.maybe_billed


def test_an_unknown_status_is_logged_without_queries(caplog: pytest.LogCaptureFixture) -> None:
    """It is a text from outside."""
    redacted = video_state(
        answer({"id": "v", "status": f"dreaming at https://a.test/?sig={SIGNATURE}"}), base_url=BASE, redact=redact
    )
    assert isinstance(redacted, Pending)
    assert "dreaming at https://a.test/'" in caplog.text


def test_moments_in_three_units() -> None:
    """Seconds, milliseconds and microseconds mean the same moment."""
    expected = datetime.fromtimestamp(1775000000, UTC)
    assert moment(1775000000) == moment(1775000000000) == moment(1775000000000000) == expected
    assert moment("1775000000") is None
    assert moment(-1) is None
    assert moment(1e30) is None


# -- errors ------------------------------------------------------------------------------------------------------------


def recorded_error(name: str) -> MediaError:
    response = load(name)["response"]
    return PoeProvider(api_key=KEY).error(answer(response["body"], response["status"]))


def test_recorded_errors() -> None:
    """Each recorded error has its own type, and repeats Poe's words."""
    rejected = recorded_error("error-400-error-id.json")
    assert type(rejected) is RequestRejectedError
    assert "tools is not supported" in str(rejected)
    assert isinstance(recorded_error("error-404-model.json"), ModelRetiredError)
    quota = recorded_error("error-429-upstream-quota.json")
    assert isinstance(quota, RateLimitedError)
    assert "vendor behind Poe" in str(quota)
    assert quota.retryable
    assert isinstance(recorded_error("error-500-provider-error-sora-2.json"), ProviderUnavailableError)


def test_documented_errors() -> None:
    """The documented bodies, with numeric and with text codes."""
    unauthorized = load("doc-error-body.json")["response"]
    assert isinstance(
        PoeProvider(api_key=KEY).error(answer(unauthorized["body"], unauthorized["status"])), AuthenticationError
    )
    types = [
        type(PoeProvider(api_key=KEY).error(answer(response["body"], response["status"])))
        for response in load("doc-error-body-api-reference.json")["responses"]
    ]
    assert types == [AuthenticationError, ModelRetiredError, RequestRejectedError, RequestRejectedError]


@pytest.mark.parametrize(
    ("status", "kind", "expected"),
    [
        (400, "invalid_request_error", RequestRejectedError),
        (401, "authentication_error", AuthenticationError),
        (402, "insufficient_credits", PaymentRequiredError),
        (403, "moderation_error", ContentRejectedError),
        (404, "not_found_error", ModelRetiredError),
        (408, "timeout_error", ProviderUnavailableError),
        (413, "request_too_large", RequestRejectedError),
        (429, "rate_limit_error", RateLimitedError),
        (500, "provider_error", ProviderUnavailableError),
        (502, "upstream_error", ProviderUnavailableError),
        (503, "overloaded_error", ProviderUnavailableError),
        (504, "timeout_error", ProviderUnavailableError),
        (529, "overloaded_error", ProviderUnavailableError),
    ],
)
def test_documented_statuses(status: int, kind: str, expected: type[MediaError]) -> None:
    """The status decides, whatever the type says."""
    assert type(error(status, type=kind, message="so it is")) is expected
    assert type(error(status, message="so it is", type="invalid_request_error")) in {expected, AuthenticationError}
    assert isinstance(PoeProvider(api_key=KEY).error(answer(b"<html>", status)), MediaError)


def test_moderation_is_told_from_permission() -> None:
    """A 403 about the account is no content rule, though it has the type of one; a 400 may be one."""
    assert isinstance(
        error(403, type="moderation_error", message="You do not have permission to use this bot"), AuthenticationError
    )
    assert isinstance(
        error(403, type="moderation_error", message="Blocked by our content policy"), ContentRejectedError
    )
    assert isinstance(
        error(400, type="invalid_request_error", message="Your prompt was flagged by the safety system"),
        ContentRejectedError,
    )
    assert type(error(400, type="invalid_request_error", message="Invalid generation request")) is RequestRejectedError


def test_no_credit_names_the_vendor_and_the_place() -> None:
    """The text that users know, with Poe's name and address."""
    assert str(error(402, type="insufficient_credits", message="balance <= 0")).startswith(
        "Poe account has insufficient credits. Please add credits at https://poe.com/api/keys"
    )


def test_rate_limit_takes_the_servers_word() -> None:
    """Retry-After is kept where it is given, and nothing is made up where it is not."""
    provider = PoeProvider(api_key=KEY)
    body = {"error": {"type": "rate_limit_error", "message": "Rate limit exceeded"}}
    assert provider.error(answer(body, 429, retry_after="7")).retry_after == 7
    assert provider.error(answer(body, 429)).retry_after is None


def test_errors_hold_no_key_and_name_the_request() -> None:
    """A key that Poe repeats is masked; the request id is kept for its support."""
    provider = PoeProvider(api_key=KEY)
    body = {"error": {"type": "authentication_error", "message": f"Invalid API key {KEY}"}}
    found = provider.error(answer(body, 401, x_request_id="req-1"))
    assert KEY not in str(found)
    assert found.request_id == "req-1"
    retired = provider.error(answer({"error": {"message": f"no {KEY}"}}, 404, x_request_id="req-2"))
    assert KEY not in str(retired)
    assert retired.request_id == "req-2"


def test_failure_of_a_create() -> None:
    """A 500 in Poe's own words is the end of the generation; without them the answer is lost."""
    recorded = load("error-500-provider-error-sora-2.json")["response"]
    failed = failed_generation(answer(recorded["body"], 500), redact=same)
    assert isinstance(failed, Failed)
    assert (failed.reason, failed.billed, failed.retryable) == ("generation_failed", "unknown", True)
    assert "had an error" in failed.message
    rejected = failed_generation(answer({"error": {"message": "Rejected by the safety system"}}, 500), redact=same)
    assert isinstance(rejected, Failed)
    assert rejected.reason == "content_rejected"
    assert failed_generation(answer(b"<html>", 502), redact=same) is None
    assert failed_generation(answer({"error": {"message": "x"}}, 503), redact=same) is None
    assert failed_generation(answer({"error": {"message": "x"}}, 429), redact=same) is None


def test_other_errors_are_the_providers() -> None:
    """A status that nobody documented is still typed."""
    assert isinstance(error(418, message="teapot"), ProviderError)


def test_the_key_never_shows() -> None:
    """Neither the provider nor its secret shows the key."""
    assert KEY not in repr(PoeProvider(api_key=KEY))
    assert KEY not in repr(Secret(KEY))


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 10**400, True, "5", [], {"a": 1}])
def test_odd_members_do_not_cost_a_video(odd: object) -> None:
    """Its id is readable, so that it can be asked for."""
    for members in ({"status": "queued", "progress": odd}, {"status": odd}):
        running = video({"id": "v1", **members})
        assert isinstance(running, Pending)
        assert running.ref == "v1"
    done = video({"id": "v1", "status": "completed", "expires_at": odd})
    assert isinstance(done, Succeeded)
    (output,) = done.outputs
    assert isinstance(output, RemoteFile)
    assert output.expires_at is None


@pytest.mark.parametrize("code", [{"b": 2}, ["x"], None, 5, "model_not_found"])
def test_a_code_of_any_form(code: object) -> None:
    """A refusal stays one."""
    assert isinstance(error(400, code=code), ModelRetiredError if code == "model_not_found" else RequestRejectedError)


def test_only_poes_own_408_says_that_nothing_began() -> None:
    """Documented as a model that did not start; a proxy's says nothing."""
    provider = PoeProvider(api_key=KEY)
    assert not provider.may_be_accepted(answer({"error": {"message": "x", "type": "timeout_error"}}, 408))
    for body in (
        b"<html>",
        {"error": "timeout"},
        {"error": {"type": "other"}},
        {"error": {"type": ["timeout_error"]}},
        {},
    ):
        assert provider.may_be_accepted(answer(body, 408))
    assert not provider.may_be_accepted(answer({}, 529))
    assert provider.may_be_accepted(answer({"error": {"message": "x", "type": "timeout_error"}}, 500))


def test_parts_in_parts_without_end() -> None:
    """They hold nothing, and break nothing."""
    content: object = "https://a.example/b"
    for _ in range(150):
        content = [{"text": content}]
    assert isinstance(state(completion(content)), Failed)
