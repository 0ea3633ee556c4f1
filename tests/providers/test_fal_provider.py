"""The fal adapter over real HTTP: it makes media at the emulator, and types what goes wrong there."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import pytest
from tests.canaries import KEY

from aifs_media._options import model_inputs
from aifs_media.errors import (
    AuthenticationError,
    ConfigurationError,
    ContentRejectedError,
    JobNotFoundError,
    MediaError,
    MissingCredentialError,
    ModelRetiredError,
    PaymentRequiredError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    UnsafeURLError,
)
from aifs_media.protocols import (
    Cancellable,
    Catalogue,
    Checkable,
    Findable,
    InputUploader,
    Pollable,
    WebhookVerifier,
    role,
)
from aifs_media.providers import fal as module
from aifs_media.providers.fal import FalProvider
from aifs_media.records import Failed, InlineFile, MediaRequest, Pending, RemoteFile, Succeeded
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

FLUX = "fal-ai/flux/schnell"
FILM = "minimax/h3/text-to-video"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
async def fal(emulator: Emulator) -> AsyncIterator[FalProvider]:
    provider = FalProvider.from_settings(emulator.settings())
    yield provider
    await provider.aclose()


async def wish(provider: FalProvider, model: str = FLUX, kind: Any = "image", **options: Any) -> MediaRequest:
    """Return a request as the core hands it over."""
    capability = await provider.describe(kind, model)
    request = MediaRequest(kind=kind, prompt="a cat", provider="fal", model=model, lifetime=60, **options)
    return request.model_copy(update={"inputs": model_inputs(request, capability).values})


async def submit(provider: FalProvider, *names: str, **options: Any) -> Any:
    return await provider.submit(await wish(provider, *names, **options), submit_key="k")


async def made(provider: FalProvider, *names: str, **options: Any) -> Pending | Succeeded | Failed:
    return await provider.poll((await submit(provider, *names, **options)).ref)


# -- making media ------------------------------------------------------------------------------------------------------


async def test_roles(fal: FalProvider) -> None:
    """Fal has a queue, and neither a list of jobs nor an upload that is documented."""
    for wanted in (Pollable, Cancellable, Catalogue, WebhookVerifier, Checkable):
        assert role(fal, wanted) is fal
    assert role(fal, Findable) is None
    assert role(fal, InputUploader) is None


async def test_queued_running_done(emulator: Emulator, fal: FalProvider) -> None:
    """Place in the queue, then nothing to tell, then the images; the same answer to whoever asks again."""
    emulator.switches.queue_time, emulator.switches.latency = 10, 10
    first, second = await submit(fal), await submit(fal, n=2, seed=2**60)
    assert (first.queue_position, second.queue_position) == (0, 1)
    assert await fal.poll(second.ref) == Pending(ref=second.ref, queue_position=1)
    emulator.advance(11)
    assert await fal.poll(second.ref) == Pending(ref=second.ref)
    emulator.advance(11)
    state = await fal.poll(second.ref)
    assert isinstance(state, Succeeded)
    assert (len(state.outputs), state.seed, state.emulated, state.ref) == (2, 2**60, True, second.ref)
    for output in state.outputs:
        assert isinstance(output, RemoteFile)
        assert (output.auth, output.media_type, output.expires_at) == ("none", "image/jpeg", None)
    assert await fal.poll(second.ref) == state
    assert emulator.books().creates == 2


async def test_what_is_sent(emulator: Emulator, fal: FalProvider) -> None:
    """The inputs as they are, the whole name in the path, the key in fal's scheme, a time to start."""
    await submit(fal, FILM, "video", duration=2.0, aspect_ratio="1:1", webhook="https://me.example/hook?job=a%2Fb")
    sent = emulator.last_request("fal.create", reveal=True)
    assert sent.path == f"/fal/{FILM}"
    assert sent.query == "fal_webhook=https%3A%2F%2Fme.example%2Fhook%3Fjob%3Da%252Fb"
    assert sent.json == {"prompt": "a cat", "duration": 2, "aspect_ratio": "1:1", "resolution": "768P"}
    assert sent.headers["authorization"] == f"Key {emulator.settings()['FAL_KEY']}"
    assert sent.headers["x-fal-request-timeout"] == "60"


async def test_the_addresses_are_those_that_fal_gave(emulator: Emulator, fal: FalProvider) -> None:
    """Status and result are asked for under owner/app, which nobody computes here."""
    state = await made(fal, FILM, "video", duration=1.0, options={"resolution": "480P"})
    assert isinstance(state, Succeeded)
    assert isinstance(state.ref, dict)
    (status,) = emulator.books().requested("fal.status")
    (result,) = emulator.books().requested("fal.result")
    assert state.ref["status_url"] == emulator.base_url + status.path
    assert state.ref["response_url"] == emulator.base_url + result.path
    assert status.path.startswith("/fal/minimax/h3/requests/")


async def test_an_app_in_a_namespace(fal: FalProvider) -> None:
    """`workflows/owner/app` is asked for under three segments, and any model runs under its name without built-in data."""
    state = await made(fal, "workflows/emulated/postcard")
    assert isinstance(state, Succeeded)
    assert isinstance(state.ref, dict)
    assert "/workflows/emulated/postcard/requests/" in str(state.ref["status_url"])


async def test_a_status_address_alone_is_enough(fal: FalProvider) -> None:
    """It tells where the result is, so that a job can be adopted by it."""
    job = await submit(fal)
    assert isinstance(await fal.poll(job.ref["status_url"]), Succeeded)


async def test_a_file_inside_the_result(emulator: Emulator, fal: FalProvider) -> None:
    """sync_mode."""
    emulator.fault("fal.create", "data_uri")
    state = await made(fal)
    assert isinstance(state, Succeeded)
    assert isinstance(state.outputs[0], InlineFile)


@pytest.mark.parametrize(
    ("fault", "text", "reason", "billed", "retryable"),
    [
        ("failed", "boom", "generation_failed", "no", True),
        ("aborted", "", "generation_failed", "no", True),
        ("moderated", "", "content_rejected", "unknown", False),
        ("moderated", "nsfw", "content_rejected", "unknown", False),
    ],
)
async def test_failed_jobs(
    emulator: Emulator, fal: FalProvider, fault: Any, text: str, reason: str, billed: str, *, retryable: bool
) -> None:
    """COMPLETED, and yet no success."""
    emulator.fault("fal.create", fault, text=text)
    state = await made(fal)
    assert isinstance(state, Failed)
    assert (state.reason, state.billed, state.retryable) == (reason, billed, retryable)
    assert text == "nsfw" or text in state.message


@pytest.mark.parametrize("fault", ["null_output", "empty_output", "text_only"])
async def test_success_without_media(emulator: Emulator, fal: FalProvider, fault: Any) -> None:
    """No outputs: the core says that there is no media."""
    emulator.fault("fal.create", fault)
    state = await made(fal)
    assert isinstance(state, Succeeded)
    assert state.outputs == ()


async def test_a_job_that_does_not_start_in_time(emulator: Emulator, fal: FalProvider) -> None:
    """Fal ends it by itself, and it costs nothing."""
    emulator.switches.queue_time = 1000
    job = await submit(fal)
    emulator.advance(61)
    state = await fal.poll(job.ref)
    assert isinstance(state, Failed)
    assert (state.reason, state.billed) == ("canceled", "no")
    assert "did not start in time" in state.message


async def test_an_unknown_status_counts_as_running(emulator: Emulator, fal: FalProvider) -> None:
    """New ones may come any day."""
    job = await submit(fal)
    emulator.fault("fal.status", "unknown_status")
    assert isinstance(await fal.poll(job.ref), Pending)
    assert isinstance(await fal.poll(job.ref), Succeeded)


async def test_an_early_result_goes_on(emulator: Emulator, fal: FalProvider) -> None:
    """The status says that it has ended, and the result that it has not."""
    job = await submit(fal)
    emulator.fault("fal.result", "status", status=400, body={"detail": "Request is still in progress"})
    assert isinstance(await fal.poll(job.ref), Pending)
    assert isinstance(await fal.poll(job.ref), Succeeded)


# -- cancelling --------------------------------------------------------------------------------------------------------


async def test_cancelled_in_the_queue(emulator: Emulator, fal: FalProvider) -> None:
    """Fal removes it and does not know it any more; the core, which asked for that, takes it for the end."""
    emulator.switches.queue_time = 30
    job = await submit(fal)
    assert await fal.cancel(job.ref) == "cancelled"
    with pytest.raises(JobNotFoundError):
        await fal.poll(job.ref)
    assert emulator.books().cancels == 1
    assert emulator.books().billed("USD") == 0


async def test_cancelled_while_running(emulator: Emulator, fal: FalProvider) -> None:
    """The runner is told, and the job ends with an error that says so; another process reads the same."""
    emulator.switches.latency = 30
    job = await submit(fal)
    assert await fal.cancel(job.ref) == "cancelled"
    other = FalProvider.from_settings(emulator.settings())
    for provider in (fal, other):
        state = await provider.poll(job.ref)
        assert isinstance(state, Failed)
        assert (state.reason, state.retryable) == ("canceled", False)
    await other.aclose()


async def test_cancelled_too_late(emulator: Emulator, fal: FalProvider) -> None:
    """What is done stays done."""
    job = await submit(fal)
    assert await fal.cancel(job.ref) == "too_late"
    assert isinstance(await fal.poll(job.ref), Succeeded)
    assert emulator.last_request("fal.cancel").method == "PUT"


async def test_cancel_that_was_not_taken(emulator: Emulator, fal: FalProvider) -> None:
    """An unknown job, and an error: neither counts as cancelled."""
    job = await submit(fal)
    unknown = {**job.ref, "cancel_url": job.ref["cancel_url"].replace(job.ref["id"], "0" * 8)}
    with pytest.raises(JobNotFoundError):
        await fal.cancel(unknown)
    emulator.fault("fal.cancel", "status", status=502)
    with pytest.raises(ProviderUnavailableError):
        await fal.cancel(job.ref)
    assert isinstance(await fal.poll(job.ref), Succeeded)


# -- where the key goes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "{delivery}/fal/x/requests/1/status",
        "https://evil.example/status",
        "http://key@{host}/status",
        ".evil.example/status",
        "@evil.example/status",
        "//evil.example/status",
        "",
    ],
)
@pytest.mark.parametrize("name", ["status_url", "response_url", "cancel_url"])
async def test_the_key_goes_to_the_configured_origin_only(
    emulator: Emulator, fal: FalProvider, name: str, address: str
) -> None:
    """Whatever fal, or who answered instead, names as an address. The job is kept, and its success not given up."""
    host = emulator.base_url.removeprefix("http://")
    address = address.format(delivery=emulator.delivery_url, host=host)
    job = await submit(fal)
    before = len(emulator.books().requests)
    bad = {**job.ref, name: address}
    with pytest.raises(MediaError) as refused:
        await (fal.cancel(bad) if name == "cancel_url" else fal.poll(bad))
    # Below the configured origin a strange path is only that.
    assert isinstance(refused.value, UnsafeURLError) or address.startswith("//")
    assert not refused.value.retryable
    assert emulator.books().leaks == 0
    asked = emulator.books().requests[before:]
    assert [one for one in asked if one.route.startswith("delivery")] == []


async def test_a_foreign_address_does_not_lose_the_job(emulator: Emulator, fal: FalProvider) -> None:
    """Its create was accepted: the ref is recorded, and asking says which address is wrong."""
    body = {"request_id": "r", "status_url": "https://q.example/s", "response_url": "https://q.example/r"}
    emulator.fault("fal.create", "status", status=200, body=body)
    job = await submit(fal)
    assert job.ref == {"id": "r", "status_url": "https://q.example/s", "response_url": "https://q.example/r"}
    with pytest.raises(UnsafeURLError, match=r"q\.example"):
        await fal.poll(job.ref)


async def test_redirects_are_not_followed(emulator: Emulator, fal: FalProvider) -> None:
    """Neither with the key nor without."""
    job = await submit(fal)
    for route in ("fal.status", "fal.result"):
        emulator.fault(route, "redirect", url=f"{emulator.delivery_url}/x")
        with pytest.raises(UnexpectedResponseError) as stopped:
            await fal.poll(job.ref)
        assert stopped.value.retryable
    assert [one for one in emulator.books().requests if one.route == "delivery.get"] == []


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "expected", "maybe_billed", "retryable"),
    [
        ({"status": 400}, RequestRejectedError, False, False),
        ({"status": 401}, AuthenticationError, False, False),
        ({"status": 403}, PaymentRequiredError, False, False),
        ({"status": 403, "body": {"detail": "User is locked. Reason: Admin lock."}}, AuthenticationError, False, False),
        ({"status": 404}, ModelRetiredError, False, False),
        ({"status": 408}, ProviderUnavailableError, True, False),
        ({"status": 422}, RequestRejectedError, False, False),
        ({"status": 429, "headers": {"retry-after": "7"}}, RateLimitedError, False, True),
        ({"status": 500}, ProviderUnavailableError, True, False),
        ({"status": 502}, ProviderUnavailableError, True, False),
        ({"status": 503}, ProviderUnavailableError, True, False),
        ({"status": 504}, ProviderUnavailableError, True, False),
        ({"status": 200, "body": "<html>"}, UnexpectedResponseError, True, False),
        ({"status": 302, "body": ""}, UnexpectedResponseError, True, False),
    ],
)
async def test_creates_that_are_refused(
    emulator: Emulator, fal: FalProvider, fields: dict[str, Any], expected: type, *, maybe_billed: bool, retryable: bool
) -> None:
    """Typed, with whether something may be billed: fal documents no 5xx as free of a created job."""
    emulator.fault("fal.create", "status", **fields)
    with pytest.raises(expected) as refused:
        await submit(fal)
    assert type(refused.value) is expected
    assert isinstance(refused.value, MediaError)
    assert (refused.value.maybe_billed, refused.value.retryable) == (maybe_billed, retryable)
    assert refused.value.retry_after == (7 if fields["status"] == 429 else None)
    assert len(emulator.books().requested("fal.create")) == 1


async def test_no_credit_and_bad_inputs_and_moderation_at_the_create(emulator: Emulator, fal: FalProvider) -> None:
    """In the emulator's own order; fal's request id is in the error."""
    request = await wish(fal)
    with pytest.raises(RequestRejectedError, match="num_images") as refused:
        await fal.submit(request.model_copy(update={"inputs": {"prompt": "x", "num_images": 9}}), submit_key="k")
    assert refused.value.request_id == "emulated"
    policy = {"detail": [{"loc": ["body", "prompt"], "msg": "flagged", "type": "content_policy_violation"}]}
    emulator.fault("fal.create", "status", status=422, body=policy)
    with pytest.raises(ContentRejectedError, match="flagged"):
        await fal.submit(request, submit_key="k")
    emulator.switches.fal_credit = 0
    with pytest.raises(PaymentRequiredError, match="insufficient credits"):
        await fal.submit(request, submit_key="k")
    assert emulator.books().creates == 0


async def test_a_locked_account_still_fetches_what_it_paid_for(emulator: Emulator, fal: FalProvider) -> None:
    """Statuses answer while the account is locked."""
    job = await submit(fal)
    emulator.switches.fal_credit = 0
    assert isinstance(await fal.poll(job.ref), Succeeded)


@pytest.mark.parametrize(
    ("route", "status", "expected", "retryable"),
    [
        ("fal.status", 401, AuthenticationError, False),
        ("fal.status", 404, JobNotFoundError, False),
        ("fal.status", 429, RateLimitedError, True),
        ("fal.status", 502, ProviderUnavailableError, True),
        ("fal.status", 503, ProviderUnavailableError, True),
        ("fal.result", 401, AuthenticationError, False),
        ("fal.result", 403, PaymentRequiredError, False),
        ("fal.result", 404, UnexpectedResponseError, True),
        ("fal.result", 500, ProviderUnavailableError, True),
        ("fal.result", 503, ProviderUnavailableError, True),
        ("fal.result", 429, RateLimitedError, True),
        ("fal.result", 502, ProviderUnavailableError, True),
    ],
)
async def test_a_poll_that_could_not_ask(
    emulator: Emulator, fal: FalProvider, route: Any, status: int, expected: type, *, retryable: bool
) -> None:
    """An exception, and the job is as it was."""
    job = await submit(fal)
    emulator.fault(route, "status", status=status)
    with pytest.raises(expected) as failed:
        await fal.poll(job.ref)
    assert isinstance(failed.value, MediaError)
    assert failed.value.retryable is retryable
    assert isinstance(await fal.poll(job.ref), Succeeded)


@pytest.mark.parametrize("status", [500, 501, 503, 504])
async def test_a_result_that_is_broken_twice_is_the_end(emulator: Emulator, fal: FalProvider, status: int) -> None:
    """So fal tells of a job that failed, and whoever asks again hears the same; 5xx are free."""
    job = await submit(fal)
    body = {"detail": "x", "error_type": "runner_server_error"}
    emulator.fault("fal.result", "status", status=status, body=body, times=3)
    with pytest.raises(ProviderUnavailableError) as doubted:
        await fal.poll(job.ref)
    assert doubted.value.retryable
    for _ in range(2):
        state = await fal.poll(job.ref)
        assert isinstance(state, Failed)
        assert (state.reason == "generation_failed", state.billed) == (True, "no")


async def test_a_result_that_is_broken_now_and_then(emulator: Emulator, fal: FalProvider) -> None:
    """Twice in a row: an answer in between begins anew."""
    job = await submit(fal)
    body = {"detail": "x", "error_type": "runner_server_error"}
    for _ in range(3):
        emulator.fault("fal.result", "status", status=500, body=body)
        with pytest.raises(ProviderUnavailableError):
            await fal.poll(job.ref)
        emulator.fault("fal.result", "status", status=400, body={"detail": "Request is still in progress"})
        assert isinstance(await fal.poll(job.ref), Pending)
    assert isinstance(await fal.poll(job.ref), Succeeded)


async def test_only_so_many_broken_results_are_remembered(
    emulator: Emulator, fal: FalProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that makes many jobs does not grow."""
    monkeypatch.setattr(module, "REMEMBERED_RESULTS", 2)
    for _ in range(4):
        job = await submit(fal)
        emulator.fault("fal.result", "status", status=500, body={"detail": "x", "error_type": "runner_server_error"})
        with pytest.raises(ProviderUnavailableError):
            await fal.poll(job.ref)
    assert len(fal._broken_results) == 2


async def test_no_half_of_the_key_is_told(emulator: Emulator, fal: FalProvider) -> None:
    """Neither in a message nor in the id of a request, whether fal refuses, answers nonsense or says that a job failed."""
    key_id, _, secret = emulator.settings()["FAL_KEY"].partition(":")
    body: dict[str, object] = {"detail": f"key {secret} of {key_id}", "error_type": "runner_server_error"}
    told: list[str] = []
    for route, status in (("fal.create", 422), ("fal.create", 200), ("fal.status", 200), ("fal.result", 502)):
        job = await submit(fal)
        emulator.fault(route, "status", status=status, body=body, headers={"x-fal-request-id": f"{secret}/{key_id}"})  # type: ignore[arg-type]
        with pytest.raises(MediaError) as refused:
            await (submit(fal) if route == "fal.create" else fal.poll(job.ref))
        told += [str(refused.value), refused.value.request_id, repr(pickle.dumps(refused.value))]
        assert refused.value.request_id == "***/***"
    job = await submit(fal)
    emulator.fault("fal.result", "status", status=422, body=body)
    told.append((await fal.poll(job.ref)).model_dump_json())
    assert not [text for text in told if secret in text or key_id in text]


async def test_a_model_that_there_is_not(fal: FalProvider) -> None:
    """Named with models that there are; what litellm lists as the way on from Imagen 4 comes first."""
    with pytest.raises(ModelRetiredError) as gone:
        await submit(fal, "fal-ai/imagen4/preview")
    assert gone.value.suggestions[0] == "fal:fal-ai/nano-banana-2"
    with pytest.raises(ModelRetiredError) as gone:
        await submit(fal, "fal-ai/flux/schnel")
    assert "fal:fal-ai/flux/schnell" in gone.value.suggestions
    assert gone.value.request_id == "emulated"


async def test_describe(fal: FalProvider) -> None:
    """Built-in data whatever the case; an unknown app takes a prompt; what is no name is refused."""
    assert (await fal.describe("image", "FAL-AI/Flux/schnell")).maximum_outputs == 4
    unknown = await fal.describe("video", "somebody/app/path")
    assert (unknown.inputs, unknown.names, unknown.price) == (None, {"prompt": "prompt"}, None)
    with pytest.raises(RequestRejectedError):
        await fal.describe("image", "flux")


# -- the account -------------------------------------------------------------------------------------------------------


async def test_check(emulator: Emulator, fal: FalProvider) -> None:
    """A right key, a wrong one, and no answer at all; nothing is made."""
    (check,) = await fal.check()
    assert check.ok
    wrong = FalProvider.from_settings({**emulator.settings(), "FAL_KEY": KEY})
    (check,) = await wrong.check()
    assert not check.ok
    assert "FAL_KEY" in check.hint
    await wrong.aclose()
    emulator.fault("fal.status", "status", status=502)
    (check,) = await fal.check()
    assert not check.ok
    assert emulator.books().creates == 0


async def test_without_a_key(emulator: Emulator) -> None:
    """Said when it is needed, by the vendor's own name."""
    provider = FalProvider.from_settings({**emulator.settings(), "FAL_KEY": " "})
    with pytest.raises(MissingCredentialError, match="FAL_KEY"):
        await submit(provider)


async def test_a_key_in_halves(emulator: Emulator) -> None:
    """As fal's own client takes it."""
    values = emulator.settings()
    key_id, _, secret = values.pop("FAL_KEY").partition(":")
    provider = FalProvider.from_settings({**values, "FAL_KEY_ID": key_id, "FAL_KEY_SECRET": secret})
    assert isinstance(await made(provider), Succeeded)
    assert secret not in repr(provider)
    await provider.aclose()


async def test_the_address_must_be_safe() -> None:
    """A host as fal's own client names it is https; http needs to be trusted."""
    assert FalProvider.from_settings({"FAL_QUEUE_RUN_HOST": "q.example"}).base_url == "https://q.example"
    with pytest.raises(ConfigurationError):
        FalProvider.from_settings({"FAL_BASE_URL": "http://q.example"})
