"""The parent's side of `child.py`: runs in real processes, each of which can be killed."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import aifs_media

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 60.0
"""Seconds after which a run counts as hung."""


class Run:
    """A process at work."""

    def __init__(self, pid: int, zygote: Zygote) -> None:
        self.pid = pid
        self._zygote = zygote

    def send(self, number: int) -> None:
        """Send a signal; nothing happens if the process has ended."""
        os.kill(self.pid, number)

    def end(self, *, within: float = LIMIT) -> int:
        """Wait for the process; return its exit code, or minus the signal that ended it."""
        try:
            return int(self._zygote.read_line(within))
        except TimeoutError:
            self.send(signal.SIGKILL)
            self._zygote.read_line(within)
            raise


class Zygote:
    """The process that forks the others, one at a time. It costs a second once, and some 10 ms a run.

    Args:
        under: a command that runs it, as `strace` does.
    """

    def __init__(self, under: Sequence[str] = ()) -> None:
        self._process = subprocess.Popen(
            [*under, sys.executable, "-m", "tests.proof.child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            # Nothing of the environment of the tests but what Python needs.
            env={
                "PATH": os.environ["PATH"],
                "PYTHONPATH": str(Path(aifs_media.__file__).parents[1]),
                "AWS_EC2_METADATA_DISABLED": "true",
            },
            # A Ctrl-C is for the tests, which then close this process's input.
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(LIMIT)
        self._process.stdout.close()

    def start(self, plan: dict[str, Any]) -> Run:
        """Start a run of a plan."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(plan).encode() + b"\n")
        self._process.stdin.flush()
        return Run(int(self.read_line(LIMIT)), self)

    def read_line(self, within: float) -> bytes:
        """Return the next line of the process's answers. Raises TimeoutError."""
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            if not select.select([self._process.stdout], [], [], within)[0]:
                message = f"a run did not end within {within:g} s"
                raise TimeoutError(message)
            more = os.read(self._process.stdout.fileno(), 1)
            assert more, "the process that forks has died"
            line += more
        return line
