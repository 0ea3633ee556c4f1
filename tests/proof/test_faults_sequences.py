"""Random sequences of calls, troubles, restarts and time: whatever happens, nothing is paid twice and nothing paid is lost."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from tests.proof.world import REQUESTS, UNFINISHED, attempt, duplicate_creates, world

from aifs_media import MediaError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aifs_media import MediaGenerator
    from aifs_media.events import Event

TIMEOUTS = st.sampled_from([0.5, 8.0, 20.0, 400.0])
ON_CANCEL = st.sampled_from(["cancel", "detach"])
REPLICATE = ["replicate.create", "replicate.get", "replicate.cancel", "replicate.list", "delivery.get"]
ROUTES = {
    "image": REPLICATE,
    "film": REPLICATE,
    "chat": ["poe.chat", "poe.history", "delivery.get"],
    "videos": ["poe.videos.create", "poe.videos.get", "poe.videos.content"],
}
KINDS = [
    "drop_after", "hang_after", "half_body", "truncated", "wrong_length", "encoded", "drop_before", "hang", "status",
]  # fmt: skip
OUTCOMES = ["failed", "moderated", "slow"]
CREATES = {"image": "replicate.create", "film": "replicate.create", "chat": "poe.chat", "videos": "poe.videos.create"}


def _troubles(name: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Return what may go wrong while such a thing is made, at most three of it."""
    wire = st.fixed_dictionaries(
        {
            "route": st.sampled_from(ROUTES[name]),
            "kind": st.sampled_from(KINDS),
            "times": st.integers(1, 4),
            "status": st.sampled_from([500, 503, 429, 404, 401]),
        }
    )
    outcome = st.fixed_dictionaries(
        {"route": st.just(CREATES[name]), "kind": st.sampled_from(OUTCOMES), "seconds": st.just(60.0)}
    )
    return st.lists(st.one_of(wire, wire, wire, outcome), max_size=3)


WORK = st.sampled_from(list(ROUTES)).flatmap(lambda name: st.tuples(st.just(name), _troubles(name)))


class Sequences(RuleBasedStateMachine):
    """A host that makes media, loses patience, restarts and recovers, while providers have troubles."""

    def __init__(self, backend: str) -> None:
        super().__init__()
        self._backend = backend
        self._folder = tempfile.TemporaryDirectory()
        self._opened = world(Path(self._folder.name) / "one", latency=3.0)
        self._world = self._opened.__enter__()
        self._jobs: list[str] = []
        self._process: MediaGenerator = self._world.media()

    def _run(self, function: Callable[[], Awaitable[MediaError | None]]) -> None:
        note(f"  ended with {self._world.run(function, self._backend)!r}")

    def _fresh(self) -> str:
        self._jobs.append(f"job-{len(self._jobs)}")
        return self._jobs[-1]

    def _trouble(self, troubles: list[dict[str, Any]]) -> None:
        for trouble in troubles:
            self._world.emulator.fault(**trouble)

    @rule(work=st.lists(WORK, min_size=1, max_size=3), timeout=TIMEOUTS, on_cancel=ON_CANCEL)
    def make(self, work: list[tuple[str, list[dict[str, Any]]]], timeout: float, on_cancel: str) -> None:
        """Make some at a time, each within a timeout."""
        jobs = [(name, self._fresh()) for name, _ in work]
        for _, troubles in work:
            self._trouble(troubles)

        async def main() -> None:
            async with anyio.create_task_group() as group:
                for name, job in jobs:
                    group.start_soon(one, name, job)

        async def one(name: str, job: str) -> None:
            error = await attempt(self._process, REQUESTS[name], job, timeout=timeout, job_id=job, on_cancel=on_cancel)
            note(f"  {job} ended with {error!r}")

        self._run(main)

    @rule(work=WORK, on_cancel=ON_CANCEL)
    def start(self, work: tuple[str, list[dict[str, Any]]], on_cancel: str) -> None:
        """Start one and do not wait."""
        (name, troubles), job = work, self._fresh()
        self._trouble(troubles)
        self._run(
            lambda: _caught(
                lambda: self._process.start(prompt=job, **REQUESTS[name], job_id=job, timeout=20.0, on_cancel=on_cancel)
            )
        )

    @rule(work=WORK, on_cancel=ON_CANCEL, after=st.integers(1, 6))
    def make_and_be_cancelled(self, work: tuple[str, list[dict[str, Any]]], on_cancel: str, after: int) -> None:
        """The caller's task is cancelled at its n-th event."""
        (name, troubles), job, heard = work, self._fresh(), 0
        self._trouble(troubles)

        async def main() -> None:
            with anyio.CancelScope() as scope:

                def note_event(_event: Event) -> None:
                    nonlocal heard
                    heard += 1
                    if heard == after:
                        scope.cancel()

                media = self._world.media(on_event=note_event)
                await attempt(media, REQUESTS[name], job, timeout=20.0, job_id=job, on_cancel=on_cancel)

        self._run(main)

    @precondition(lambda self: self._jobs)
    @rule(which=st.randoms(use_true_random=False), timeout=TIMEOUTS)
    def resume(self, which: Any, timeout: float) -> None:
        """Wait for a job of before."""
        job = which.choice(self._jobs)
        self._run(lambda: _caught(lambda: self._process.resume(job, timeout=timeout)))

    @precondition(lambda self: self._jobs)
    @rule(which=st.randoms(use_true_random=False))
    def cancel(self, which: Any) -> None:
        """Cancel a job of before."""
        job = which.choice(self._jobs)
        self._run(lambda: _caught(lambda: self._process.cancel(job)))

    @rule()
    def recover(self) -> None:
        """Recover while the troubles last."""
        self._run(lambda: _caught(self._process.recover))

    @rule()
    def restart(self) -> None:
        """Another process goes on."""
        self._process = self._world.media()

    @rule(seconds=st.sampled_from([1.0, 10.0, 120.0]))
    def later(self, seconds: float) -> None:
        """Time passes."""
        self._world.emulator.advance(seconds)

    @invariant()
    def never_twice(self) -> None:
        """No job has two accepted creates."""
        assert duplicate_creates(self._world.emulator.books()) == {}

    def teardown(self) -> None:
        """When the troubles are over, all that was paid for and made is stored, or said to be uncertain."""

        async def main() -> None:
            await self._world.heal()
            for prompt, row in (await self._world.verify()).items():
                assert row.stage not in UNFINISHED - {"new"}, f"{prompt} is still {row.stage}"
                assert row.stage != "uncertain" or row.provider == "poe", f"{prompt} could have been found"

        try:
            self._world.run(main, self._backend)
        finally:
            self._opened.__exit__(None, None, None)
            self._folder.cleanup()


async def _caught(call: Callable[[], Awaitable[object]]) -> MediaError | None:
    try:
        await call()
    except MediaError as error:
        return error
    return None


def _prove(backend: str, *, examples: int, steps: int, derandomize: bool) -> None:
    run_state_machine_as_test(
        lambda: Sequences(backend),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            derandomize=derandomize,
            database=None,
            # A failing sequence is printed as it was found: to make it shorter takes longer than the test may.
            phases=(Phase.explicit, Phase.generate),
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_some_sequences(anyio_backend: str) -> None:
    """A cut that is the same in every test run."""
    _prove(anyio_backend, examples=5, steps=8, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_sequences(anyio_backend: str) -> None:
    """Others every time; a failure is printed with the steps that led to it."""
    _prove(anyio_backend, examples=15, steps=15, derandomize=False)
