"""The documented application, served by a real server in a process of its own, told by the emulator over the network."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from aifs_media import Settings, SyncMediaGenerator
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

SNIPPETS = Path(__file__).resolve().parents[2] / "docs/snippets"
FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


class Served:
    """The application of docs/snippets/webhooks.py under uvicorn."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{free.getsockname()[1]}"
        own = emulator.settings()
        self.settings = {
            **own,
            "MEDIA_TRUSTED_HOSTS": f"{own['MEDIA_TRUSTED_HOSTS']},{self.host}",
            "MEDIA_WEBHOOK_URL": f"http://{self.host}/webhooks",
            "MEDIA_LEDGER": f"sqlite:///{folder}/media.db",
            "MEDIA_STORAGE": "local",
            "MEDIA_LOCAL_DIR": str(folder / "media"),
        }
        command = [sys.executable, "-m", "uvicorn", "webhooks:app", "--port", self.host.partition(":")[2]]
        self.process = subprocess.Popen(
            command,
            cwd=SNIPPETS,
            env={**os.environ, **self.settings},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )

    def wait_until_up(self) -> None:
        """Return when it answers."""
        deadline = time.monotonic() + 30
        while True:
            try:
                httpx.get(f"http://{self.host}/")
            except httpx.TransportError:
                assert time.monotonic() < deadline
                assert self.process.poll() is None
                time.sleep(0.05)
            else:
                return

    def close(self) -> None:
        """End the process."""
        self.process.terminate()
        self.process.communicate(timeout=20)


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator whose generations take a moment of its own clock."""
    with Emulator(latency=5) as running:
        yield running


@pytest.fixture
def served(emulator: Emulator, tmp_path: Path) -> Iterator[Served]:
    """The running application."""
    running = Served(emulator, tmp_path)
    running.wait_until_up()
    yield running
    running.close()


def test_a_job_of_another_process_is_finished_by_the_app(served: Served, emulator: Emulator, tmp_path: Path) -> None:
    """One process starts the job and goes away; the webhook lets the served one store it."""
    with SyncMediaGenerator(settings=Settings.from_env(served.settings)) as media:
        job = media.start("video", "a fox", model=FILM, duration=1)
    emulator.advance(10)
    ledger = SqliteLedger(tmp_path / "media.db")
    with SyncMediaGenerator(settings=Settings.from_env(served.settings), ledger=ledger) as media:
        deadline = time.monotonic() + 20
        while not (row := media.jobs()[0]).done:
            assert time.monotonic() < deadline, row.stage
            time.sleep(0.05)
    assert (row.job_id, row.stage) == (job.job_id, "stored")
    assert emulator.books().creates == 1
    assert (tmp_path / "media" / row.assets[0].object_key).stat().st_size == row.assets[0].size


def test_what_the_app_refuses(served: Served) -> None:
    """Strangers get an answer, and a body that is too large or never ends is not read."""
    at = f"http://{served.host}/webhooks"
    assert httpx.post(f"{at}/replicate", content=b"{}").status_code == 401
    assert httpx.post(f"{at}/nobody", content=b"{}").status_code == 404
    assert httpx.post(f"{at}/../etc/replicate", content=b"{}").status_code == 404
    assert httpx.get(f"{at}/replicate").status_code == 405
    too_much = (bytes(65536) for _ in range(32))
    assert httpx.post(f"{at}/replicate", content=too_much).status_code == 413
    with socket.create_connection((served.host.partition(":")[0], int(served.host.partition(":")[2]))) as slow:
        slow.sendall(b"POST /webhooks/replicate HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
        slow.settimeout(15)
        assert slow.recv(100).startswith(b"HTTP/1.1 408")
