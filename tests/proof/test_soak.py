"""A cut of the soak (`benchmarks/soak.py`): hundreds of jobs under faults and kills, compared with the emulator's books."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import aifs_media

SOAK = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_nothing_is_paid_twice_or_lost_in_600_jobs(backend: str) -> None:
    """No duplicate create, no lost asset, no orphan, flat memory; the figures and the seed are printed."""
    environ = {**os.environ, "PYTHONPATH": str(Path(aifs_media.__file__).parents[1])}
    command = [sys.executable, str(SOAK), "--jobs", "600", "--backend", backend]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=580, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines() if line[-1:].isdigit())
    assert [figures[name] for name in ("duplicate_creates", "lost_assets", "orphans")] == ["0", "0", "0"]
    assert int(figures["jobs"]) == 600
