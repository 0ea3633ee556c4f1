"""One job in a world of its own: an emulator, a ledger, a storage, and the processes that die over it."""

from __future__ import annotations

import functools
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from tests.proof.balance import Balance, Stored, balance

from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from types import TracebackType

    from tests.proof.processes import Run, Zygote
    from tests.servers.s3 import S3Server

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
MEBIBYTE = 1024 * 1024
# A dead process holds its job for 30 s more, and a lost create is known not to have arrived 140 s after it should have.
LATER = 300.0


@dataclass(frozen=True)
class Scenario:
    """What is asked for. `size` is that of the file in bytes, where it is not a drawn picture."""

    request: dict[str, Any]
    latency: float = 0.0
    size: int = 0


IMAGE: dict[str, Any] = {"kind": "image", "prompt": "a fox"}
VIDEO: dict[str, Any] = {"kind": "video", "prompt": "a fox"}
FILM_REQUEST = {**VIDEO, "model": FILM, "duration": 1, "size": "576x320"}
SCENARIOS = {
    # Both are held open until they are made: on a clock that only their own process moves, that must be at once.
    "image": Scenario(IMAGE),
    "chat": Scenario({**IMAGE, "model": "poe:imagen-4"}),
    "two images": Scenario({**IMAGE, "n": 2}),
    "film": Scenario(FILM_REQUEST, latency=3, size=300_000),
    "videos": Scenario({**VIDEO, "model": "poe:veo-3.1", "duration": 4}, latency=3),
    # Above 32 MiB a file goes into a bucket in parts.
    "long film": Scenario(FILM_REQUEST, latency=3, size=33 * MEBIBYTE),
}
HAS_NO_LIST = {"chat", "videos"}


class Place(Protocol):
    """Where a case stores its media."""

    def settings(self, folder: Path) -> dict[str, str]:
        """Return the settings that lead there."""
        ...

    def stored(self, folder: Path) -> Stored:
        """Look at what is really there."""
        ...


class Folder:
    """The local storage."""

    def settings(self, folder: Path) -> dict[str, str]:
        return {"MEDIA_STORAGE": "local", "MEDIA_LOCAL_DIR": str(folder / "media")}

    def stored(self, folder: Path) -> Stored:
        paths = [path for path in (folder / "media").rglob("*") if path.is_file()]
        partial = {str(path) for path in paths if path.name.startswith(".")}
        whole = {path.relative_to(folder / "media").as_posix() for path in paths if str(path) not in partial}
        return Stored(frozenset(whole), frozenset(partial))


class Bucket:
    """A real S3 server over TLS; each case has a prefix of its own."""

    def __init__(self, server: S3Server) -> None:
        self._server = server
        self._client = server.client()

    def settings(self, folder: Path) -> dict[str, str]:
        server = self._server
        return {
            "S3_ENDPOINT": server.https, "S3_BUCKET": server.bucket, "S3_ACCESS_KEY_ID": server.keys.access_key_id,
            "S3_SECRET_ACCESS_KEY": server.keys.secret_access_key, "S3_CA_BUNDLE": server.certificates.authority,
            "S3_KEY_PREFIX": self._prefix(folder), "MEDIA_STORAGE": "s3",
        }  # fmt: skip

    def stored(self, folder: Path) -> Stored:
        where = {"Bucket": self._server.bucket, "Prefix": self._prefix(folder)}
        objects = self._client.list_objects_v2(**where).get("Contents", [])
        uploads = self._client.list_multipart_uploads(**where).get("Uploads", [])
        return Stored(
            frozenset(found["Key"] for found in objects), frozenset(f"{one['Key']} {one['UploadId']}" for one in uploads)
        )

    def _prefix(self, folder: Path) -> str:
        return f"{folder.parent.name}-{folder.name}"


class Case:
    """One job. Its folder holds the ledger, and what its processes said and passed."""

    def __init__(self, zygote: Zygote, folder: Path, scenario: Scenario, place: Place, *, ledger: str = "") -> None:
        self.emulator = Emulator(latency=scenario.latency)
        self.folder = folder
        self.traces: list[list[str]] = []
        self._zygote = zygote
        self._scenario = scenario
        self._place = place
        self._ledger = ledger or f"sqlite:///{folder}/jobs.db"

    def __enter__(self) -> Case:
        self.folder.mkdir()
        self.emulator.start()
        if self._scenario.size:
            self.emulator.fault("replicate.create", "big_output", size=self._scenario.size, times=9)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.emulator.stop()

    @functools.cached_property
    def settings(self) -> dict[str, str]:
        """What a process needs to be told."""
        return {
            **self.emulator.settings(), **self._place.settings(self.folder), "MEDIA_LEDGER": self._ledger,
        }  # fmt: skip

    def start(self, mode: str, *, kill_at: str = "", backend: str = "asyncio", command: tuple[str, ...] = ()) -> Run:
        """Start a process that makes the media, recovers, or runs a command."""
        plan = {
            "mode": mode, "backend": backend, "kill_at": kill_at, "request": self._scenario.request, "command": command,
            "clock": f"{self.emulator.base_url}/_clock", "settings": self.settings, "trace": str(self._trace),
            "output": str(self.folder / "output"), "result": str(self._result),
        }  # fmt: skip
        return self._zygote.start(plan)

    def run(self, mode: str, *, kill_at: str = "", backend: str = "asyncio") -> bool:
        """Run a process to its end, or to the seam at which it dies; return whether it did."""
        return self.note(self.start(mode, kill_at=kill_at, backend=backend).end())

    def note(self, status: int) -> bool:
        """Keep what a process passed; return whether it was killed."""
        self.traces.append(self._trace.read_text().splitlines() if self._trace.exists() else [])
        self._trace.unlink(missing_ok=True)
        assert status in {0, -signal.SIGKILL}, (self.folder / "output").read_text()
        return status != 0

    def recover(self, *, backend: str = "asyncio") -> Balance:
        """Bring everything to its end in a fresh process, some minutes later, and compare."""
        self.emulator.advance(LATER)
        killed = self.run("recover", backend=backend)
        assert not killed
        return balance(self.emulator.books(), self.rows, self._place.stored(self.folder))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the ledger, as the last recovery saw them."""
        rows: list[dict[str, Any]] = json.loads(self._result.read_text())
        return rows

    @property
    def _trace(self) -> Path:
        return self.folder / "trace"

    @property
    def _result(self) -> Path:
        return self.folder / "result.json"
