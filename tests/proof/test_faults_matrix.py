"""Every fault the emulator knows at every step of a job, once and for long: nothing paid twice, nothing paid lost, no wait too long."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import pytest
from tests.proof.world import REQUESTS, UNFINISHED, attempt, world

from aifs_media.testing.emulator.faults import After, Before

if TYPE_CHECKING:
    from pathlib import Path

    from aifs_media import MediaError

TIMEOUT = 20.0
# The bounds of a wait: a second for the last look, and what a create in flight is given when the time is up.
OVERTIME = 1.0 + 5.0
# With on_cancel="cancel" the provider is also given time to confirm.
SETTLING = 10.0
# Three attempts of 30 s without progress, and the waits between them.
TRANSFER = 3 * 30.0 + 1.0 + 2.0
# The machine's own time counts too.
SLACK = 4.0
LASTING = 1000

STATUSES = (400, 401, 402, 403, 404, 408, 409, 410, 413, 422, 425, 429, 500, 502, 503, 504, 520, 524, 529)
SOME_STATUSES = (401, 404, 429, 500, 503)
CREATES = frozenset({"replicate.create", "poe.chat", "poe.videos.create"})
OUTCOMES = {
    "replicate.create": (
        "failed", "moderated", "aborted", "slow", "text_only", "null_output", "empty_output", "partial_output", "data_uri",
        "foreign_output", "big_output",
    ),
    "poe.chat": (
        "failed", "moderated", "slow", "text_only", "null_output", "empty_output", "partial_output", "foreign_output",
        "big_output",
    ),
    "poe.videos.create": ("failed", "moderated", "slow"),
    "replicate.get": ("expired",),
    "replicate.list": ("lag",),
    "poe.videos.content": ("expired",),
    "delivery.get": ("expired",),
}  # fmt: skip
STEPS = {
    "replicate.create": "image",
    "replicate.get": "film",
    "replicate.cancel": "film",
    "replicate.list": "film",
    "delivery.get": "image",
    "poe.chat": "chat",
    "poe.history": "chat",
    "poe.videos.create": "videos",
    "poe.videos.get": "videos",
    "poe.videos.content": "videos",
}
FIELDS: dict[str, dict[str, Any]] = {
    "delay": {"seconds": 0.02},
    "slow_drip": {"seconds": 0.005},
    "slow": {"seconds": 45.0},
    "lag": {"seconds": 15.0},
    "text_only": {"text": "I can help you with that. What should it look like?"},
    "foreign_output": {"url": "http://127.0.0.1:9/elsewhere.png"},
    "big_output": {"size": 400_000},
}
WITHOUT_MEDIA = frozenset({"text_only", "null_output", "empty_output", "foreign_output"})
FILES = frozenset({"delivery.get", "poe.videos.content"})


class Fault(NamedTuple):
    """One fault at one step."""

    route: str
    kind: str
    times: int
    status: int = 0

    def __str__(self) -> str:
        return f"{self.route} {self.kind}{self.status or ''} {'lasting' if self.times > 1 else 'once'}"


def faults() -> list[Fault]:
    """Return the whole matrix."""
    found: list[Fault] = []
    for route, times in itertools.product(STEPS, (1, LASTING)):
        for kind in (*get_args(Before), *get_args(After), *OUTCOMES.get(route, ())):
            if kind == "status":
                statuses = STATUSES if route in CREATES and times == 1 else SOME_STATUSES
                found += [Fault(route, kind, times, status) for status in statuses]
            elif kind in {"duplicate_key", "unknown_status"} and route in FILES:
                # These need an answer in JSON.
                continue
            elif kind != "expired" or "expired" in OUTCOMES.get(route, ()):
                found.append(Fault(route, kind, times))
    return list(dict.fromkeys(found))


def cases() -> list[Any]:
    """Return the matrix as parameters: silence once at each step with every test run, and some of the rest."""
    return [
        pytest.param(fault, id=str(fault), marks=[] if _is_quick(number, fault) else [pytest.mark.slow])
        for number, fault in enumerate(faults())
    ]


def _is_quick(number: int, fault: Fault) -> bool:
    return number % 41 == 0 or (fault.kind == "hang" and fault.times == 1)


@pytest.mark.parametrize("fault", cases())
def test_one_fault(tmp_path: Path, anyio_backend: str, fault: Fault) -> None:
    """The call ends in time with an asset or a typed error; when the trouble is over, everything paid for is stored."""
    name = STEPS[fault.route]
    if fault.kind == "big_output":
        name = {"image": "film", "chat": "clip"}[name]
    latency = 10_000.0 if fault.route == "replicate.cancel" else 3.0 if fault.route.endswith(".get") else 0.0
    cancels = fault.route == "replicate.cancel"
    fields = {**FIELDS.get(fault.kind, {}), **({"status": fault.status} if fault.status else {})}

    with world(tmp_path / "one", latency=latency) as one:
        if fault.route == "replicate.list":
            one.emulator.fault("replicate.create", "drop_after")
        one.emulator.fault(fault.route, fault.kind, times=fault.times, **fields)

        async def main() -> tuple[MediaError | None, float, float]:
            began = one.time.monotonic()
            options = {"on_cancel": "cancel"} if cancels else {}
            error = await attempt(one.media(), REQUESTS[name], "a fox", timeout=TIMEOUT, job_id="fox", **options)
            ended = one.time.monotonic()
            generated = [event.at.timestamp() for event in one.events if event.event == "generated"]
            waited = generated[0] if generated else ended
            return error, waited - began, ended - waited

        error, waited, transferred = one.run(main, anyio_backend)
        print(f"waited {waited:.1f} s, transferred {transferred:.1f} s, {error!r}")
        assert waited <= TIMEOUT + OVERTIME + (SETTLING if cancels else 0.0) + SLACK
        assert transferred <= 3 * TRANSFER + SLACK
        if cancels:
            # A job that nobody could stop is over some time later.
            one.emulator.advance(latency)

        async def afterwards() -> None:
            await one.heal()
            without = fault.kind in WITHOUT_MEDIA or (fault.kind == "expired" and fault.route == "replicate.get")
            rows = await one.verify(mediocre=frozenset({"a fox"}) if without else frozenset())
            row = rows["a fox"]
            print(f"ended as {row.stage}")
            if not without:
                assert row.stage not in UNFINISHED - {"new"}
            assert row.stage != "uncertain" or row.provider != "replicate"

        one.run(afterwards, anyio_backend)
