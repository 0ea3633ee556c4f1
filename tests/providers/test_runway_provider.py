"""The Runway adapter over real HTTP: it makes media at the emulator, and types what goes wrong there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from tests.canaries import KEY

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
    UnsupportedOptionError,
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
from aifs_media.providers import runway as module
from aifs_media.providers.runway import RunwayProvider
from aifs_media.records import Failed, MediaRequest, Pending, RemoteFile, Size, Succeeded
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

pytestmark = pytest.mark.anyio

UNKNOWN = "00000000-0000-4000-8000-000000000000"
START = "https://x.example/start.png"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
async def runway(emulator: Emulator) -> AsyncIterator[RunwayProvider]:
    provider = RunwayProvider.from_settings(emulator.settings())
    yield provider
    await provider.aclose()


async def wish(
    provider: RunwayProvider, model: str = "gen4_image", kind: Any = "image", **options: Any
) -> MediaRequest:
    """Return a request as the core hands it over, with any start image in its place."""
    image = options.pop("image", None)
    if options.get("size"):
        options["size"] = Size.parse(options["size"])
    capability = await provider.describe(kind, model)
    request = MediaRequest(kind=kind, prompt="a fox", provider="runway", model=model, **options)
    inputs = model_inputs(request, capability, check=image is None).values
    if image is not None:
        inputs[capability.names["image"]] = [image] if kind == "image" else image
    return request.model_copy(update={"inputs": inputs})


async def submit(provider: RunwayProvider, *names: str, **options: Any) -> Pending | Succeeded | Failed:
    return await provider.submit(await wish(provider, *names, **options), submit_key="k")


async def made(provider: RunwayProvider, *names: str, **options: Any) -> Pending | Succeeded | Failed:
    """Return how a job ends that takes no time."""
    return await provider.poll((await submit(provider, *names, **options)).ref)


# -- making media ------------------------------------------------------------------------------------------------------


async def test_roles(runway: RunwayProvider) -> None:
    """What Runway's API allows, and what it has no call for."""
    for wanted in (Pollable, Cancellable, Catalogue, InputUploader, Checkable):
        assert role(runway, wanted) is runway
    for missing in (Findable, WebhookVerifier):
        assert role(runway, missing) is None


async def test_an_image(emulator: Emulator, runway: RunwayProvider) -> None:
    """A create, a look, a link without a key, and what it cost."""
    state = await submit(runway, size="1024x1024", seed=7)
    assert state == Pending(ref=state.ref, poll_after=5.0)
    ended = await runway.poll(state.ref)
    assert isinstance(ended, Succeeded)
    assert ended.emulated
    assert ended.cost is not None
    assert (ended.cost.amount, ended.cost.status) == (Decimal("0.05"), "reported")
    (file,) = ended.outputs
    assert isinstance(file, RemoteFile)
    assert file.auth == "none"
    assert file.expires_at is not None
    assert timedelta(hours=23) < file.expires_at - datetime.now(UTC) <= timedelta(hours=24)
    sent = emulator.last_request("runway.create")
    assert sent.path == "/runway/v1/text_to_image"
    assert sent.headers["x-runway-version"] == "2024-11-06"
    assert sent.json == {"model": "gen4_image", "promptText": "a fox", "ratio": "1024:1024", "seed": 7}


async def test_several_images(runway: RunwayProvider) -> None:
    """One task may give several links."""
    ended = await made(runway, "gpt_image_2", size="1920x1920", n=3)
    assert isinstance(ended, Succeeded)
    assert len({file.url for file in ended.outputs if isinstance(file, RemoteFile)}) == 3


@pytest.mark.parametrize("model", ["gen4.5", "veo3.1", "veo3.1_fast"])
async def test_a_video_of_a_text_and_of_an_image(emulator: Emulator, runway: RunwayProvider, model: str) -> None:
    """One model, two calls."""
    assert isinstance(await made(runway, model, "video", duration=4), Succeeded)
    assert emulator.last_request("runway.create").path == "/runway/v1/text_to_video"
    assert isinstance(await made(runway, model, "video", duration=4, image=START), Succeeded)
    assert emulator.last_request("runway.create").path == "/runway/v1/image_to_video"
    assert emulator.last_request("runway.create").json["promptImage"] == START  # type: ignore[index]


async def test_models_that_need_an_image(runway: RunwayProvider) -> None:
    """Refused without one before anything is sent; with one it is made."""
    for model, kind in (("gen4_turbo", "video"), ("gen4_image_turbo", "image")):
        with pytest.raises(UnsupportedOptionError, match="Give image="):
            await wish(runway, model, kind)
        assert isinstance(await made(runway, model, kind, image=START), Succeeded)


async def test_every_built_in_model_is_made_as_it_is_described(emulator: Emulator, runway: RunwayProvider) -> None:
    """With every size and every default the emulator, which has data of its own, has nothing to complain of."""
    emulator.switches.runway_credits = 1_000_000
    for known in runway.capabilities:
        ratios = (known.inputs or {})["ratio"]["enum"]
        assert isinstance(ratios, list)
        # The emulator knows a few of the thirty sizes of this model.
        for ratio in ratios[:2] if known.model == "gpt_image_2" else ratios:
            size = None if ratio == "auto" else str(ratio).replace(":", "x")
            assert isinstance(await submit(runway, known.model, known.kind, size=size, image=START), Pending)


async def test_throttled_queued_running(emulator: Emulator, runway: RunwayProvider) -> None:
    """More tasks than may run at a time wait their turn, which is no error."""
    emulator.switches.latency, emulator.switches.queue_time = 80, 10
    refs = [(await submit(runway)).ref for _ in range(3)]
    emulator.advance(50)
    first, _, third = [await runway.poll(ref) for ref in refs]
    assert isinstance(first, Pending)
    assert first.progress == pytest.approx(0.5, abs=0.01)
    assert third == Pending(ref=refs[2], poll_after=5.0)
    emulator.advance(41)
    states = [type(await runway.poll(ref)) for ref in refs]
    assert states == [Succeeded, Succeeded, Pending]


@pytest.mark.parametrize(
    ("fault", "text", "reason", "billed"),
    [
        ("failed", "INTERNAL.BAD_OUTPUT.CODE01", "generation_failed", "no"),
        ("failed", "", "generation_failed", "no"),
        ("moderated", "", "content_rejected", "yes"),
        ("moderated", "SAFETY.OUTPUT.IMAGE", "content_rejected", "yes"),
        ("aborted", "", "canceled", "no"),
        ("empty_output", "", "no_media", "yes"),
    ],
)
async def test_jobs_that_fail(
    emulator: Emulator, runway: RunwayProvider, fault: Any, text: str, reason: str, billed: str
) -> None:
    """What Runway reports is data, and says what is paid, as the books do."""
    emulator.fault("runway.create", fault, text=text)
    state = await made(runway)
    assert isinstance(state, Failed)
    assert (state.reason, state.billed) == (reason, billed)
    assert state.cost is not None
    assert float(state.cost.amount or 0) == emulator.books().billed("USD")


async def test_an_end_without_a_cost_has_the_estimate(emulator: Emulator, runway: RunwayProvider) -> None:
    """The create named what it may cost at most."""
    state = await submit(runway)
    old = {"id": state.ref, "status": "SUCCEEDED", "output": [f"{emulator.delivery_url}/x.png"]}
    emulator.fault("runway.get", "status", status=200, body=old)
    ended = await runway.poll(state.ref)
    assert isinstance(ended, Succeeded)
    assert ended.cost is not None
    assert (ended.cost.amount, ended.cost.status) == (Decimal("0.05"), "estimated")


async def test_links_are_fresh_at_every_look(runway: RunwayProvider) -> None:
    """So that one that no longer works can be replaced."""
    state = await submit(runway)
    first, second = await runway.poll(state.ref), await runway.poll(state.ref)
    assert isinstance(first, Succeeded)
    assert isinstance(second, Succeeded)
    assert first.outputs != second.outputs


# -- creates that are refused or lost ----------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["drop_before", "drop_after", "half_body", "truncated", "redirect"])
async def test_a_create_without_a_usable_answer_may_be_billed(
    emulator: Emulator, runway: RunwayProvider, fault: Any
) -> None:
    """Whatever came instead of a task, the create may have been accepted, and nothing invites to repeat it."""
    emulator.fault("runway.create", fault)
    with pytest.raises(MediaError) as caught:
        await submit(runway)
    assert caught.value.maybe_billed
    assert not caught.value.retryable
    assert len(emulator.books().requested("runway.create")) == 1


@pytest.mark.parametrize("body", ["{}", "[]", '{"id": 7}', "<html></html>"])
async def test_a_200_that_is_no_task_may_be_billed(emulator: Emulator, runway: RunwayProvider, body: str) -> None:
    """Nobody knows what it hides."""
    emulator.fault("runway.create", "status", status=200, body=body)
    with pytest.raises(UnexpectedResponseError) as caught:
        await submit(runway)
    assert (caught.value.maybe_billed, caught.value.retryable) == (True, False)


@pytest.mark.parametrize(("status", "billed"), [(408, True), (500, True), (504, True), (502, False), (503, False)])
async def test_creates_and_server_errors(emulator: Emulator, runway: RunwayProvider, status: int, billed: bool) -> None:  # noqa: FBT001 - one table
    """Load that is shed was not accepted; of the others nobody knows."""
    emulator.fault("runway.create", "status", status=status)
    with pytest.raises(ProviderUnavailableError) as caught:
        await submit(runway)
    assert (caught.value.maybe_billed, caught.value.retryable) == (billed, not billed)


async def test_rate_and_quota(emulator: Emulator, runway: RunwayProvider) -> None:
    """A rate passes, the limit of the day does not."""
    emulator.fault("runway.create", "status", status=429, body={"error": "Slow down."}, headers={"retry-after": "7"})
    with pytest.raises(RateLimitedError) as caught:
        await submit(runway)
    assert (caught.value.retryable, caught.value.retry_after, caught.value.maybe_billed) == (True, 7.0, False)
    emulator.fault("runway.create", "status", status=429)
    with pytest.raises(RateLimitedError, match="daily task limit") as caught:
        await submit(runway)
    assert (caught.value.retryable, caught.value.maybe_billed) == (False, False)


async def test_no_credit(emulator: Emulator, runway: RunwayProvider) -> None:
    """A 400 in Runway's words."""
    emulator.switches.runway_credits = 4
    with pytest.raises(PaymentRequiredError, match="insufficient credits") as caught:
        await submit(runway)
    assert not caught.value.maybe_billed
    (check,) = await runway.check()
    assert check.ok
    emulator.switches.runway_credits = 0
    (check,) = await runway.check()
    assert not check.ok
    assert "dev.runwayml.com" in check.hint


async def test_a_wrong_key(emulator: Emulator) -> None:
    """Create, look and check say so; and without any key the name of the setting is said."""
    wrong = RunwayProvider.from_settings({**emulator.settings(), "RUNWAYML_API_SECRET": KEY})
    with pytest.raises(AuthenticationError, match="RUNWAYML_API_SECRET"):
        await submit(wrong)
    with pytest.raises(AuthenticationError):
        await wrong.poll(UNKNOWN)
    (check,) = await wrong.check()
    assert not check.ok
    assert KEY not in repr(check)
    await wrong.aclose()
    none = RunwayProvider.from_settings({"RUNWAYML_API_SECRET": " "})
    with pytest.raises(MissingCredentialError, match="RUNWAYML_API_SECRET"):
        await submit(none)


async def test_an_input_that_is_refused(runway: RunwayProvider) -> None:
    """The prompt is counted in UTF-16 units by Runway itself, which says what is wrong."""
    request = await wish(runway)
    long = request.model_copy(update={"inputs": {**request.inputs, "promptText": "\N{FOX FACE}" * 501}})
    with pytest.raises(RequestRejectedError, match="promptText") as caught:
        await runway.submit(long, submit_key="k")
    assert not caught.value.maybe_billed


# -- asking and cancelling ---------------------------------------------------------------------------------------------


async def test_a_task_that_is_not_there(runway: RunwayProvider) -> None:
    """Neither asked for nor cancelled by us."""
    for call in (runway.poll, runway.cancel):
        with pytest.raises(JobNotFoundError, match=UNKNOWN):
            await call(UNKNOWN)


async def test_a_strange_ref_stays_in_its_path(emulator: Emulator, runway: RunwayProvider) -> None:
    """A ref is data, not part of an address."""
    with pytest.raises(JobNotFoundError):
        await runway.poll("../organization?x=")
    assert emulator.books().requested("runway.organization") == ()


@pytest.mark.parametrize(("wait", "billed", "usd"), [(50, "yes", 0.05), (5, "unknown", 0.0)])
async def test_cancel(emulator: Emulator, runway: RunwayProvider, wait: float, billed: str, usd: float) -> None:
    """A task that runs is charged all the same; afterwards Runway does not know it, and we do."""
    emulator.switches.latency, emulator.switches.queue_time = 100, 10
    state = await submit(runway)
    emulator.advance(wait)
    assert await runway.cancel(state.ref) == "cancelled"
    assert await runway.cancel(state.ref) == "cancelled"
    ended = await runway.poll(state.ref)
    assert isinstance(ended, Failed)
    assert (ended.reason, ended.billed) == ("canceled", billed)
    assert len(emulator.books().requested("runway.cancel")) == 1
    assert (emulator.books().cancels, emulator.books().billed("USD")) == (1, usd)


async def test_cancel_of_a_throttled_task(emulator: Emulator, runway: RunwayProvider) -> None:
    """It waits, so it can be stopped."""
    emulator.switches.latency, emulator.switches.runway_concurrency = 100, 1
    await submit(runway)
    waiting = await submit(runway)
    assert await runway.cancel(waiting.ref) == "cancelled"
    assert emulator.books().cancels == 1


@pytest.mark.parametrize("fault", ["slow", "failed", "aborted"])
async def test_nothing_that_has_ended_is_ever_deleted(emulator: Emulator, runway: RunwayProvider, fault: Any) -> None:
    """The same call would delete it, with its output: a look comes first."""
    emulator.fault("runway.create", fault)
    state = await submit(runway)
    assert await runway.cancel(state.ref) == "too_late"
    assert emulator.books().requested("runway.cancel") == ()
    assert not isinstance(await runway.poll(state.ref), Pending)


async def test_a_cancel_whose_answer_is_lost(emulator: Emulator, runway: RunwayProvider) -> None:
    """The task is gone, and known to have been cancelled."""
    emulator.switches.latency = 100
    state = await submit(runway)
    emulator.fault("runway.cancel", "drop_after")
    with pytest.raises(ProviderUnavailableError):
        await runway.cancel(state.ref)
    ended = await runway.poll(state.ref)
    assert isinstance(ended, Failed)
    assert ended.reason == "canceled"


async def test_a_cancel_that_did_not_arrive(emulator: Emulator, runway: RunwayProvider) -> None:
    """The task goes on, and its end is what Runway says."""
    emulator.switches.latency = 100
    state = await submit(runway)
    emulator.fault("runway.cancel", "status", status=503)
    with pytest.raises(ProviderUnavailableError):
        await runway.cancel(state.ref)
    assert isinstance(await runway.poll(state.ref), Pending)
    emulator.advance(101)
    assert isinstance(await runway.poll(state.ref), Succeeded)


async def test_only_so_many_tasks_are_remembered(runway: RunwayProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that runs for months does not grow."""
    monkeypatch.setattr(module, "REMEMBERED_TASKS", 2)
    for _ in range(4):
        await submit(runway)
    assert len(runway._estimates) == 2


@pytest.mark.parametrize("fault", ["status", "half_body", "truncated", "drop_after"])
async def test_a_look_that_fails_says_nothing(emulator: Emulator, runway: RunwayProvider, fault: Any) -> None:
    """It can be made again."""
    state = await submit(runway)
    emulator.fault("runway.get", fault)
    with pytest.raises(MediaError) as caught:
        await runway.poll(state.ref)
    assert caught.value.retryable
    assert isinstance(await runway.poll(state.ref), Succeeded)


async def test_an_unknown_status_goes_on(emulator: Emulator, runway: RunwayProvider) -> None:
    """Until the wait runs out."""
    state = await submit(runway)
    emulator.fault("runway.get", "unknown_status")
    assert isinstance(await runway.poll(state.ref), Pending)


# -- models ------------------------------------------------------------------------------------------------------------


async def test_models_that_there_are_not(runway: RunwayProvider) -> None:
    """Retired ones name what came after them; mistyped ones what is alike."""
    for kind, model, instead in (
        ("video", "veo3", "runway:veo3.1"),
        ("video", "gen3a_turbo", "runway:gen4_turbo"),
        ("image", "gen4_imag", "runway:gen4_image"),
        ("image", "gen4.5", "runway:gen4_image"),
    ):
        with pytest.raises(ModelRetiredError) as caught:
            await runway.describe(kind, model)  # type: ignore[arg-type]
        assert caught.value.suggestions[0] == instead
        assert "check_options=False" in caught.value.hint


async def test_a_model_that_runway_no_longer_takes(runway: RunwayProvider) -> None:
    """Its complaint about the model is told as what it means."""
    request = MediaRequest(kind="video", prompt="x", provider="runway", model="veo3", inputs={"promptText": "x"})
    with pytest.raises(ModelRetiredError) as caught:
        await runway.submit(request, submit_key="k")
    assert caught.value.suggestions[0] == "runway:veo3.1"
    assert not caught.value.maybe_billed


async def test_a_model_that_is_newer_than_the_data(emulator: Emulator, runway: RunwayProvider) -> None:
    """Unchecked, in the common names."""
    inputs: Any = {"prompt": "a fox", "width": 1024, "height": 1024}
    request = MediaRequest(kind="image", prompt="a fox", provider="runway", model="seedream5_lite", inputs=inputs)
    state = await runway.submit(request, submit_key="k")
    assert isinstance(await runway.poll(state.ref), Succeeded)
    assert emulator.last_request("runway.create").json == {
        "model": "seedream5_lite", "promptText": "a fox", "ratio": "1024:1024",
    }  # fmt: skip


# -- uploads -----------------------------------------------------------------------------------------------------------


async def test_upload(emulator: Emulator, runway: RunwayProvider) -> None:
    """The file goes to another host in the signed form, without the key, and the create can name it."""
    data = b"\x89PNG" + bytes(300_000)
    ref = await runway.upload(data, media_type="image/png", name="one.png")
    assert ref.value.startswith("runway://")
    assert ref.expires_at is not None
    assert emulator.last_request("runway.upload").json == {"filename": "one.png", "type": "ephemeral"}
    sent = emulator.last_request("delivery.upload")
    assert not sent.authorized
    assert "x-runway-version" not in sent.headers
    assert int(sent.headers["content-length"]) > len(data)
    assert isinstance(await made(runway, "gen4_turbo", "video", image=ref.value), Succeeded)
    with pytest.raises(RequestRejectedError, match="upload does not exist"):
        await submit(runway, "gen4_turbo", "video", image="runway://never")


@pytest.mark.parametrize("fault", ["drop_after", "status"])
async def test_an_upload_that_breaks_is_made_again(emulator: Emulator, runway: RunwayProvider, fault: Any) -> None:
    """At a fresh place, since the first may be used up."""
    emulator.fault("delivery.upload", fault, status=403)
    ref = await runway.upload(b"x", media_type="image/png", name="one.png")
    assert len(emulator.books().requested("runway.upload")) == 2
    assert isinstance(await made(runway, "gen4_turbo", "video", image=ref.value), Succeeded)


async def test_an_upload_that_never_works(emulator: Emulator, runway: RunwayProvider) -> None:
    """Is told in the end; nothing was paid."""
    emulator.fault("delivery.upload", "status", status=500, times=9)
    with pytest.raises(ProviderUnavailableError, match="host for uploads answered HTTP 500"):
        await runway.upload(b"x", media_type="image/png", name="one.png")
    assert len(emulator.books().requested("delivery.upload")) == 3


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://169.254.169.254/",
        "https://localhost/",
        "https://10.0.0.1/upload",
        "http://uploads.example.com/",
        "file:///etc/passwd",
        "https://user:password@uploads.example.com/",
    ],
)
async def test_an_upload_goes_to_no_address_that_must_not_be_reached(
    emulator: Emulator, runway: RunwayProvider, url: str
) -> None:
    """Where an input goes is named by an answer, and so is judged as an output's address is."""
    place = {"runwayUri": "runway://x", "uploadUrl": url, "fields": {}}
    emulator.fault("runway.upload", "status", status=200, body=place)
    with pytest.raises(UnsafeURLError):
        await runway.upload(b"x", media_type="image/png", name="one.png")
    assert len(emulator.books().requested("runway.upload")) == 1


async def test_an_upload_goes_to_no_host_that_is_trusted_for_another(emulator: Emulator) -> None:
    """A trusted host counts for the provider whose address or delivery host it is."""
    settings = {**emulator.settings(), "RUNWAY_DELIVERY_HOSTS": "elsewhere.example"}
    provider = RunwayProvider.from_settings(settings)
    with pytest.raises(UnsafeURLError):
        await provider.upload(b"x", media_type="image/png", name="one.png")
    await provider.aclose()
    assert emulator.books().requested("delivery.upload") == ()
