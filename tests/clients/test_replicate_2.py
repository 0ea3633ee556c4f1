"""PyPI's replicate 2.0.0b4 against the emulator, unchanged. Skipped where another version or none is installed."""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

replicate = pytest.importorskip("replicate")
if not metadata.version("replicate").startswith("2."):
    pytest.skip("needs replicate 2.x", allow_module_level=True)

from replicate.lib._files import AsyncFileOutput, FileOutput  # noqa: E402 - only where it is installed

if TYPE_CHECKING:
    from aifs_media.testing.emulator import Emulator

SCHNELL = "black-forest-labs/flux-schnell"
LIGHTNING = "5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637"
TOKEN = "REPLICATE_API_KEY"
ERRORS = {401: "AuthenticationError", 402: "APIStatusError", 422: "UnprocessableEntityError", 429: "RateLimitError"}


def options(emulator: Emulator, **more: Any) -> dict[str, Any]:
    """Point a client at the emulator."""
    return {"bearer_token": emulator.settings()[TOKEN], "base_url": emulator.replicate_url, "max_retries": 0, **more}


@pytest.fixture
def client(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The synchronous client."""
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.01")
    return replicate.Replicate(**options(emulator))


def test_run_and_download(emulator: Emulator, client: Any) -> None:
    """A held create; the client's own download keeps the token to itself."""
    (url,) = client.run(SCHNELL, input={"prompt": "a fox"})
    # The client turns only https links into files by itself.
    assert FileOutput(url, client).read()[8:12] == b"WEBP"
    assert emulator.books().leaks == 0


def test_run_with_the_file_in_the_answer(emulator: Emulator, client: Any) -> None:
    """A data URI where a link may stand."""
    emulator.fault("replicate.create", "data_uri")
    (file,) = client.run(SCHNELL, input={"prompt": "a fox"})
    assert file.read()[8:12] == b"WEBP"


def test_create_get_wait(emulator: Emulator, client: Any) -> None:
    """Every way to create, with a deadline, and waiting."""
    by_model = client.models.predictions.create(
        model_owner="black-forest-labs", model_name="flux-schnell", input={"prompt": "a fox"}, cancel_after="1m"
    )
    by_name = client.predictions.create(version=SCHNELL, input={"prompt": "a fox"})
    by_version = client.predictions.create(version=LIGHTNING, input={"prompt": "a fox"})
    for prediction in (by_model, by_name, by_version):
        assert prediction.status == "starting"
        assert client.predictions.wait(prediction.id).status == "succeeded"
        assert client.predictions.get(prediction_id=prediction.id).output
    assert by_model.deadline is not None
    assert emulator.books().creates == 3


def test_cancel(emulator: Emulator, client: Any) -> None:
    """A running one is canceled."""
    emulator.switches.latency = 1000
    prediction = client.predictions.create(version=SCHNELL, input={"prompt": "a fox"})
    assert client.predictions.cancel(prediction_id=prediction.id).status == "canceled"
    assert emulator.books().cancels == 1


def test_list(client: Any) -> None:
    """The pages follow one another by themselves."""
    for number in range(103):
        client.predictions.create(version=SCHNELL, input={"prompt": str(number)})
    assert len(list(client.predictions.list())) == 103


def test_model_and_schema(client: Any) -> None:
    """A model, its version, and its inputs."""
    model = client.models.get(model_owner="anotherjesse", model_name="zeroscope-v2-xl")
    version = client.models.versions.get(
        model_owner="anotherjesse", model_name="zeroscope-v2-xl", version_id=model.latest_version.id
    )
    assert "num_frames" in version.openapi_schema["components"]["schemas"]["Input"]["properties"]


def test_account_secret_and_files(client: Any) -> None:
    """Who am I, the webhook secret, and an upload."""
    assert client.account.get().username == "emulated"
    assert client.webhooks.default.secret.get().key.startswith("whsec_")
    file = client.files.create(content=b"hello")
    assert client.files.get(file_id=file.id).size == 5
    client.files.delete(file_id=file.id)


@pytest.mark.parametrize("status", sorted(ERRORS))
def test_errors(emulator: Emulator, client: Any, status: int) -> None:
    """Each status has the client's own error."""
    if status == 401:
        client = replicate.Replicate(**options(emulator, bearer_token="r8_wrong"))
    emulator.switches.replicate_credit = {402: 0.0, 429: 4.0}.get(status, 100.0)
    values = {} if status == 422 else {"prompt": "a fox"}
    with pytest.raises(getattr(replicate, ERRORS[status])) as caught:
        for _ in range(2):
            client.predictions.create(version=SCHNELL, input=values)
    assert caught.value.status_code == status


def test_a_lost_answer_is_paid_several_times(emulator: Emulator) -> None:
    """The client repeats a create whose answer was lost: the books show what that costs."""
    emulator.fault("replicate.create", "drop_after", times=2)
    client = replicate.Replicate(**options(emulator, max_retries=2))
    client.predictions.create(version=SCHNELL, input={"prompt": "a fox"})
    assert emulator.books().creates == 3
    assert list(emulator.books().duplicates.values()) == [3]


@pytest.mark.anyio
async def test_async(emulator: Emulator) -> None:
    """Create, get, list, cancel, run and download."""
    async with replicate.AsyncReplicate(**options(emulator)) as client:
        prediction = await client.predictions.create(version=SCHNELL, input={"prompt": "a fox"})
        assert (await client.predictions.wait(prediction.id)).status == "succeeded"
        assert len([one async for one in client.predictions.list()]) == 1
        (url,) = await client.run(SCHNELL, input={"prompt": "a cat"})
        assert (await AsyncFileOutput(url, client).read())[8:12] == b"WEBP"
        emulator.switches.latency = 1000
        running = await client.predictions.create(version=SCHNELL, input={"prompt": "a dog"})
        assert (await client.predictions.cancel(prediction_id=running.id)).status == "canceled"
        model = await client.models.get(model_owner="black-forest-labs", model_name="flux-schnell")
        assert model.latest_version.openapi_schema["components"]["schemas"]["Input"]
        assert (await client.webhooks.default.secret.get()).key.startswith("whsec_")
        with pytest.raises(replicate.UnprocessableEntityError, match="prompt is required"):
            await client.predictions.create(version=SCHNELL, input={})
    assert emulator.books().creates == 3
