"""PyPI's fal-client 1.0.3 against the emulator, unchanged. Skipped where it is not installed.

The client speaks https to the queue only, so a TLS door stands in front of the emulator; the addresses that a create answers are the
emulator's own.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

if importlib.util.find_spec("fal_client") is None:
    pytest.skip("needs fal-client", allow_module_level=True)

import trustme

from aifs_media.providers.fal import FalProvider
from aifs_media.records import MediaRequest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aifs_media.testing.emulator import Emulator

SCHNELL = "fal-ai/flux/schnell"
FILM = "minimax/h3/text-to-video"

_authority = trustme.CA()
_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
_authority.issue_cert("localhost").configure_cert(_context)
_door = socket.create_server(("127.0.0.1", 0))
# The client reads its hosts when it is imported.
os.environ["FAL_QUEUE_RUN_HOST"] = f"localhost:{_door.getsockname()[1]}/fal"
import fal_client  # noqa: E402

_behind: list[int] = []


def _pass_on(source: Any, target: Any) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _serve() -> None:
    while True:
        plain, _ = _door.accept()
        with contextlib.suppress(OSError):
            front = _context.wrap_socket(plain, server_side=True)
            back = socket.create_connection(("127.0.0.1", _behind[-1]))
            for pair in (front, back), (back, front):
                threading.Thread(target=_pass_on, args=pair, daemon=True).start()


threading.Thread(target=_serve, daemon=True).start()


@pytest.fixture
def client(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Any]:
    """The client, whose key and authority come from the environment."""
    _behind.append(int(emulator.base_url.rpartition(":")[2]))
    authority = tmp_path / "authority.pem"
    _authority.cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    monkeypatch.setenv("FAL_KEY", emulator.settings()["FAL_KEY"])
    yield fal_client.SyncClient()
    _behind.pop()


def test_subscribe(emulator: Emulator, client: Any) -> None:
    """Submit, poll to the end, and the result."""
    emulator.switches.queue_time = emulator.switches.latency = 0.2
    updates: list[Any] = []
    result = client.subscribe(
        SCHNELL, {"prompt": "a fox", "seed": 2**60}, with_logs=True, on_queue_update=updates.append
    )
    assert result["seed"] == 2**60
    assert result["images"][0]["url"].startswith(emulator.delivery_url)
    assert {type(update).__name__ for update in updates} == {"Queued", "InProgress", "Completed"}
    assert emulator.books().creates == 1


def test_status_result_and_cancel_by_id(emulator: Emulator, client: Any) -> None:
    """The client computes these addresses under owner/app, through the door."""
    done = client.submit(SCHNELL, {"prompt": "a fox"})
    assert isinstance(client.status(SCHNELL, done.request_id), fal_client.Completed)
    assert client.result(SCHNELL, done.request_id)["images"]
    emulator.switches.queue_time = 100
    waiting = client.submit(FILM, {"prompt": "a fox"}, start_timeout=50, priority="low")
    assert client.status(FILM, waiting.request_id).position == 0
    client.cancel(FILM, waiting.request_id)
    assert emulator.books().cancels == 1
    with pytest.raises(fal_client.FalClientHTTPError) as late:
        done.cancel()
    assert late.value.status_code == 400


@pytest.mark.parametrize(
    ("fault", "status", "words"),
    [("moderated", 422, "flagged"), ("aborted", 503, "Runner disconnected"), ("failed", 500, "internal server error")],
)
def test_failures(emulator: Emulator, client: Any, fault: Any, status: int, words: str) -> None:
    """The result raises what the model or the platform answered."""
    emulator.fault("fal.create", fault)
    handle = client.submit(SCHNELL, {"prompt": "a fox"})
    with pytest.raises(fal_client.FalClientHTTPError, match=words) as failed:
        handle.get()
    assert failed.value.status_code == status


def test_refusals(emulator: Emulator, client: Any) -> None:
    """No credit, bad inputs, an unknown app, a wrong key."""
    for status, model, values in (422, SCHNELL, {}), (404, "fal-ai/nothing", {"prompt": "x"}):
        with pytest.raises(fal_client.FalClientHTTPError) as refused:
            client.submit(model, values)
        assert refused.value.status_code == status
    emulator.switches.fal_credit = 0
    with pytest.raises(fal_client.FalClientHTTPError, match="Exhausted balance") as refused:
        client.submit(SCHNELL, {"prompt": "x"})
    assert refused.value.status_code == 403
    with pytest.raises(fal_client.FalClientHTTPError) as refused:
        fal_client.SyncClient(key="wrong").submit(SCHNELL, {"prompt": "x"})
    assert refused.value.status_code == 401
    assert emulator.books().creates == 0


def test_a_lost_answer_makes_two_jobs(emulator: Emulator, client: Any) -> None:
    """Known of this client, and the reason for ours not to do so: it repeats a create whose answer was lost."""
    emulator.fault("fal.create", "drop_after")
    client.submit(SCHNELL, {"prompt": "a fox"})
    assert emulator.books().creates == 2


@pytest.mark.anyio
async def test_async(emulator: Emulator, client: Any) -> None:
    """The asynchronous client."""
    result = await fal_client.AsyncClient().subscribe(FILM, {"prompt": "x", "duration": 1, "resolution": "480P"})
    assert result["video"]["content_type"] == "video/mp4"


@pytest.mark.anyio
async def test_our_request_is_theirs(emulator: Emulator, client: Any) -> None:
    """Method, path, query and body are the same, and so are the headers that mean something; the differences are these."""
    inputs: dict[str, Any] = {"prompt": "a fox", "image_size": {"width": 512, "height": 512}, "seed": 7}
    hook = "https://me.example/hook?job=a%2Fb&x=1"
    theirs_of: dict[str, Any] = {}
    ours_of: dict[str, Any] = {}

    client.submit(SCHNELL, inputs, webhook_url=hook, start_timeout=90).get()
    for route in ("fal.create", "fal.status", "fal.result"):
        theirs_of[route] = emulator.last_request(route, reveal=True)
    provider = FalProvider.from_settings(emulator.settings())
    request = MediaRequest(kind="image", prompt="a fox", model=SCHNELL, inputs=inputs, webhook=hook, lifetime=90.0)
    job = await provider.submit(request, submit_key="k")
    await provider.poll(job.ref)
    await provider.aclose()
    for route in ("fal.create", "fal.status", "fal.result"):
        ours_of[route] = emulator.last_request(route, reveal=True)

    create, ours = theirs_of["fal.create"], ours_of["fal.create"]
    assert (ours.method, ours.path, ours.query, ours.json) == (create.method, create.path, create.query, create.json)
    for name in ("authorization", "content-type"):
        assert ours.headers[name] == create.headers[name]
    # Theirs is written as 90.0; ours in whole seconds, since we round it up.
    assert float(ours.headers["x-fal-request-timeout"]) == float(create.headers["x-fal-request-timeout"])
    ids = [one.path.split("/")[-2] for one in (theirs_of["fal.status"], ours_of["fal.status"])]
    for route in ("fal.status", "fal.result"):
        theirs, ours = theirs_of[route], ours_of[route]
        assert ours.method == theirs.method
        assert ours.path.replace(ids[1], "ID") == theirs.path.replace(ids[0], "ID")
        assert ours.headers["authorization"] == theirs.headers["authorization"]
    # They say logs=false, which is what fal does without being told.
    assert (theirs_of["fal.status"].query, ours_of["fal.status"].query) == ("logs=false", "")
    # Beyond these only the names and habits of the two libraries differ.
    for route, theirs in theirs_of.items():
        differing = set(theirs.header_names) ^ set(ours_of[route].header_names)
        assert differing <= {"connection", "accept-encoding"}, (route, differing)
