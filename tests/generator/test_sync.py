"""SyncMediaGenerator: scripts, running loops, threads, and Ctrl-C."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anyio
import pytest

from aifs_media import ConfigurationError, MediaGenerator, Settings, SyncMediaGenerator
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from pathlib import Path

    from aifs_media.testing.emulator import Emulator


def build(emulator: Emulator) -> SyncMediaGenerator:
    return SyncMediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())


def threads() -> set[str]:
    """The threads of this process, less the emulator's own, which paint its pictures."""
    return {thread.name for thread in threading.enumerate() if thread.name != "AnyIO worker thread"}


def test_same_methods_as_the_async_one() -> None:
    """Every public method exists in both, with the same parameters."""
    for name, method in inspect.getmembers(MediaGenerator, inspect.isfunction):
        if not name.startswith("_"):
            other = inspect.signature(getattr(SyncMediaGenerator, name))
            assert list(inspect.signature(method).parameters) == list(other.parameters), name


def test_the_help_says_where_the_options_are() -> None:
    """`help(media.image)` shows `**options` and no more, so the words have to say it."""
    for name in ("image", "images", "video", "start"):
        for generator in (MediaGenerator, SyncMediaGenerator):
            assert "aifs_media.call_options" in (inspect.getdoc(getattr(generator, name)) or ""), name


def test_in_a_script(emulator: Emulator) -> None:
    """A bare call, then several in one block; no thread stays behind."""
    before = threads()
    media = build(emulator)
    assert media.image("a fox").width == 1024
    assert threads() <= before
    with media:
        assert len(media.images("a fox", n=2)) == 2
        assert media.text("hello").text
    assert threads() <= before


def test_a_block_that_cannot_be_entered_leaves_no_thread(emulator: Emulator) -> None:
    """The script would never end: nobody leaves a block that was not entered."""
    before = threads()
    media = SyncMediaGenerator(settings=Settings.from_env({**emulator.settings(), "MEDIA_LEDGER": "nonsense"}))
    with pytest.raises(ConfigurationError), media:
        pass
    assert threads() <= before


def test_inside_a_running_loop(emulator: Emulator) -> None:
    """As in a notebook, whose loop is running in this thread."""

    async def cell() -> int | None:
        return build(emulator).image("a fox").width

    assert anyio.run(cell) == 1024


def test_from_several_threads(emulator: Emulator) -> None:
    """One generator, many threads, one loop behind it."""
    media = build(emulator)
    with media, ThreadPoolExecutor(6) as pool:
        assets = list(pool.map(lambda number: media.image(f"fox {number}"), range(12)))
    assert {asset.prompt for asset in assets} == {f"fox {number}" for number in range(12)}
    assert emulator.books().creates == 12


def test_threads_without_a_block(emulator: Emulator) -> None:
    """The loop's thread lives from the first call in to the last one out."""
    media = build(emulator)
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(lambda number: media.image(f"fox {number}"), range(8)))) == 8


SCRIPT = """
import sys
from aifs_media import SyncMediaGenerator
media = SyncMediaGenerator.from_env()
print("ready", flush=True)
media.video("a fox", model="replicate:anotherjesse/zeroscope-v2-xl:" + "9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351", duration=1)
"""


def test_control_c_reaches_the_provider(emulator: Emulator, tmp_path: Path) -> None:
    """Ctrl-C in a script cancels the job at the provider before the process ends."""
    emulator.switches.latency = 10_000
    environ = {**os.environ, **emulator.settings(), "MEDIA_STORAGE": "memory"}
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT],
        env=environ,
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        limit = time.monotonic() + 30
        while not emulator.books().requested("replicate.get") and time.monotonic() < limit:
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=40)
    finally:
        child.kill()
        child.wait()
    assert "KeyboardInterrupt" in errors
    assert emulator.books().cancels == 1
