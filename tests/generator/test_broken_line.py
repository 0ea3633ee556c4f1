"""The line to the provider, or to its delivery host, breaks at any byte: one create, one asset, and nobody waits too long."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.proof.world import REQUESTS, World, attempt, world
from tests.servers.tcp_proxy import REFUSED, Script, TcpProxy

from aifs_media import DownloadError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aifs_media import MediaError

TIMEOUT = 20.0
# The machine's own time counts too.
SLACK = 5.0


@contextmanager
def behind_proxies(folder: Path) -> Iterator[tuple[World, TcpProxy, TcpProxy]]:
    """Run a world whose provider and delivery host are reached through a proxy each."""
    with world(folder) as one:
        inside = one.emulator._world
        with TcpProxy(inside.base_url).running() as api, TcpProxy(inside.delivery_url).running() as delivery:
            inside.base_url, inside.delivery_url = f"http://{api.host}", f"http://{delivery.host}"
            yield one, api, delivery


def make(one: World, backend: str, name: str = "image") -> tuple[MediaError | None, float]:
    """Make something; return its error and how long it took."""

    async def main() -> tuple[MediaError | None, float]:
        began = one.time.monotonic()
        error = await attempt(one.media(), REQUESTS[name], "a fox", timeout=TIMEOUT, job_id="fox")
        return error, one.time.monotonic() - began

    return one.run(main, backend)


def stage_afterwards(one: World, backend: str) -> str:
    """Recover, compare with the books, and return the job's stage."""

    async def main() -> str:
        await one.heal()
        return (await one.verify())["a fox"].stage

    return one.run(main, backend)


@pytest.mark.parametrize(
    "script",
    [Script(received=1), Script(received=40, then="close"), Script(received=1, then="stall"), Script(received=400)],
    ids=str,
)
def test_a_create_whose_answer_is_cut(tmp_path: Path, anyio_backend: str, script: Script) -> None:
    """The create was sent and accepted, and its answer breaks off: it is found in the list and made once."""
    with behind_proxies(tmp_path / "one") as (one, api, _):
        api.scripts.append(script)
        error, seconds = make(one, anyio_backend)
        assert one.emulator.books().creates == 1
        assert error is None
        assert seconds <= TIMEOUT + 6.0 + SLACK
        assert stage_afterwards(one, anyio_backend) == "stored"


@pytest.mark.parametrize(
    "script", [REFUSED, Script(sent=100), Script(sent=300), Script(sent=100, then="stall")], ids=str
)
def test_a_create_that_is_cut_on_its_way(tmp_path: Path, anyio_backend: str, script: Script) -> None:
    """The provider never had the whole request: nothing is billed, and it is sent again when that is sure."""
    with behind_proxies(tmp_path / "one") as (one, api, _):
        api.scripts.append(script)
        _, seconds = make(one, anyio_backend)
        assert one.emulator.books().creates <= 1
        assert seconds <= TIMEOUT + 6.0 + SLACK
        assert stage_afterwards(one, anyio_backend) in {"stored", "new"}


@pytest.mark.parametrize("name", ["chat", "videos"])
def test_a_create_without_a_list_is_said_to_be_uncertain(tmp_path: Path, anyio_backend: str, name: str) -> None:
    """Poe has no list: it is not sent again, and the row says so."""
    with behind_proxies(tmp_path / "one") as (one, api, _):
        api.scripts += [Script(received=1)]
        error, _ = make(one, anyio_backend, name)
        assert error is not None
        assert error.maybe_billed
        assert stage_afterwards(one, anyio_backend) == "uncertain"
        assert one.emulator.books().creates == 1


@pytest.mark.parametrize(
    "script",
    [
        REFUSED,
        Script(sent=20),
        Script(received=1),
        Script(received=150, then="close"),
        Script(received=1_000),
        Script(received=1_500, then="close"),
        Script(received=1_000, then="stall"),
        Script(piece=300, pause=0.001),
    ],
    ids=str,
)
def test_a_download_that_breaks_is_resumed(tmp_path: Path, anyio_backend: str, script: Script) -> None:
    """Two connections break, in the head or in the body; the asset is whole."""
    with behind_proxies(tmp_path / "one") as (one, _, delivery):
        delivery.scripts += [script] * 2
        error, seconds = make(one, anyio_backend)
        assert error is None
        assert seconds <= 2 * (30.0 + 2.0) + SLACK
        assert stage_afterwards(one, anyio_backend) == "stored"


@pytest.mark.parametrize("script", [Script(received=300), Script(received=150, then="stall")], ids=str)
def test_a_download_that_never_gets_through(tmp_path: Path, anyio_backend: str, script: Script) -> None:
    """Three attempts, then a typed error; later it is stored."""
    with behind_proxies(tmp_path / "one") as (one, _, delivery):
        delivery.scripts += [script] * 3
        error, seconds = make(one, anyio_backend)
        assert isinstance(error, DownloadError)
        assert seconds <= 3 * 30.0 + 1.0 + 2.0 + SLACK
        assert delivery.connections == 3
        assert stage_afterwards(one, anyio_backend) == "stored"


def test_a_download_that_trickles(tmp_path: Path, anyio_backend: str) -> None:
    """Bytes come, and too few of them: it ends within minutes of reading, and is stored later."""
    with behind_proxies(tmp_path / "one") as (one, _, delivery):
        delivery.scripts.append(Script(piece=80, pause=0.25, at_once=600))
        error, seconds = make(one, anyio_backend)
        assert isinstance(error, DownloadError)
        assert "slower than" in str(error)
        assert seconds <= 300.0
        assert stage_afterwards(one, anyio_backend) == "stored"
