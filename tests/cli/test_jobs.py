"""The command line remembers its jobs between commands."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from aifs_media.testing.emulator import Emulator

    Run = Callable[..., subprocess.CompletedProcess[str]]

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


def test_a_detached_job_is_listed_resumed_and_not_made_twice(aifs: Run, emulator: Emulator) -> None:
    """One command leaves the job running, another one lists it, a third fetches it."""
    emulator.switches.latency = 600
    left = aifs(
        "video",
        "a fox",
        "--model",
        FILM,
        "--duration",
        "1",
        "--timeout",
        "1",
        "--on-cancel",
        "detach",
        "--job-id",
        "one",
        "--tag",
        "tenant=acme",
    )
    assert left.returncode == 5, left.stderr
    (listed,) = json.loads(aifs("jobs", "--tag", "tenant=acme", "--json").stdout)
    assert (listed["job_id"], listed["stage"]) == ("one", "submitted")
    emulator.advance(700)
    (asset,) = json.loads(aifs("resume", "one", "--json").stdout)
    assert asset["duration"] == 1.0
    assert "stored" in aifs("jobs").stdout
    assert emulator.books().creates == 1


def test_recover_finishes_what_was_left(aifs: Run, emulator: Emulator) -> None:
    """After a crash one command stores what was paid for."""
    emulator.switches.latency = 600
    aifs("video", "a fox", "--model", FILM, "--duration", "1", "--timeout", "1", "--on-cancel", "detach")
    emulator.advance(700)
    report = json.loads(aifs("recover", "--json").stdout)
    assert len(report["assets"]) == 1
    assert report["failed"] == {}


def test_cancel_by_id(aifs: Run, emulator: Emulator) -> None:
    """A job of an earlier command is stopped at its provider."""
    emulator.switches.latency = 600
    aifs(
        "video",
        "a fox",
        "--model",
        FILM,
        "--duration",
        "1",
        "--timeout",
        "1",
        "--on-cancel",
        "detach",
        "--job-id",
        "one",
    )
    assert "canceled" in aifs("cancel", "one").stdout
    assert emulator.books().cancels == 1


def test_adopt_by_the_providers_id(aifs: Run, emulator: Emulator) -> None:
    """What another program made is stored by its id."""
    aifs("image", "a fox")
    (record,) = emulator.books().predictions
    (asset,) = json.loads(aifs("adopt", f"replicate:{record.id}", "--kind", "image", "--json").stdout)
    assert asset["width"] == 1024


def test_unknown_ids_and_stages(aifs: Run) -> None:
    """Both are typed errors with their exit codes."""
    assert aifs("resume", "nothing").returncode == 5
    assert aifs("jobs", "--stage", "nowhere").returncode == 2


def test_a_look_lets_the_job_go_on(aifs: Run, emulator: Emulator) -> None:
    """`--timeout 0` asks once; a time that nobody can wait is refused. Neither stops what is paid for."""
    emulator.switches.latency = 600
    film = ("video", "a fox", "--model", FILM, "--duration", "1", "--timeout", "1", "--job-id", "one")
    aifs(*film, "--on-cancel", "detach")
    looked = aifs("resume", "one", "--timeout", "0")
    assert (looked.returncode, "goes on at the provider" in looked.stderr) == (5, True)
    for timeout in ("-1", "nan", "inf"):
        refused = aifs("resume", "one", "--timeout", timeout)
        assert (refused.returncode, "0 to ask once" in refused.stderr) == (2, True)
    assert emulator.books().cancels == 0
