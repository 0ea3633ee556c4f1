"""Killed or told to stop at any moment, not only at a seam: the world is left as some kill at a seam would have left it."""

from __future__ import annotations

import random
import signal
import statistics
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.proof.balance import lost_answers
from tests.proof.cases import HAS_NO_LIST
from tests.proof.enumeration import BACKENDS, Tally, seed

if TYPE_CHECKING:
    from tests.proof.cases import Worlds

EXIT_LIMIT = 20.0
"""Seconds within which a command that was told to stop must have ended: the job's end at the provider is awaited for 10 s at most."""


def usual_duration(worlds: Worlds, name: str) -> float:
    """Return the seconds that a run takes: the median of five, the first of which draws the picture."""
    durations: list[float] = []
    for _ in range(5):
        with worlds.case(name) as case:
            began = time.monotonic()
            case.run("make")
            durations.append(time.monotonic() - began)
    return statistics.median(durations)


def let_it_run(seconds: float) -> None:
    """Wait in real time: this is about a moment at which another process is at work."""
    threading.Event().wait(seconds)


def kill_at_random(worlds: Worlds, name: str, number: int) -> Tally:
    """Kill so many jobs after a random part of the time that one takes, and verify each, also those that were faster."""
    chance, duration = random.Random(seed()), usual_duration(worlds, name)
    tally = Tally(f"{name} at random moments of {duration:.3f} s")
    while tally["killed"] < number:
        delay, backend = chance.uniform(0, duration), chance.choice(BACKENDS)
        with worlds.case(name) as case:
            run = case.start("make", backend=backend)
            let_it_run(delay)
            run.send(signal.SIGKILL)
            killed = case.note(run)
            tally.count("killed" if killed else "ended before")
            if not killed:
                # The machine is faster now than when the time was taken.
                duration = delay
            balance = case.recover(backend=backend)
            words = f"{name} killed after {delay:.6f} s: {balance}\n{case.output}"
            assert balance.is_clean, words
            # A kill inside a commit leaves open whether it happened, one inside a create whether it arrived.
            assert balance.uncertain <= (lost_answers(case.traces, surely=False) if name in HAS_NO_LIST else 0), words
            tally.count("uncertain", balance.uncertain)
        assert tally["ended before"] < 4 * number, f"{tally}: too late to kill anything"
    return tally


@pytest.mark.timeout(120)
def test_killed_at_some_moments(worlds: Worlds) -> None:
    """A cut of the proof that runs with every test run."""
    print(kill_at_random(worlds, "image", 15))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("name", "number"), [("image", 100), ("film", 50), ("chat", 50)])
def test_killed_at_random_moments(worlds: Worlds, name: str, number: int) -> None:
    """200 in all."""
    print(kill_at_random(worlds, name, number))


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("name", "latency"), [("image", 0.2), ("film", 0.5)])
def test_told_to_stop_at_random_moments(worlds: Worlds, name: str, latency: float, number: signal.Signals) -> None:
    """The command, on real time: it ends soon, and its job has ended at the provider or is stored, whenever the signal came."""
    chance = random.Random(seed())
    tally = Tally(f"{name} told to stop by {number.name}")
    for _ in range(12):
        with worlds.case(name, latency=latency) as case:
            run = case.start("command", command=case.command)
            delay = chance.uniform(0, latency + 1.2)
            let_it_run(delay)
            run.send(number)
            code = case.note(run, within=EXIT_LIMIT)
            words = f"{name} got {number.name} after {delay:.6f} s and ended with {code}: {case.output}"
            # Before the command listens for it, a signal does what it does to every process.
            assert code in {0, 128 + number, -number}, words
            before = case.emulator.books()
            running = [record for record in before.predictions if record.status not in {"succeeded", "canceled"}]
            assert not running, words
            balance = case.recover()
            assert balance.is_clean, f"{words}\n{balance}"
            assert not balance.uncertain, words
            # What was never sent is sent by whoever asks again, and stored then.
            assert [row["stage"] for row in case.rows] in (["stored"], ["canceled"]), words
            tally.count(case.rows[0]["stage"])
    print(tally)
    assert tally["stored"]
