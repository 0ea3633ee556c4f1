"""One job in a world of its own: an emulator, a ledger, a storage, and the processes that die over it."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import signal
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import psycopg
from tests.proof.balance import Balance, Stored, balance
from tests.proof.processes import LIMIT

from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path
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


IMAGE: dict[str, Any] = {"kind": "image", "prompt": "a fox", "n": 1}
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
            frozenset(found["Key"] for found in objects),
            frozenset(f"{one['Key']} {one['UploadId']}" for one in uploads),
        )

    def _prefix(self, folder: Path) -> str:
        return f"{folder.parent.name}-{folder.name}"


class Ledgers(Protocol):
    """Where jobs are recorded."""

    def address(self, folder: Path) -> str:
        """Return the address of an empty ledger."""
        ...

    def end_leases(self, address: str) -> None:
        """Let the lease of a dead process end, if the emulator's clock does not."""
        ...


class SqliteLedgers:
    """One file for each case. Its leases end on the emulator's clock."""

    def address(self, folder: Path) -> str:
        return f"sqlite:///{folder}/jobs.db"

    def end_leases(self, address: str) -> None:
        return


class PostgresLedgers:
    """One schema for each case. Leases end on the server's own clock, which nobody moves, so that they are ended by hand."""

    def __init__(self, server: str) -> None:
        self._server = server

    def address(self, folder: Path) -> str:
        schema = f"proof_{uuid.uuid4().hex}"
        with psycopg.connect(self._server, autocommit=True) as connection:
            connection.execute(f"create schema {schema}")
        separator = "&" if "?" in self._server else "?"
        return f"{self._server}{separator}options=-csearch_path%3D{schema}"

    def end_leases(self, address: str) -> None:
        with (
            psycopg.connect(address, autocommit=True) as connection,
            contextlib.suppress(psycopg.errors.UndefinedTable),
        ):
            connection.execute("update aifs_media_jobs set lease_expires_at = clock_timestamp()")


class Worlds:
    """Makes cases in one kind of world."""

    def __init__(self, zygote: Zygote, folder: Path, place: Place, ledgers: Ledgers) -> None:
        self.zygote = zygote
        self.place = place
        self.ledgers = ledgers
        self._folder = folder
        self._made = itertools.count()

    def case(self, name: str, **changes: Any) -> Case:
        """Return one job of a scenario, in a world of its own."""
        folder = self._folder / f"{next(self._made)}"
        return Case(self, folder, dataclasses.replace(SCENARIOS[name], **changes))

    def seams(self, name: str) -> list[str]:
        """Return the seams that a job passes when nobody kills it, in their order."""
        with self.case(name) as case:
            killed = case.run("make")
            assert not killed
            return case.traces[0]


class Case:
    """One job. Its folder holds the ledger, and what its processes said and passed."""

    def __init__(self, worlds: Worlds, folder: Path, scenario: Scenario) -> None:
        self.emulator = Emulator(latency=scenario.latency)
        self.folder = folder
        self.traces: list[list[str]] = []
        self._worlds = worlds
        self._scenario = scenario

    def __enter__(self) -> Self:
        self.folder.mkdir()
        self._ledger = self._worlds.ledgers.address(self.folder)
        self.emulator.start()
        if self._scenario.size:
            self.emulator.fault("replicate.create", "big_output", size=self._scenario.size, times=9)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.emulator.stop()

    def start(
        self,
        mode: str,
        *,
        kill_at: str = "",
        backend: str = "asyncio",
        command: Sequence[str] = (),
        watched: bool = False,
    ) -> Run:
        """Start a process that makes the media, recovers, or runs a command."""
        place = self._worlds.place.settings(self.folder)
        plan = {
            "mode": mode, "backend": backend, "kill_at": kill_at, "request": self._scenario.request, "command": command,
            "watched": str(self.folder) if watched else "",
            "clock": f"{self.emulator.base_url}/_clock", "trace": str(self._trace), "result": str(self._result),
            "output": str(self.folder / "output"),
            "settings": {**self.emulator.settings(), **place, "MEDIA_LEDGER": self._ledger},
        }  # fmt: skip
        return self._worlds.zygote.start(plan)

    def run(self, mode: str, *, kill_at: str = "", backend: str = "asyncio") -> bool:
        """Run a process to its end, or to the seam at which it dies; return whether it did."""
        status = self.note(self.start(mode, kill_at=kill_at, backend=backend))
        assert status in {0, -signal.SIGKILL}, self.output
        return status != 0

    def note(self, run: Run, *, within: float = LIMIT) -> int:
        """Wait for a process, keep the seams that it passed, and return its exit code or minus its signal."""
        status = run.end(within=within)
        self.traces.append(self._trace.read_text().splitlines() if self._trace.exists() else [])
        self._trace.unlink(missing_ok=True)
        return status

    def pass_time(self) -> None:
        """Let the minutes go by that a restart takes."""
        self.emulator.advance(LATER)
        self._worlds.ledgers.end_leases(self._ledger)

    def recover(self, *, backend: str = "asyncio") -> Balance:
        """Bring everything to its end in a fresh process, some minutes later, and compare."""
        self.pass_time()
        killed = self.run("recover", backend=backend)
        assert not killed
        return balance(self.emulator.books(), self.rows, self._worlds.place.stored(self.folder))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the ledger, as the last recovery saw them."""
        rows: list[dict[str, Any]] = json.loads(self._result.read_text())
        return rows

    @property
    def command(self) -> list[str]:
        """The command that asks for the same."""
        request = dict(self._scenario.request)
        words = [request.pop("kind"), request.pop("prompt"), "--job-id", "the-job", "--on-cancel", "cancel"]
        number = request.pop("n", 1)
        words += ["-n", str(number)] if number > 1 else []
        return words + [word for name, value in request.items() for word in (f"--{name}", str(value))]

    @property
    def output(self) -> str:
        """What the processes said."""
        return (self.folder / "output").read_text()

    @property
    def _trace(self) -> Path:
        return self.folder / "trace"

    @property
    def _result(self) -> Path:
        return self.folder / "result.json"
