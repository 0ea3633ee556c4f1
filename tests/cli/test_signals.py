"""Ctrl-C and SIGTERM reach the provider, and what was paid for is kept."""

from __future__ import annotations

import json
import signal
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from aifs_media.testing.emulator import Emulator

    Start = Callable[..., subprocess.Popen[str]]

ZEROSCOPE = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


def await_line(child: subprocess.Popen[str], text: str) -> None:
    """Read the child's stderr up to a line with this text."""
    assert child.stderr is not None
    for line in child.stderr:
        if text in line:
            return
    pytest.fail(f"the command ended without saying {text!r}")


def test_interrupt_cancels_at_the_provider(start: Start, emulator: Emulator) -> None:
    """Ctrl-C stops the job at the provider, says so, and leaves 130."""
    emulator.switches.latency = 3600
    child = start("video", "A boat", "-m", ZEROSCOPE)
    await_line(child, "is generating")
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=20)
    assert (child.returncode, stdout) == (130, "")
    assert "Interrupted by SIGINT. The job was cancelled at replicate." in stderr
    assert "Traceback" not in stderr
    assert emulator.books().cancels == 1


def test_termination_as_json(start: Start, emulator: Emulator) -> None:
    """SIGTERM does the same with 143, and the JSON document says what became of the job."""
    emulator.switches.latency = 3600
    child = start("video", "A boat", "-m", ZEROSCOPE, "--job-id", "boat", "--json")
    await_line(child, "is generating")
    child.send_signal(signal.SIGTERM)
    stdout, _ = child.communicate(timeout=20)
    error = json.loads(stdout)["error"]
    assert (child.returncode, error["code"], error["exit_code"], error["job_id"]) == (143, "interrupted", 143, "boat")
    assert emulator.books().cancels == 1


def test_detach_leaves_the_job_alone(start: Start, emulator: Emulator) -> None:
    """With --on-cancel detach the job goes on, and that is said."""
    emulator.switches.latency = 3600
    child = start("video", "A boat", "-m", ZEROSCOPE, "--on-cancel", "detach")
    await_line(child, "is generating")
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=20)
    assert (child.returncode, emulator.books().cancels) == (130, 0)
    assert "The job goes on at replicate" in stderr


def test_paid_asset_is_kept(start: Start, emulator: Emulator) -> None:
    """A signal while the file is on its way does not lose it: it is stored and printed."""
    emulator.fault("delivery.get", "slow_drip", seconds=0.1)
    child = start("image", "A boat", "--namespace", "acme", "--job-id", "boat")
    await_line(child, "has made 1 file")
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=20)
    assert (child.returncode, stdout.startswith("file://"), "  job: boat" in stdout) == (130, True, True)
    assert "What it had made is kept." in stderr


def test_second_signal_leaves_at_once(start: Start, emulator: Emulator) -> None:
    """Whoever insists is not kept waiting, and is told what that means."""
    emulator.switches.latency = 3600
    emulator.fault("replicate.cancel", "hang")
    child = start("video", "A boat", "-m", ZEROSCOPE)
    await_line(child, "is generating")
    child.send_signal(signal.SIGINT)
    await_line(child, "Cancelling the job")
    began = time.monotonic()
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=20)
    assert child.returncode == 130
    assert time.monotonic() - began < 5
    assert "may go on there and be billed" in stderr


def test_a_job_of_another_process(start: Start, emulator: Emulator) -> None:
    """Who only waits for another process says so, and does not claim to have stopped what that one goes on with."""
    emulator.switches.latency = 3600
    command = ("video", "A boat", "-m", ZEROSCOPE, "--job-id", "boat")
    worker = start(*command)
    await_line(worker, "is generating")
    waiting = start(*command)
    await_line(waiting, "Another process works on job boat; waiting")
    waiting.send_signal(signal.SIGTERM)
    _, stderr = waiting.communicate(timeout=20)
    assert waiting.returncode == 143
    assert "cancelled at" not in stderr
    assert "Stopping to wait. The job goes on in the process that works on it." in stderr
    assert emulator.books().cancels == 0
    worker.send_signal(signal.SIGINT)
    worker.communicate(timeout=20)
    assert emulator.books().cancels == 1
