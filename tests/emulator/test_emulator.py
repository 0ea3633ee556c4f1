"""The emulator itself: start and stop, books, clock, settings, as a program, from both event loops."""

from __future__ import annotations

import ast
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from aifs_media.testing import emulator as package
from aifs_media.testing.emulator import Emulator
from aifs_media.testing.emulator.clock import moment_of, stamp
from aifs_media.testing.emulator.outputs import OutputFile, OutputShelf, Picture

if TYPE_CHECKING:
    from collections.abc import Iterator

SCHNELL = "black-forest-labs/flux-schnell"


@pytest.mark.anyio
async def test_it_serves_clients_on_any_loop(emulator: Emulator) -> None:
    """A hundred creates at once, each accepted once."""
    headers = {"authorization": f"Bearer {emulator.settings()['REPLICATE_API_KEY']}"}

    async def create(client: httpx.AsyncClient, number: int) -> None:
        body = {"version": SCHNELL, "input": {"prompt": str(number)}}
        assert (await client.post("/predictions", json=body)).status_code == 201

    limits = httpx.Limits(max_connections=8)
    async with (
        httpx.AsyncClient(
            base_url=emulator.replicate_url, headers=headers, limits=limits, timeout=10, trust_env=False
        ) as client,
        anyio.create_task_group() as group,
    ):
        for number in range(100):
            group.start_soon(create, client, number)
    assert emulator.books().creates == 100
    assert emulator.books().duplicates == {}


def test_settings_point_a_client_here(emulator: Emulator) -> None:
    """Base URLs, keys, and both hosts as trusted ones."""
    settings = emulator.settings()
    assert settings["REPLICATE_BASE_URL"] == emulator.replicate_url == f"{emulator.base_url}/replicate/v1"
    assert settings["POE_API_URL"] == emulator.poe_url == f"{emulator.base_url}/poe/v1"
    hosts = settings["MEDIA_TRUSTED_HOSTS"].split(",")
    assert [f"http://{host}" for host in hosts] == [emulator.base_url, emulator.delivery_url]
    assert set(settings) >= {"REPLICATE_API_KEY", "POE_API_KEY"}


def test_books_count_duplicates_and_find_prompts(
    emulator: Emulator, replicate: httpx.Client, web: httpx.Client
) -> None:
    """The same over HTTP as in Python."""
    for prompt in ("a fox", "a fox", "a cat"):
        replicate.post("/predictions", json={"version": SCHNELL, "input": {"prompt": prompt}})
    books = emulator.books()
    assert books.creates == 3
    assert list(books.duplicates.values()) == [2]
    assert len(books.created("a fox")) == 2
    over_http = web.get(f"{emulator.base_url}/_books").json()
    assert (over_http["creates"], over_http["duplicates"]) == (3, books.duplicates)
    assert over_http["billed"] == {"USD": 0.009, "points": 0}
    assert over_http["predictions"][0]["input"] == {"prompt": "a fox"}


def test_the_last_request_can_be_looked_at(emulator: Emulator, replicate: httpx.Client, web: httpx.Client) -> None:
    """With its JSON; the key is masked unless asked for, and in the books always."""
    token = emulator.settings()["REPLICATE_API_KEY"]
    with pytest.raises(LookupError, match="No request has reached"):
        emulator.last_request("replicate.create")
    replicate.post("/predictions", json={"version": SCHNELL, "input": {"prompt": "x"}}, headers={"prefer": "wait=1"})
    last = emulator.last_request("replicate.create")
    assert (last.method, last.path, last.json) == (
        "POST",
        "/replicate/v1/predictions",
        {"version": SCHNELL, "input": {"prompt": "x"}},
    )
    assert (last.headers["prefer"], last.headers["authorization"]) == ("wait=1", "Bearer ***")
    assert emulator.last_request("replicate.create", reveal=True).headers["authorization"] == f"Bearer {token}"
    assert token not in repr(emulator.books())
    assert token not in web.get(f"{emulator.base_url}/_books").text


def test_the_clock_only_goes_forward(emulator: Emulator, web: httpx.Client) -> None:
    """From Python and over HTTP."""
    before = emulator.clock.now()
    assert emulator.advance(100) >= before + 100
    door = f"{emulator.base_url}/_clock"
    assert web.post(door, json={"advance": 50}).json()["now"] >= before + 150
    assert web.get(door).json()["now"] >= before + 150
    assert web.post(door, json={"advance": -1}).status_code == 422
    assert web.post(door, json={}).status_code == 422
    with pytest.raises(ValueError, match="cannot go back"):
        emulator.advance(-1)


@pytest.mark.parametrize(("digits", "text"), [(0, "2026-01-02T03:04:05Z"), (3, "2026-01-02T03:04:05.250Z")])
def test_times_are_written_and_read(digits: int, text: str) -> None:
    """With so many digits, in UTC."""
    moment = 1767323045.25
    assert stamp(moment, digits) == text
    assert moment_of(stamp(moment, 9)) == moment
    assert moment_of("2026-01-02T04:04:05.25+01:00") == moment


def test_unknown_paths(emulator: Emulator, replicate: httpx.Client, web: httpx.Client) -> None:
    """404 in the provider's own words."""
    assert replicate.get("/collections").json()["detail"] == "The requested resource could not be found."
    assert web.get(f"{emulator.base_url}/elsewhere").status_code == 404


def test_hanging_clients_do_not_hold_up_the_end() -> None:
    """Stopping takes less than half a second and the hung client sees its connection end."""
    errors: list[Exception] = []
    arrived = threading.Event()
    with Emulator() as running:
        running.fault("poe.models", "hang")

        def hang() -> None:
            try:
                arrived.set()
                httpx.get(f"{running.poe_url}/models", timeout=30, trust_env=False)
            except httpx.HTTPError as error:
                errors.append(error)

        client = threading.Thread(target=hang)
        client.start()
        arrived.wait()
        while not running.books().requests:
            time.sleep(0.005)
        began = time.monotonic()
    assert time.monotonic() - began < 0.5
    client.join(5)
    assert len(errors) == 1


def test_a_taken_port_is_an_error_with_a_way_out(emulator: Emulator) -> None:
    """It names the port."""
    port = int(emulator.base_url.rpartition(":")[2])
    with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}.*Choose another port"):
        Emulator(port=port).start()


def test_an_emulator_runs_once(emulator: Emulator) -> None:
    """Books and clock belong to one run."""
    with pytest.raises(RuntimeError, match="Make a new one"):
        emulator.start()


def test_ports_are_free_again() -> None:
    """At once."""
    with Emulator() as first:
        port = int(first.base_url.rpartition(":")[2])
    with Emulator(port=port) as second:
        assert second.base_url == first.base_url


def test_it_listens_on_loopback_only(emulator: Emulator) -> None:
    """No other address of this machine answers."""
    port = int(emulator.base_url.rpartition(":")[2])
    with socket.socket() as outside:
        outside.settimeout(1)
        assert outside.connect_ex(("127.0.0.2", port)) != 0


@pytest.fixture
def program() -> Iterator[subprocess.Popen[str]]:
    """The emulator as a program."""
    command = [sys.executable, "-m", "aifs_media.testing.emulator", "--port", "0"]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": paths})
    yield process
    process.kill()
    process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_program_says_when_it_is_ready_and_ends_on_a_signal(
    program: subprocess.Popen[str], number: signal.Signals, web: httpx.Client
) -> None:
    """One line of JSON with URLs and settings; exit code 0."""
    assert program.stdout is not None
    ready = json.loads(program.stdout.readline())
    assert web.get(f"{ready['poe_url']}/models").status_code == 200
    assert ready["settings"]["POE_API_URL"] == ready["poe_url"]
    program.send_signal(number)
    assert program.wait(5) == 0
    assert program.stdout.read() == ""


def test_it_imports_nothing_of_the_library() -> None:
    """Not its own folder's code but nothing else of it either: a shared helper would be a shared mistake."""
    own = package.__name__
    foreign: list[str] = []
    for file in Path(str(package.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            foreign += [
                f"{file.name}: {name}" for name in names if name.startswith("aifs_media") and not name.startswith(own)
            ]
            assert not (isinstance(node, ast.ImportFrom) and node.level), file
    assert foreign == []


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "av", "PIL"])
def test_without_the_extra_it_says_how_to_install_it(missing: str) -> None:
    """The error names the module and the command."""
    code = f"import sys; sys.modules[{missing!r}] = None; import aifs_media.testing.emulator"
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert process.returncode == 1
    assert "pip install 'aifs-media[emulator]'" in process.stderr


@pytest.mark.anyio
async def test_made_files_are_forgotten_and_made_again() -> None:
    """The longest unused go first, and come back the same."""
    shelf = OutputShelf(most_bytes=1000)
    files = [
        OutputFile(f"/{number}", Picture("a fox", 64, 64, number, "png"), owner="", available_at=0)
        for number in range(3)
    ]
    first = [await shelf.read(file) for file in files]
    assert len(set(first)) == 3
    assert [await shelf.read(file) for file in files] == first
    kept = [file for file in files if file._data is not None]
    assert kept == files[-1:]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_json_does_not_have(
    emulator: Emulator, replicate: httpx.Client, web: httpx.Client, number: str
) -> None:
    """They are refused, as services do, and do not get into the books."""
    body = f'{{"version": "black-forest-labs/flux-dev", "input": {{"prompt": "a fox", "guidance": {number}}}}}'
    assert replicate.post("/predictions", content=body).status_code == 422
    assert web.get(f"{emulator.base_url}/_books").json()["creates"] == 0
