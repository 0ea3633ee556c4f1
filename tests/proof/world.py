"""Jobs against the emulator with a ledger and a folder of their own, and what the emulator's books say of them afterwards."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.proof.one_time import OneTime

from aifs_media import MediaError, MediaGenerator, Settings
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.storage.local import LocalStorage
from aifs_media.testing.emulator import Emulator
from aifs_media.testing.emulator.outputs import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from aifs_media import Job
    from aifs_media._row import OnEvent
    from aifs_media.events import Event
    from aifs_media.protocols import Ledger, Storage
    from aifs_media.testing.emulator import Books

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
REQUESTS: dict[str, dict[str, Any]] = {
    "image": {"kind": "image", "model": "replicate:black-forest-labs/flux-1.1-pro", "size": "256x256"},
    "film": {"kind": "video", "model": FILM, "duration": 1, "size": "576x320"},
    "chat": {"kind": "image", "model": "poe:imagen-4"},
    "clip": {"kind": "video", "model": "poe:kling-v3-pro"},
    "videos": {"kind": "video", "model": "poe:veo-3.1", "duration": 4},
}
UNFINISHED = frozenset({"new", "intent", "unknown", "submitted", "succeeded", "storing"})
# A lost create can be on its way for so long: its `send_by`, the longest hold, and the lag of the list.
SETTLED = 300.0


class World:
    """One emulator, one ledger, one folder, one time. A generator made by `media` is one process."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.emulator = emulator
        self.folder = folder / "media"
        self.time = OneTime(emulator)
        self.events: list[Event] = []
        self.ledger = folder / "jobs.db"
        folder.mkdir(exist_ok=True)

    def media(
        self, *, on_event: OnEvent | None = None, ledger: Ledger | None = None, storage: Storage | None = None
    ) -> MediaGenerator:
        """Return a generator as a new process would make it."""
        return MediaGenerator(
            settings=Settings.from_env(self.emulator.settings()),
            storage=storage or LocalStorage(self.folder),
            ledger=ledger or SqliteLedger(self.ledger, clock=self.time),
            clock=self.time,
            on_event=on_event or self.events.append,
        )

    async def heal(self) -> None:
        """Let the troubles pass, and recover as a new process does at its start, until nothing is left to do."""
        self.emulator.clear_faults()
        for pause in (0.0, SETTLED, SETTLED):
            self.emulator.advance(pause)
            await self.media().recover()

    async def rows(self) -> dict[str, Job]:
        """Return what the ledger says, by prompt."""
        return {job.request.prompt: job for job in await self.media().jobs(limit=1000)}

    async def verify(self, *, mediocre: frozenset[str] = frozenset()) -> dict[str, Job]:
        """Compare books, ledger and folder; return the rows by prompt.

        `mediocre` are prompts whose generations succeed without media that can be fetched, so that nothing can be stored.
        """
        books, rows = self.emulator.books(), await self.rows()
        assert duplicate_creates(books) == {}
        assert lost_assets(books, rows, mediocre) == []
        named = {part.object_key for row in rows.values() for part in row.parts if part.object_key}
        present = {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
        assert present - named == set(), "orphans"
        for row in rows.values():
            for asset in row.assets:
                data = (self.folder / asset.object_key).read_bytes()
                assert (hashlib.sha256(data).hexdigest(), len(data)) == (asset.sha256, asset.size)
        assert books.leaks == 0
        return rows

    def run(self, function: Any, backend: str) -> Any:
        """Run on a fresh event loop in this world's time."""
        return self.time.run(function, backend)


def duplicate_creates(books: Books) -> dict[str, int]:
    """Return the jobs with more than one accepted create; every job has a prompt of its own."""
    prompts = [str(record.input.get("prompt")) for record in books.predictions]
    return {prompt: prompts.count(prompt) for prompt in prompts if prompts.count(prompt) > 1}


def lost_assets(books: Books, rows: dict[str, Job], mediocre: frozenset[str]) -> list[str]:
    """Return what was paid for and made, and is neither stored nor named by a row that says so."""
    lost: list[str] = []
    for record in books.predictions:
        prompt = str(record.input.get("prompt"))
        row = rows.get(prompt)
        stage = row.stage if row is not None else "no row"
        if row is not None and stage == "stored" and (not row.parts or len(row.assets) < len(row.parts)):
            stage = "said to be stored"
        known = {"stored", "uncertain"} | (
            {"failed", "expired", "storing", "submitted"} if prompt in mediocre else set()
        )
        if record.status == "succeeded" and stage not in known:
            lost.append(f"{prompt}: {stage}")
    return lost


@contextmanager
def world(folder: Path, **switches: float) -> Iterator[World]:
    """Run an emulator for one world. Its pictures are small, because what they show is not what is proved."""
    paint = Picture.encode
    Picture.encode = lambda self: paint(replace(self, width=64, height=64))
    try:
        with Emulator() as emulator:
            for name, value in switches.items():
                setattr(emulator.switches, name, value)
            yield World(emulator, folder)
    finally:
        Picture.encode = paint


async def attempt(media: MediaGenerator, request: dict[str, Any], prompt: str, **options: Any) -> MediaError | None:
    """Make something; return the error it ended with. Anything but a MediaError is raised."""
    wanted = {name: value for name, value in request.items() if name != "kind"}
    make = media.image if request["kind"] == "image" else media.video
    try:
        await make(prompt, **wanted, **options)
    except MediaError as error:
        return error
    return None
