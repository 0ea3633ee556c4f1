"""PyPI's replicate 1.0.7 against the emulator, unchanged. Skipped where another version or none is installed."""

from __future__ import annotations

import base64
import hmac
import json
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

import pytest

replicate = pytest.importorskip("replicate")
if not metadata.version("replicate").startswith("1."):
    pytest.skip("needs replicate 1.x", allow_module_level=True)

from replicate.exceptions import ReplicateError  # noqa: E402 - only where it is installed
from replicate.helpers import FileOutput  # noqa: E402
from replicate.webhook import Webhooks  # noqa: E402

if TYPE_CHECKING:
    from aifs_media.testing.emulator import Emulator

SCHNELL = "black-forest-labs/flux-schnell"
LIGHTNING = "5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637"
TOKEN = "REPLICATE_API_KEY"


@pytest.fixture
def client(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The client, which adds /v1 itself."""
    monkeypatch.setenv("REPLICATE_POLL_INTERVAL", "0.01")
    return replicate.Client(api_token=emulator.settings()[TOKEN], base_url=f"{emulator.base_url}/replicate")


def test_run_and_download(emulator: Emulator, client: Any) -> None:
    """A held create; the client's own download sends the token to the delivery host, which the books show."""
    (url,) = client.run(SCHNELL, input={"prompt": "a fox"})
    # The client turns only https links into files by itself.
    assert FileOutput(url, client).read()[8:12] == b"WEBP"
    assert emulator.books().leaks == 1


def test_run_with_the_file_in_the_answer(emulator: Emulator, client: Any) -> None:
    """A data URI where a link may stand."""
    emulator.fault("replicate.create", "data_uri")
    (file,) = client.run(SCHNELL, input={"prompt": "a fox"})
    assert file.read()[8:12] == b"WEBP"


def test_create_get_wait(emulator: Emulator, client: Any) -> None:
    """Every way to create; progress and output after waiting."""
    by_model = client.models.predictions.create(SCHNELL, input={"prompt": "a fox"})
    by_version = client.predictions.create(version=LIGHTNING, input={"prompt": "a fox"})
    for prediction in (by_model, by_version):
        assert prediction.status == "starting"
        prediction.wait()
        assert prediction.status == "succeeded"
        assert prediction.progress.percentage == 1
        assert client.predictions.get(prediction.id).output == prediction.output
    assert emulator.books().creates == 2


def test_cancel(emulator: Emulator, client: Any) -> None:
    """A running one is canceled."""
    emulator.switches.latency = 1000
    prediction = client.models.predictions.create(SCHNELL, input={"prompt": "a fox"})
    prediction.cancel()
    prediction.reload()
    assert prediction.status == "canceled"
    assert emulator.books().cancels == 1


def test_list(client: Any) -> None:
    """Two pages."""
    for number in range(103):
        client.models.predictions.create(SCHNELL, input={"prompt": str(number)})
    page = client.predictions.list()
    assert len(page.results) == 100
    assert len(client.predictions.list(page.next).results) == 3


def test_model_and_schema(client: Any) -> None:
    """A model, its version, and its inputs."""
    model = client.models.get("anotherjesse/zeroscope-v2-xl")
    version = model.versions.get(model.latest_version.id)
    assert "num_frames" in version.openapi_schema["components"]["schemas"]["Input"]["properties"]
    assert [one.id for one in model.versions.list()] == [version.id]


def test_account_and_files(client: Any) -> None:
    """Who am I, and an upload."""
    assert client.accounts.current().username == "emulated"
    with open(__file__, "rb") as source:
        file = client.files.create(source)
    assert client.files.get(file.id).size == file.size
    client.files.delete(file.id)


def test_webhook_secret(client: Any) -> None:
    """The client's own check accepts what is signed with it."""
    secret = client.webhooks.default.secret()
    body, sent = json.dumps({"id": "x"}), str(int(time.time()))
    key = base64.b64decode(secret.key.removeprefix("whsec_"))
    digest = base64.b64encode(hmac.digest(key, f"msg_1.{sent}.{body}".encode(), "sha256")).decode()
    headers = {"webhook-id": "msg_1", "webhook-timestamp": sent, "webhook-signature": f"v1,{digest}"}
    Webhooks.validate(headers=headers, body=body, secret=secret)


@pytest.mark.parametrize("status", [401, 402, 422, 429])
def test_errors(emulator: Emulator, client: Any, status: int) -> None:
    """The status and the detail arrive."""
    if status == 401:
        client = replicate.Client(api_token="r8_wrong", base_url=f"{emulator.base_url}/replicate")
    emulator.switches.replicate_credit = {402: 0.0, 429: 4.0}.get(status, 100.0)
    values = {} if status == 422 else {"prompt": "a fox"}
    with pytest.raises(ReplicateError) as caught:
        for _ in range(2):
            client.models.predictions.create(SCHNELL, input=values)
    assert caught.value.status == status
    assert caught.value.detail


@pytest.mark.anyio
async def test_async(emulator: Emulator, client: Any) -> None:
    """Create, get, list, cancel, run and download."""
    prediction = await client.models.predictions.async_create(SCHNELL, input={"prompt": "a fox"})
    await prediction.async_wait()
    assert (await client.predictions.async_get(prediction.id)).status == "succeeded"
    assert len((await client.predictions.async_list()).results) == 1
    (url,) = await client.async_run(SCHNELL, input={"prompt": "a cat"})
    assert (await FileOutput(url, client).aread())[8:12] == b"WEBP"
    emulator.switches.latency = 1000
    running = await client.models.predictions.async_create(SCHNELL, input={"prompt": "a dog"})
    await running.async_cancel()
    assert (await client.predictions.async_get(running.id)).status == "canceled"
    model = await client.models.async_get(SCHNELL)
    assert model.latest_version.openapi_schema["components"]["schemas"]["Input"]
    assert (await client.webhooks.default.async_secret()).key.startswith("whsec_")
    with pytest.raises(ReplicateError, match="prompt is required"):
        await client.models.predictions.async_create(SCHNELL, input={})
    assert emulator.books().creates == 3
