"""The command as a real child process, in a folder of its own, against an emulator in this process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import aifs_media
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.canaries import Canaries

COMMAND = (sys.executable, "-m", "aifs_media")
ZEROSCOPE = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A running emulator of its own for each test."""
    with Emulator() as running:
        yield running


@pytest.fixture
def bare(tmp_path: Path) -> dict[str, str]:
    """An environment in which nothing is set but a local folder."""
    return {
        **os.environ,
        "PYTHONPATH": str(Path(aifs_media.__file__).parents[1]),
        "PYTHONIOENCODING": "utf-8",
        "COLUMNS": "200",
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "MEDIA_LOCAL_DIR": str(tmp_path / "media"),
    }


@pytest.fixture
def environ(bare: dict[str, str], emulator: Emulator) -> dict[str, str]:
    """An environment that points at the emulator."""
    return {**bare, **emulator.settings()}


@pytest.fixture
def aifs(
    environ: dict[str, str], tmp_path: Path, canaries: Canaries
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the command to its end. What it prints holds neither a key nor a signed URL of the provider."""

    def run(
        *arguments: str, env: dict[str, str] | None = None, command: Sequence[str] = COMMAND
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*command, *arguments],
            env=environ if env is None else env,
            cwd=tmp_path,
            capture_output=True,
            encoding="utf-8",
            timeout=50,
            check=False,
        )
        canaries.look(done.stdout + done.stderr, f"what `{arguments[:1]}` printed")
        return done

    return run


@pytest.fixture
def start(environ: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the command and let it run."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [*COMMAND, *arguments],
            env=environ,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )
        running.append(child)
        return child

    yield begin
    for child in running:
        child.kill()
        child.communicate()
