"""The emulator from the command line, and progress on a real terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import urllib.request
from typing import TYPE_CHECKING

from tests.cli.conftest import COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Run = Callable[..., subprocess.CompletedProcess[str]]
    Start = Callable[..., subprocess.Popen[str]]


def test_demo(aifs: Run, bare: dict[str, str], tmp_path: Path) -> None:
    """Two different pictures and a film lie where it says, as large and as long as asked for; and it says who made them."""
    nowhere = {"HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    ended = aifs("demo", "--folder", "shown", env={**bare, **nowhere})
    assert ended.returncode == 0, ended.stderr
    files = sorted((tmp_path / "shown").iterdir())
    assert [file.suffix for file in files] == [".png", ".png", ".mp4"]
    assert files[0].read_bytes() != files[1].read_bytes()
    assert all(str(file) in ended.stdout for file in files)
    assert ended.stdout.count("asked for 1024x1024; measured 1024x1024") == 2
    film = "1024x576, 3 s, 8 frames per second"
    assert f"asked for {film}; measured {film}" in ended.stdout
    assert "made up by an emulator" in ended.stdout
    assert "books: 3 jobs" in ended.stdout


def test_emulate(start: Start, aifs: Run) -> None:
    """One line of JSON says where it listens; it answers there, and ends with a signal. A taken port is an error."""
    child = start("emulate")
    assert child.stdout is not None
    ready = json.loads(child.stdout.readline())
    with urllib.request.urlopen(f"{ready['base_url']}/_books") as answer:
        assert json.load(answer)["creates"] == 0
    port = ready["base_url"].rpartition(":")[2]
    taken = aifs("emulate", "--port", port)
    assert (taken.returncode, taken.stderr.count(f":{port}"), ".." in taken.stderr) == (3, 1, False)
    child.send_signal(signal.SIGTERM)
    assert child.wait(timeout=10) == 0


def test_progress_on_a_terminal(environ: dict[str, str], tmp_path: Path) -> None:
    """A terminal shows moving lines on stderr, gets them cleared, and never sees the result of a pipe."""
    ours, theirs = pty.openpty()
    child = subprocess.Popen(
        [*COMMAND, "image", "A boat"], env={**environ, "TERM": "xterm"}, cwd=tmp_path, stdout=subprocess.PIPE,
        stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    seen = b""
    # A terminal that nobody holds any more reads as an error or as an end, as the system likes.
    try:
        while piece := os.read(ours, 4096):
            seen += piece
    except OSError:
        pass
    os.close(ours)
    stdout, _ = child.communicate(timeout=20)
    assert child.returncode == 0
    assert stdout.startswith(b"file://")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    assert "Stored" in shown
    assert "\x1b[2K" in seen.decode()
    assert "file://" not in shown
