"""The Replicate adapter over real HTTP: it makes media at the emulator, and types what goes wrong there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from tests.canaries import KEY

from aifs_media._http import Answer
from aifs_media._options import model_inputs
from aifs_media.errors import (
    AuthenticationError,
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
from aifs_media.protocols import Cancellable, Catalogue, Checkable, Findable, InputUploader, Pollable, role
from aifs_media.providers import replicate as module
from aifs_media.providers.replicate import LIGHTNING_VERSION, ReplicateProvider
from aifs_media.records import Failed, MediaRequest, Pending, RemoteFile, Succeeded
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

ERRORS = Path(__file__).parents[1] / "fixtures" / "replicate" / "errors"
FLUX = "black-forest-labs/flux-schnell"
ZEROSCOPE = "anotherjesse/zeroscope-v2-xl"
WAN = "wan-video/wan-2.2-t2v-fast"
UNKNOWN = "0" * 26


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
async def replicate(emulator: Emulator) -> AsyncIterator[ReplicateProvider]:
    provider = ReplicateProvider.from_settings(emulator.settings())
    yield provider
    await provider.aclose()


class Bare(ReplicateProvider):
    """Knows nothing beforehand."""

    capabilities = ()


@pytest.fixture
async def bare(emulator: Emulator) -> AsyncIterator[Bare]:
    provider = Bare.from_settings(emulator.settings())
    yield provider
    await provider.aclose()


async def wish(provider: ReplicateProvider, model: str = FLUX, kind: Any = "image", **options: Any) -> MediaRequest:
    """Return a request as the core hands it over: by default not held, since it names no seed."""
    capability = await provider.describe(kind, model)
    request = MediaRequest(kind=kind, prompt="a cat", provider="replicate", model=model, lifetime=60, **options)
    return request.model_copy(update={"inputs": model_inputs(request, capability).values})


async def submit(provider: ReplicateProvider, *names: str, **options: Any) -> Pending | Succeeded | Failed:
    return await provider.submit(await wish(provider, *names, **options), submit_key="k")


async def made(provider: ReplicateProvider, *names: str, **options: Any) -> Pending | Succeeded | Failed:
    """Return how a job ends that takes no time."""
    state = await submit(provider, *names, **options)
    return await provider.poll(state.ref) if isinstance(state, Pending) else state


def recorded(name: str) -> Answer:
    record = json.loads((ERRORS / f"{name}.json").read_text("utf-8"))
    return Answer(record["status"], record.get("headers", {}), json.dumps(record["body"]).encode(), "replicate")


# -- making media ------------------------------------------------------------------------------------------------------


async def test_roles(replicate: ReplicateProvider) -> None:
    """The adapter plays the roles that Replicate's API allows."""
    for wanted in (Pollable, Cancellable, Findable, Catalogue, InputUploader, Checkable):
        assert role(replicate, wanted) is replicate


async def test_a_held_create_ends_at_once(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """With a seed the create is held open and answers with the images, though its status is `processing`."""
    state = await submit(replicate, seed=7, n=2)
    assert isinstance(state, Succeeded)
    assert state.seed == 7
    assert state.emulated
    assert len(state.outputs) == 2
    for output in state.outputs:
        assert isinstance(output, RemoteFile)
        assert output.auth == "none"
        assert output.expires_at is not None
        assert timedelta(minutes=59) < output.expires_at - datetime.now(UTC) <= timedelta(hours=1)
    assert emulator.books().creates == 1
    assert emulator.books().requested("replicate.get") == ()


async def test_a_held_create_with_fewer_files_is_asked_again(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """Fewer files than asked for may be on their way; the end says how many there are."""
    emulator.fault("replicate.create", "partial_output", count=1)
    state = await submit(replicate, seed=7, n=3)
    assert isinstance(state, Pending)
    ended = await replicate.poll(state.ref)
    assert isinstance(ended, Succeeded)
    assert len(ended.outputs) == 1


async def test_polled(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """Without a seed nothing is held: the job has an id at once, and is asked for."""
    state = await submit(replicate)
    assert isinstance(state, Pending)
    assert isinstance(state.ref, str)
    ended = await replicate.poll(state.ref)
    assert isinstance(ended, Succeeded)
    assert ended.ref == state.ref
    assert "prefer" not in emulator.last_request("replicate.create").headers


async def test_progress_and_gpu_seconds(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """A running job says how far it is, and one that is billed by time says what it cost."""
    emulator.fault("replicate.create", "slow", seconds=80)
    state = await submit(replicate, ZEROSCOPE, "video")
    emulator.advance(41)
    running = await replicate.poll(state.ref)
    assert isinstance(running, Pending)
    assert running.progress == 0.5
    emulator.advance(15)
    ended = await replicate.poll(state.ref)
    # The job's own deadline, one minute after its creation for this request, came first.
    assert isinstance(ended, Pending)
    emulator.advance(40)
    ended = await replicate.poll(state.ref)
    assert isinstance(ended, Failed)
    assert (ended.reason, ended.billed) == ("canceled", "yes")
    assert ended.cost is not None
    assert ended.cost.amount is not None
    assert float(ended.cost.amount) == pytest.approx(0.0014 * 60, rel=0.01)
    assert "not confirmed" in ended.cost.source


async def test_models_by_every_name(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """A community model runs by owner/name too: its version is filled in, from the data or from Replicate."""
    version = next(known.model for known in replicate.capabilities if known.model.startswith(ZEROSCOPE))
    for model, runs_as in (
        (ZEROSCOPE, version),
        (version, version),
        (version.partition(":")[2], version.partition(":")[2]),
        (WAN, WAN),
    ):
        assert isinstance(await made(replicate, model, "video"), Succeeded)
        assert emulator.last_request("replicate.create").json["version"] == runs_as  # type: ignore[index]


async def test_a_community_model_that_is_not_built_in(emulator: Emulator, bare: Bare) -> None:
    """Replicate is asked for the version, once: the answer is kept."""
    for _ in range(2):
        assert isinstance(await made(bare, "bytedance/sdxl-lightning-4step", seed=1), Succeeded)
    sent = emulator.last_request("replicate.create").json
    assert sent["version"] == f"bytedance/sdxl-lightning-4step:{LIGHTNING_VERSION}"  # type: ignore[index]
    assert len(emulator.books().requested("replicate.model")) == 1


@pytest.mark.parametrize(("model", "kind"), [(ZEROSCOPE, "video"), (FLUX, "image")])
async def test_a_named_version_is_that_version(replicate: ReplicateProvider, model: str, kind: Any) -> None:
    """Another version than the built-in one is not taken for it: Replicate is asked, which does not know it here."""
    with pytest.raises(ModelRetiredError):
        await replicate.describe(kind, f"{model}:{'b' * 64}")


async def test_the_version_that_is_not_flux(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """The bare version that some take for Flux Schnell works, with a warning; the model by its name has none."""
    warned = await made(replicate, LIGHTNING_VERSION)
    assert isinstance(warned, Succeeded)
    assert "bytedance/sdxl-lightning-4step" in warned.warnings[0]
    plain = await made(replicate, "bytedance/sdxl-lightning-4step")
    assert isinstance(plain, Succeeded)
    assert plain.warnings == ()
    assert {one.model for one in emulator.books().predictions} == {"bytedance/sdxl-lightning-4step"}


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("failed", "generation_failed"),
        ("moderated", "content_rejected"),
        ("aborted", "canceled"),
        ("text_only", "no_media"),
        ("null_output", "no_media"),
        ("empty_output", "no_media"),
    ],
)
async def test_jobs_that_fail(emulator: Emulator, replicate: ReplicateProvider, fault: Any, reason: str) -> None:
    """What Replicate reports is data, held or polled."""
    for seed in (None, 5):
        emulator.fault("replicate.create", fault)
        state = await made(replicate, seed=seed)
        assert isinstance(state, Failed)
        assert state.reason == reason


async def test_inline_output(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """A data URI may stand wherever a link does."""
    emulator.fault("replicate.create", "data_uri", text="application/octet-stream")
    state = await submit(replicate, seed=3)
    assert isinstance(state, Succeeded)
    assert state.outputs[0].model_dump()["data"].startswith((b"RIFF", b"\x89PNG"))


async def test_expired(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """After an hour nothing is left of a job but that it succeeded."""
    state = await submit(replicate)
    emulator.advance(3700)
    ended = await replicate.poll(state.ref)
    assert isinstance(ended, Failed)
    assert ended.reason == "expired"


# -- lost answers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_after", "half_body", "truncated", "redirect"])
async def test_a_create_without_a_usable_answer_may_be_billed(
    emulator: Emulator, replicate: ReplicateProvider, fault: Any
) -> None:
    """Whatever came instead of a prediction, the create may have been accepted, and nothing invites to repeat it."""
    emulator.fault("replicate.create", fault)
    with pytest.raises(MediaError) as caught:
        await submit(replicate)
    assert caught.value.maybe_billed
    assert not caught.value.retryable
    assert len(emulator.books().requested("replicate.create")) == 1


@pytest.mark.parametrize(("status", "billed"), [(408, True), (500, True), (502, True), (503, False), (429, False)])
async def test_refused_creates(emulator: Emulator, replicate: ReplicateProvider, status: int, billed: bool) -> None:  # noqa: FBT001 - one table
    """A 5xx, and a proxy's 408, leave it open whether the create was accepted; 429 and 503 say that it was not."""
    emulator.fault("replicate.create", "status", status=status)
    with pytest.raises((ProviderUnavailableError, RateLimitedError)) as caught:
        await submit(replicate)
    assert (caught.value.maybe_billed, caught.value.retryable) == (billed, not billed)


async def test_find_a_lost_create(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """The list shows the prediction whose answer was lost, among others of the account."""
    request = await wish(replicate, seed=11)
    await made(replicate, seed=12)
    await made(replicate, ZEROSCOPE, "video", seed=11)
    emulator.fault("replicate.create", "drop_after")
    with pytest.raises(ProviderUnavailableError):
        await replicate.submit(request, submit_key="k")
    (found,) = await replicate.find(request, since=_minutes(-5), until=_minutes(5))
    assert isinstance(found.state, Succeeded)
    assert found.inputs["seed"] == 11
    assert found.ref == found.state.ref == emulator.books().created("a cat")[-1].id
    assert await replicate.find(request, since=_minutes(5), until=_minutes(9)) == []


async def test_find_reads_every_page(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """A prediction behind a full page of newer ones is found."""
    request = await wish(replicate, seed=11)
    first = await replicate.submit(request, submit_key="k")
    other = request.model_copy(update={"inputs": {"prompt": "a dog"}})
    async with anyio.create_task_group() as group:
        for _ in range(105):
            group.start_soon(lambda: replicate.submit(other, submit_key="k"))
    (found,) = await replicate.find(request, since=_minutes(-5), until=_minutes(5))
    assert found.ref == first.ref
    assert len(emulator.books().requested("replicate.list")) == 2


async def test_find_follows_no_foreign_page(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """The key never goes to an address that a list names elsewhere."""
    page = {"next": "https://example.com/predictions?cursor=x", "previous": None, "results": []}
    emulator.fault("replicate.list", "status", status=200, body=page)
    with pytest.raises(UnsafeURLError):
        await replicate.find(await wish(replicate, seed=1), since=_minutes(-5), until=_minutes(5))


async def test_find_gives_up_loudly(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """A list that does not end was not looked through."""
    for number in range(module.PAGES_LIMIT):
        page = {"next": f"{emulator.replicate_url}/predictions?cursor={number}", "previous": None, "results": []}
        emulator.fault("replicate.list", "status", status=200, body=page)
    with pytest.raises(UnexpectedResponseError, match="more than 50 pages"):
        await replicate.find(await wish(replicate, seed=1), since=_minutes(-5), until=_minutes(5))


async def test_find_notices_a_list_in_a_circle(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """A page that was read already says nothing of those that were not."""
    for cursor in ("a", "b", "a"):
        page = {"next": f"{emulator.replicate_url}/predictions?cursor={cursor}", "previous": None, "results": []}
        emulator.fault("replicate.list", "status", status=200, body=page)
    with pytest.raises(UnexpectedResponseError, match="read already"):
        await replicate.find(await wish(replicate, seed=1), since=_minutes(-5), until=_minutes(5))
    assert len(emulator.books().requested("replicate.list")) == 3


async def test_find_names_each_prediction_once(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """A newer one moves it to the next page while the first is read; taken for two, one would be cancelled."""
    request = await wish(replicate, seed=11)
    await replicate.submit(request, submit_key="k")
    (listed,) = (await _list(replicate))["results"]
    page = {"next": f"{emulator.replicate_url}/predictions", "previous": None, "results": [listed, listed]}
    emulator.fault("replicate.list", "status", status=200, body=page)
    (found,) = await replicate.find(request, since=_minutes(-5), until=_minutes(5))
    assert found.ref == listed["id"]
    assert len(emulator.books().requested("replicate.list")) == 3


async def test_find_knows_internal_names(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """As some recorded predictions call their model."""
    request = await wish(replicate, seed=11)
    await replicate.submit(request, submit_key="k")
    page = await _list(replicate)
    page["results"][0]["model"] = "replicate-internal/flux-schnell-fp8"
    emulator.fault("replicate.list", "status", status=200, body=page)
    assert len(await replicate.find(request, since=_minutes(-5), until=_minutes(5))) == 1


@pytest.mark.parametrize("theirs", [{"seed": 12}, {"seed": 11, "prompt": "a dog"}])
async def test_a_create_answered_with_anothers_prediction(
    emulator: Emulator, replicate: ReplicateProvider, theirs: dict[str, Any]
) -> None:
    """Its picture is not taken for ours; ours is in the list."""
    request = await wish(replicate, seed=11)
    other = request.model_copy(update={"inputs": {**request.inputs, **theirs}})
    await replicate.submit(other, submit_key="k")
    mixed_up = (await _list(replicate))["results"][0]
    emulator.fault("replicate.create", "status", status=201, body=mixed_up)
    with pytest.raises(UnexpectedResponseError, match="another prompt or seed") as refused:
        await replicate.submit(request, submit_key="k")
    assert (refused.value.maybe_billed, refused.value.retryable) == (True, False)


async def _list(replicate: ReplicateProvider) -> Any:
    return await replicate.call("GET", "/predictions")


async def test_find_with_no_list(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """An answer that is no list does not mean that nothing was created."""
    emulator.fault("replicate.list", "status", status=200, body={"odd": True})
    with pytest.raises(UnexpectedResponseError):
        await replicate.find(await wish(replicate, seed=1), since=_minutes(-5), until=_minutes(5))


def _minutes(number: float) -> datetime:
    return datetime.now(UTC) + timedelta(minutes=number)


# -- asking and cancelling ---------------------------------------------------------------------------------------------


async def test_not_found_right_after_the_create(
    emulator: Emulator, replicate: ReplicateProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A 404 just after our own create means "not yet"; later, or of another's job, it means that there is none."""
    state = await submit(replicate)
    emulator.fault("replicate.get", "not_found_grace")
    assert await replicate.poll(state.ref) == Pending(ref=state.ref)
    monkeypatch.setattr(module, "NOT_FOUND_GRACE", 0.0)
    emulator.fault("replicate.get", "not_found_grace")
    with pytest.raises(JobNotFoundError):
        await replicate.poll(state.ref)
    with pytest.raises(JobNotFoundError, match=UNKNOWN):
        await replicate.poll(UNKNOWN)


async def test_only_so_many_creates_are_remembered(
    replicate: ReplicateProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that makes many jobs does not grow."""
    monkeypatch.setattr(module, "REMEMBERED_CREATES", 2)
    refs = [(await submit(replicate)).ref for _ in range(4)]
    assert list(replicate._creates) == refs[2:]


async def test_a_broken_poll_can_be_repeated(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """Half an answer says nothing about the job."""
    state = await submit(replicate)
    for fault in ("half_body", "truncated", "redirect", "drop_before"):
        emulator.fault("replicate.get", fault)  # type: ignore[arg-type]
        with pytest.raises(MediaError) as caught:
            await replicate.poll(state.ref)
        assert caught.value.retryable
        assert not caught.value.maybe_billed
    emulator.fault("replicate.get", "unknown_status")
    assert isinstance(await replicate.poll(state.ref), Pending)
    assert isinstance(await replicate.poll(state.ref), Succeeded)


async def test_cancel(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """A running job is cancelled, one that has ended is not, and one that there is not is an error."""
    emulator.fault("replicate.create", "slow", seconds=50)
    running = await submit(replicate)
    assert await replicate.cancel(running.ref) == "cancelled"
    state = await replicate.poll(running.ref)
    assert isinstance(state, Failed)
    assert state.reason == "canceled"
    ended = await submit(replicate)
    assert await replicate.cancel(ended.ref) == "too_late"
    assert await replicate.cancel(running.ref) == "cancelled"
    with pytest.raises(JobNotFoundError):
        await replicate.cancel(UNKNOWN)


async def test_a_ref_stays_one_segment(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """No ref leads to another address."""
    with pytest.raises(JobNotFoundError):
        await replicate.poll("../account")
    assert emulator.books().requested("replicate.account") == ()


# -- models ------------------------------------------------------------------------------------------------------------


async def test_describe_asks_once(emulator: Emulator, replicate: ReplicateProvider, bare: Bare) -> None:
    """What a model takes is read from its own schema and kept; built-in models are not asked for."""
    described = await bare.describe("video", WAN)
    assert described.frames is not None
    assert described.frames.name == "num_frames"
    assert await bare.describe("video", WAN) == described
    assert len(emulator.books().requested("replicate.model")) == 1
    assert (await replicate.describe("image", FLUX)).maximum_outputs == 4
    assert "Cheap" in (await replicate.describe("video", WAN)).note
    assert len(emulator.books().requested("replicate.model")) == 1


async def test_describe_again_when_it_is_old(emulator: Emulator, bare: Bare, monkeypatch: pytest.MonkeyPatch) -> None:
    """A schema is not kept for ever."""
    monkeypatch.setattr(module, "SCHEMA_LIFE", -1.0)
    for _ in range(2):
        await bare.describe("video", WAN)
    assert len(emulator.books().requested("replicate.model")) == 2


async def test_a_version_alone_cannot_be_described(replicate: ReplicateProvider) -> None:
    """Replicate knows no address of a version without its model."""
    with pytest.raises(RequestRejectedError, match="owner/name:version"):
        await replicate.describe("image", "c" * 64)


@pytest.mark.parametrize(
    ("model", "suggestion"),
    [
        ("kwaivgi/kling-v2.1", "replicate:kwaivgi/kling-v2.5-turbo-pro"),
        ("kwaivgi/kling-v3-vide", "replicate:kwaivgi/kling-v3-video"),
        ("nobody/nothing", "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c"),
    ],
)
async def test_unknown_models_name_others(replicate: ReplicateProvider, model: str, suggestion: str) -> None:
    """A model that there is not (any more) is an error that says what to use."""
    with pytest.raises(ModelRetiredError, match=model) as caught:
        await replicate.describe("video", model)
    assert caught.value.suggestions[0].startswith(suggestion)
    assert caught.value.model == f"replicate:{model}"
    assert suggestion in str(caught.value)


async def test_a_model_that_is_retired_between_check_and_create(
    emulator: Emulator, replicate: ReplicateProvider
) -> None:
    """The create's own answer about a version is the same error, and nothing is billed."""
    request = await wish(replicate)
    for status in (404, 422):
        emulator.fault("replicate.create", "status", status=status)
        with pytest.raises(ModelRetiredError) as caught:
            await replicate.submit(request, submit_key="k")
        assert caught.value.model == f"replicate:{FLUX}"
        assert not caught.value.maybe_billed
    with pytest.raises(RequestRejectedError, match="not the name of a model"):
        await replicate.submit(request.model_copy(update={"model": "flux:latest"}), submit_key="k")


async def test_invalid_inputs_are_named(replicate: ReplicateProvider) -> None:
    """Replicate's own check of the inputs says which one is wrong."""
    request = await wish(replicate)
    wrong = request.model_copy(update={"inputs": {"prompt": "a cat", "num_outputs": 9}})
    with pytest.raises(RequestRejectedError, match=r"num_outputs: Must be less than or equal to 4\.") as caught:
        await replicate.submit(wrong, submit_key="k")
    assert not caught.value.maybe_billed


# -- recorded refusals -------------------------------------------------------------------------------------------------


def test_every_recorded_error() -> None:
    """Each recorded body becomes the error that says what to do next."""
    provider = ReplicateProvider(api_key=KEY)
    expected: dict[str, tuple[type[MediaError], str]] = {
        "401_unauthenticated": (AuthenticationError, "You did not pass a valid authentication token"),
        "402_insufficient_credit_2026": (
            PaymentRequiredError,
            "Replicate account has insufficient credits. Please add credits at https://replicate.com/account/billing",
        ),
        "404_not_found": (ModelRetiredError, "could not be found"),
        "422_input_validation": (RequestRejectedError, "prompt is required"),
        "422_invalid_version": (ModelRetiredError, "does not exist"),
        "429_low_credit": (RateLimitedError, "while you have less than $5.0 in credit"),
    }
    assert set(expected) == {file.stem for file in ERRORS.glob("*.json")}
    for name, (kind, words) in expected.items():
        error = provider.error(recorded(name))
        assert type(error) is kind, name
        assert words in str(error)
        assert error.provider == "replicate"
    payment = provider.error(recorded("402_insufficient_credit_2026"))
    assert str(payment).startswith(expected["402_insufficient_credit_2026"][1])
    assert "wait a few minutes" in str(payment)


@pytest.mark.parametrize(
    ("headers", "body", "wait"),
    [
        (
            {"retry-after": "2"},
            {"detail": "Request was throttled. Your rate limit resets in ~5s.", "retry_after": 4},
            5,
        ),
        ({}, {"detail": "Request was throttled.", "retry_after": 7}, 7),
        ({}, {"detail": "Request was throttled. Your rate limit resets in ~30s."}, 30),
        ({"retry-after": "9"}, {"detail": "Request was throttled."}, 9),
        ({}, {"detail": "Request was throttled."}, None),
        ({}, [], None),
        ({}, {"detail": "Request was throttled.", "retry_after": 10**400}, None),
        ({"retry-after": "2"}, {"detail": "Request was throttled.", "retry_after": float("nan")}, 2),
        ({}, {"detail": "Request was throttled.", "retry_after": float("inf")}, None),
        ({}, {"detail": "Request was throttled.", "retry_after": -3}, None),
        ({}, {"detail": f"Request was throttled. Your rate limit resets in ~{'9' * 400}s."}, None),
        ({}, {"detail": "Request was throttled.", "retry_after": -5}, None),
        ({}, {"detail": "Request was throttled.", "retry_after": True}, None),
        ({}, {"detail": f"Your rate limit resets in ~{'9' * 400}s.", "retry_after": 3}, 3),
    ],
)
def test_how_long_to_wait(headers: dict[str, str], body: object, wait: float | None) -> None:
    """The longest wait of header, body and text counts."""
    error = ReplicateProvider(api_key=KEY).error(Answer(429, headers, json.dumps(body).encode(), "replicate"))
    assert isinstance(error, RateLimitedError)
    assert error.retry_after == wait
    assert error.retryable


def test_errors_hold_neither_key_nor_query() -> None:
    """What Replicate repeats of the request is cleaned."""
    body = {"detail": "bad https://bucket.test/a.png?X-Signature=abc and a-key", "invalid_fields": [], "title": "x"}
    for status in (402, 404, 422, 429, 500):
        error = ReplicateProvider(api_key=KEY).error(
            Answer(status, {"cf-ray": "ray-1"}, json.dumps(body).encode(), "replicate")
        )
        assert KEY not in str(error)
        assert "abc" not in str(error)
        assert error.request_id == "ray-1"


async def test_missing_key() -> None:
    """The sentence that users of the earlier product know, and only when the key is needed."""
    provider = ReplicateProvider.from_settings({})
    with pytest.raises(MissingCredentialError) as caught:
        await provider.poll("x")
    assert str(caught.value).startswith(
        "Replicate API key is required for image/video generation. "
        "Please configure REPLICATE_API_KEY in your environment."
    )


def test_either_name_of_the_key() -> None:
    """Replicate's own clients read another name than the earlier product."""
    for name in ("REPLICATE_API_KEY", "REPLICATE_API_TOKEN"):
        assert ReplicateProvider.from_settings({name: KEY}).authorization_for("https://api.replicate.com/v1/x")
    assert not ReplicateProvider(api_key=KEY).authorization_for("https://replicate.delivery/x")


# -- files and account -------------------------------------------------------------------------------------------------


async def test_upload(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """An input file is kept for a day under an address of Replicate's API; a failed upload is tried again."""
    emulator.fault("replicate.files", "drop_before")
    uploaded = await replicate.upload(b"\x89PNG", media_type="image/png", name="a.png")
    assert uploaded.value.startswith(f"{emulator.replicate_url}/files/")
    assert uploaded.expires_at is not None
    kept = await replicate.call("GET", uploaded.value)
    assert isinstance(kept, dict)
    assert (kept["name"], kept["content_type"], kept["size"]) == ("a.png", "image/png", 4)
    emulator.fault("replicate.files", "status", status=200, body={"odd": True})
    with pytest.raises(UnexpectedResponseError):
        await replicate.upload(b"", media_type="image/png", name="a.png")


async def test_check(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """The key's owner is named; a wrong key is a finding with what to do about it."""
    (good,) = await replicate.check()
    assert good.ok
    assert good.name == "replicate"
    assert good.facts == {"username": "emulated"}
    wrong = ReplicateProvider.from_settings({**emulator.settings(), "REPLICATE_API_KEY": "r8_wrong-canary-key"})
    (bad,) = await wrong.check()
    assert not bad.ok
    assert "REPLICATE_API_KEY" in bad.hint
    assert "canary" not in bad.model_dump_json()
    (missing,) = await ReplicateProvider.from_settings({}).check()
    assert not missing.ok
    await wrong.aclose()


async def test_no_key_reaches_the_delivery_host(emulator: Emulator, replicate: ReplicateProvider) -> None:
    """Outputs are public: nothing is said to need the key."""
    state = await submit(replicate, seed=1)
    assert isinstance(state, Succeeded)
    assert all(isinstance(output, RemoteFile) and output.auth == "none" for output in state.outputs)
    assert not any(replicate.authorization_for(f"{emulator.delivery_url}/x"))
