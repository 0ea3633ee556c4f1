"""Thousands of jobs against an emulator that breaks 5 % of them, while their process is killed every few seconds.

    nox -s soak -- --jobs 3000
    python benchmarks/soak.py --jobs 600 --backend trio

A worker (`soak_worker.py`) makes pictures with 40 jobs at a time, a SQLite ledger and a local folder. Every few seconds it is killed
with SIGKILL, and a fresh one calls `recover()` and goes on. The last part of the jobs is left to one worker that lives, so that
its memory and its file descriptors can be watched. The emulator's clock and the worker's run faster than real time, because
Replicate takes 600 creates a minute. In the end the emulator's books are compared with the folder and the ledger:

- duplicate_creates: accepted creates of one job beyond one
- lost_assets: predictions that succeeded and were billed, and are neither stored nor named by a row
- orphans: files that no row names

Ends with 1 unless all three are 0 and memory and descriptors are flat.
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import random
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from soak_faults import FAULTS, LIST_FAULTS

from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aifs_media.records import Job

WORKER = Path(__file__).with_name("soak_worker.py")
MOST_GROWTH = 1.05  # of the memory's median from the middle third of a life to its last
MOST_NEW_FILES = 8  # what is in flight differs from moment to moment by as much


class FastClock:
    """Moves the emulator's clock and the workers' shared one, so that both run `speed` times as fast as real time."""

    def __init__(self, emulator: Emulator, file: Path, speed: float) -> None:
        self._emulator = emulator
        self._speed = speed
        file.write_bytes(struct.pack("d", 0.0))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), 8)
        self._began = time.monotonic()
        self._jumped = 0.0
        self._offset = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def jump(self, seconds: float) -> None:
        """Let time pass at once."""
        self._jumped += seconds

    def stop(self) -> None:
        """Go on at real time."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(0.02):
            offset = (time.monotonic() - self._began) * (self._speed - 1) + self._jumped
            self._emulator.advance(offset - self._offset)
            self._offset = offset
            self._shared[:8] = struct.pack("d", offset)


class Worker:
    """One generation."""

    def __init__(self, mode: str, first: int, last: int, environ: dict[str, str]) -> None:
        command = [sys.executable, str(WORKER), mode, str(first), str(last)]
        self.samples: list[dict[str, int]] = []
        self.ends: Counter[str] = Counter()
        self.latest = first
        self._child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ)
        assert self._child.stdout is not None
        assert self._child.stdout.readline() == "ready\n"
        self._reader = threading.Thread(target=self._read, args=(self._child.stdout,), daemon=True)
        self._reader.start()

    def _read(self, lines: Iterator[str]) -> None:
        for line in lines:
            if not line.endswith("}\n"):
                continue  # cut by the kill
            said = json.loads(line)
            if "rss" in said:
                self.samples.append(said)
            elif "began" in said:
                self.latest = max(self.latest, said["began"])
            else:
                self.ends.update(said["ends"])

    def wait(self, seconds: float | None = None) -> bool:
        """Return whether it ended by itself within so many seconds."""
        try:
            code = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join()
        if code:
            raise SystemExit(f"A worker ended with {code}.")
        return True

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._child.kill()
        self._child.wait()
        self._reader.join()


class Soak:
    """One run."""

    def __init__(self, emulator: Emulator, folder: Path, options: argparse.Namespace) -> None:
        self.emulator, self.folder, self.options = emulator, folder, options
        self.dice = random.Random(options.seed)
        self.clock = FastClock(emulator, folder / "clock", options.speed)
        self.ends: Counter[str] = Counter()
        self.kills = 0
        plan = {
            "clock": str(folder / "clock"),
            "speed": options.speed,
            "backend": options.backend,
            "ledger": str(folder / "jobs.db"),
            "settings": {**emulator.settings(), "MEDIA_STORAGE": "local", "MEDIA_LOCAL_DIR": str(folder / "media")},
        }
        self._environ = {**os.environ, "SOAK_PLAN": json.dumps(plan)}

    def script_faults(self) -> int:
        """Choose which jobs something goes wrong with, and what; return how many."""
        struck = [number for number in range(self.options.jobs) if self.dice.random() < self.options.faults]
        for number in struck:
            route, kind, values = self.dice.choice(FAULTS)
            self.emulator.fault(route, kind, match=f"job-{number:06d}", **values)  # type: ignore[arg-type]
        for _ in range(len(struck) // 20):
            kind, values = self.dice.choice(LIST_FAULTS)
            self.emulator.fault("replicate.list", kind, **values)  # type: ignore[arg-type]
        return len(struck)

    def killed_part(self, last: int) -> None:
        """Kill one worker after the other until the jobs before `last` have been begun."""
        first = 0
        while True:
            worker = Worker("jobs", first, last, self._environ)
            if worker.wait(self.dice.uniform(2.0, 6.0)):
                self.ends += worker.ends
                return
            worker.kill()
            self.kills += 1
            # Some jobs before the newest may not have reached the ledger; asked for again, the others are joined.
            first = max(0, worker.latest - 100)

    def living_part(self, first: int, last: int) -> Worker:
        """Let one worker do the rest."""
        worker = Worker("jobs", max(0, first - 100), last, self._environ)
        worker.wait()
        self.ends += worker.ends
        return worker

    def settle(self) -> None:
        """Let time pass and recover, until no job is on its way any more."""
        for _ in range(12):
            if not anyio.run(self._unfinished):
                return
            self.clock.jump(200)
            worker = Worker("recover", 0, 0, self._environ)
            worker.wait()
            self.ends += worker.ends

    async def _unfinished(self) -> int:
        ledger = SqliteLedger(self.folder / "jobs.db")
        rows = await ledger.unfinished(limit=1000)
        await ledger.aclose()
        return len(rows)

    async def rows(self) -> list[Job]:
        """Return all rows."""
        ledger = SqliteLedger(self.folder / "jobs.db")
        rows = list(await ledger.search(limit=self.options.jobs * 2))
        await ledger.aclose()
        return rows

    def verdict(self) -> dict[str, int]:
        """Compare the books with the ledger and the folder."""
        books = self.emulator.books()
        rows = anyio.run(self.rows)
        by_ref = {json.dumps(one.ref): row for row in rows for one in row.attempts if one.ref is not None}
        created = Counter(str(one.input.get("prompt")) for one in books.predictions)
        media = self.folder / "media"
        files = {str(path.relative_to(media)) for path in media.rglob("*") if path.is_file()}
        named = {part.object_key for row in rows for part in row.parts if part.object_key}
        paid = [one for one in books.predictions if one.status == "succeeded" and one.billed]
        fate: Counter[str] = Counter()
        for one in paid:
            row = next((row for ref, row in by_ref.items() if f'"{one.id}"' in ref), None)
            keys = {part.object_key for part in row.parts} if row is not None else set()
            if row is None:
                fate["lost"] += 1
            elif row.stage == "stored" and keys and keys <= files:
                fate["stored"] += 1
            else:
                fate["named"] += 1
        print(f"rows by stage: {dict(Counter(row.stage for row in rows))}")
        return {
            "jobs": len(rows),
            "accepted": books.creates,
            "succeeded and billed": len(paid),
            "of these stored": fate["stored"],
            "of these named by a row only": fate["named"],
            "requests": len(books.requests),
            "files": len(files),
            "duplicate_creates": sum(count - 1 for count in created.values()),
            "lost_assets": fate["lost"],
            "orphans": len(files - named),
        }


def growth(samples: list[dict[str, int]]) -> tuple[float, int]:
    """Return how the memory grew from the middle third of a life to the last, as a ratio, and the descriptors, as a number."""
    third = len(samples) // 3
    middle, last = samples[third : 2 * third], samples[2 * third :]
    resident = [statistics.median(one["rss"] for one in part) for part in (middle, last)]
    open_files = [int(statistics.median(one["fds"] for one in part)) for part in (middle, last)]
    print(
        f"the worker that lived: {len(samples) / 2:.0f} s, memory {resident[0] / 2**20:.1f} -> {resident[1] / 2**20:.1f} MiB, "
        f"descriptors {open_files[0]} -> {open_files[1]} (medians of its middle and last third)"
    )
    return resident[1] / resident[0], open_files[1] - open_files[0]


def main() -> int:
    """Soak, and judge."""
    parser = argparse.ArgumentParser(description="Thousands of jobs under faults and kills.")
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--faults", type=float, default=0.05, help="share of the jobs that something goes wrong with")
    parser.add_argument("--speed", type=float, default=8.0, help="how fast the clock of emulator and worker runs")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio")
    options = parser.parse_args()
    print(f"{options.jobs} jobs on {options.backend}, seed {options.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="aifs-media-soak-"))
    began = time.monotonic()
    try:
        with Emulator(latency=1.0) as emulator:
            run = Soak(emulator, folder, options)
            faults = run.script_faults()
            turn = options.jobs * 6 // 10
            run.killed_part(turn)
            killed_for = time.monotonic() - began
            living = run.living_part(turn, options.jobs)
            lived_for = time.monotonic() - began - killed_for
            run.settle()
            run.clock.stop()
            result = run.verdict()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    took = time.monotonic() - began
    print(f"how calls ended: {dict(run.ends)}")
    print(f"{faults} jobs with a fault, {run.kills} kills; {took:.0f} s in all, {options.jobs / took:.1f} jobs/s")
    print(f"  under kills {turn / killed_for:.1f} jobs/s; without {(options.jobs - turn) / lived_for:.1f} jobs/s")
    memory, descriptors = growth(living.samples)
    for name, value in result.items():
        print(f"{name:32}{value:8}")
    broken = [name for name in ("duplicate_creates", "lost_assets", "orphans") if result[name]]
    broken += ["memory"] if memory > MOST_GROWTH else []
    broken += ["descriptors"] if descriptors > MOST_NEW_FILES else []
    broken += ["kills"] if not run.kills else []
    print("BROKEN: " + ", ".join(broken) if broken else "all bounds hold")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
