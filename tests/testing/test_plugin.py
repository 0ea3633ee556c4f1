"""The plugin as a stranger's project gets it: loaded by its entry point, light, and with fixtures that work together."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest
from tests.canaries import KEY

from aifs_media import MediaError, MediaGenerator
from aifs_media.testing import SpendingForbiddenError

if TYPE_CHECKING:
    from pathlib import Path

    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing.emulator import Emulator

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
STRANGER = """
import anyio
import pytest

from aifs_media import SyncMediaGenerator
from aifs_media.testing import SpendingForbiddenError


def test_media(aifs_generator, aifs_emulator, aifs_storage):
    asset = anyio.run(aifs_generator.image, "a fox")
    assert asset.object_key in aifs_storage.objects
    assert aifs_emulator.books().creates == 1


def test_nothing_is_bought():
    with pytest.raises(SpendingForbiddenError):
        SyncMediaGenerator.from_env({"REPLICATE_API_KEY": "k", "MEDIA_STORAGE": "memory"}).image("a fox")
"""


def test_pytest_finds_the_plugin() -> None:
    """The installed package names it. If this fails, install the project again: an entry point is new."""
    assert [point.value for point in entry_points(group="pytest11", name="aifs_media")] == ["aifs_media.testing.plugin"]


def test_loading_it_costs_next_to_nothing() -> None:
    """Every test run of every user loads it: nothing heavy comes with it."""
    code = (
        "import sys, pytest; before = set(sys.modules); import aifs_media.testing.plugin; "
        "print(sorted(name.partition('.')[0] for name in set(sys.modules) - before if not name.startswith('aifs_media')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.anyio
async def test_the_fixtures_belong_together(
    aifs_generator: MediaGenerator, aifs_emulator: Emulator, aifs_storage: MemoryStorage
) -> None:
    """The generator makes media with the emulator, into the storage; half an hour of the provider's is no time here."""
    aifs_emulator.switches.latency = 1700
    asset = await aifs_generator.video("a fox", model=FILM, duration=1, timeout=1800)
    assert asset.emulated
    assert list(aifs_storage.objects) == [asset.object_key]
    assert aifs_emulator.books().creates == 1


@pytest.mark.anyio
async def test_the_guard_as_a_fixture(aifs_forbid_spending: None) -> None:
    """It holds for the whole test."""
    media = MediaGenerator.from_env({"REPLICATE_API_KEY": KEY, "MEDIA_STORAGE": "memory"})
    with pytest.raises(MediaError) as refused:
        await media.image("a fox")
    assert isinstance(refused.value, SpendingForbiddenError)


def test_a_strangers_project(tmp_path: Path) -> None:
    """With nothing but the installed library, and one line of configuration for the guard."""
    (tmp_path / "test_mine.py").write_text(STRANGER)
    (tmp_path / "pytest.ini").write_text("[pytest]\nusefixtures = aifs_forbid_spending\nfilterwarnings = error\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
