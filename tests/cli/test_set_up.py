"""What the command needs of its surroundings: a file of settings, a place for its record of jobs, an output that takes something."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

import pytest

from aifs_media import Asset, HealthReport

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media.testing.emulator import Emulator

    Run = Callable[..., subprocess.CompletedProcess[str]]

FULL = "/dev/full"
needs_a_full_device = pytest.mark.skipif(not os.path.exists(FULL), reason="this system has no /dev/full")


def shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script.replace("aifs-media", f'"{sys.executable}" -m aifs_media'))


@pytest.fixture
def homeless(environ: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment in which the folder for the record of jobs cannot be made: a file is in the way."""
    (tmp_path / "file").touch()
    return {**environ, "XDG_DATA_HOME": str(tmp_path / "file/data")}


@pytest.mark.parametrize(
    "command", [("models",), ("providers",), ("doctor",), ("text", "a fox")], ids=lambda value: value[0]
)
def test_commands_that_record_nothing_need_no_home(
    aifs: Run, homeless: dict[str, str], command: tuple[str, ...]
) -> None:
    """They only read or ask."""
    ended = aifs(*command, env=homeless)
    assert ended.returncode == 0, ended.stderr


def test_commands_that_record_make_a_place_or_say_why_not(
    aifs: Run, homeless: dict[str, str], emulator: Emulator
) -> None:
    """The reason is the system's own, nothing is paid, and the doctor has told."""
    ended = aifs("image", "a fox", env=homeless)
    assert (ended.returncode, "jobs.db" in ended.stderr, "Not a directory" in ended.stderr) == (3, True, True)
    assert emulator.books().creates == 0
    checks = HealthReport.model_validate_json(aifs("doctor", "--json", env=homeless).stdout).checks
    (note,) = [check for check in checks if check.name == "command line"]
    assert "MEDIA_LEDGER" in note.hint


def test_doctor_and_lists_make_no_file(aifs: Run, tmp_path: Path) -> None:
    """Where nothing is recorded, nothing is made in the user's data folder."""
    for command in ("models", "providers", "doctor"):
        aifs(command)
    assert not (tmp_path / "data").exists()


def test_the_record_is_for_its_user_only(aifs: Run, tmp_path: Path) -> None:
    """Prompts are nobody else's business: folder and file are closed to others."""
    before = os.umask(0o022)
    try:
        assert aifs("image", "a fox").returncode == 0
    finally:
        os.umask(before)
    folder = tmp_path / "data" / "aifs-media"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("command", ["resume", "cancel"])
def test_an_id_that_is_not_known(aifs: Run, tmp_path: Path, command: str) -> None:
    """The file that was looked into is named."""
    error = json.loads(aifs(command, "nothing", "--json").stdout)["error"]
    assert (error["code"], str(tmp_path / "data/aifs-media/jobs.db") in error["hint"]) == ("job_not_found", True)


def test_a_ledger_in_memory_is_no_file(aifs: Run, environ: dict[str, str]) -> None:
    """Where there is no file, none is named."""
    error = json.loads(aifs("resume", "nothing", "--json", env={**environ, "MEDIA_LEDGER": "memory"}).stdout)["error"]
    assert "in memory" in error["hint"]


def test_a_call_without_a_key_leaves_nothing_to_recover(aifs: Run, environ: dict[str, str]) -> None:
    """No job is listed for ever that cannot be sent."""
    assert aifs("image", "a fox", env={**environ, "REPLICATE_API_KEY": ""}).returncode == 3
    assert json.loads(aifs("jobs", "--json").stdout) == []


def test_settings_that_are_no_text(aifs: Run, tmp_path: Path) -> None:
    """A file in another encoding is told as such, and nothing of it is shown."""
    (tmp_path / ".env").write_bytes(b"R2_BUCKET=caf\xe9\n")
    ended = aifs("models")
    assert (ended.returncode, "'.env' is not UTF-8" in ended.stderr, "caf" in ended.stderr) == (3, True, False)
    assert "Traceback" not in ended.stderr


# -- an output that takes nothing --------------------------------------------------------------------------------------


@needs_a_full_device
@pytest.mark.parametrize("form", ["", " --json"], ids=["for people", "as JSON"])
def test_a_result_that_cannot_be_printed_is_named(aifs: Run, emulator: Emulator, form: str) -> None:
    """What was paid for is told on stderr, and the command that is named there prints it without paying again."""
    ended = aifs(command=shell(f"aifs-media image fox --job-id boat --namespace acme{form} >{FULL}"))
    assert ended.returncode == 1
    assert "The media are stored, but could not be printed: No space left on device." in ended.stderr
    assert "`aifs-media resume boat --namespace acme`" in ended.stderr
    assert "Traceback" not in ended.stderr
    (asset,) = json.loads(aifs("resume", "boat", "--namespace", "acme", "--json").stdout)
    assert (Asset.model_validate(asset).job_id, emulator.books().creates) == ("boat", 1)


@needs_a_full_device
def test_a_part_of_the_result_that_cannot_be_printed_is_named(aifs: Run, emulator: Emulator) -> None:
    """Also where the rest is missing."""
    emulator.fault("delivery.get", "expired", times=9, match="out-1")
    ended = aifs(command=shell(f"aifs-media image fox -n 2 --job-id boat --json >{FULL}"))
    assert (ended.returncode, "`aifs-media resume boat`" in ended.stderr) == (1, True)
    assert "Traceback" not in ended.stderr


@needs_a_full_device
@pytest.mark.parametrize("command", ["models --json", "doctor", "image fox --model nope:x --json"])
def test_an_answer_that_cannot_be_written(aifs: Run, command: str) -> None:
    """Where nothing was paid, one sentence says why there is no answer."""
    ended = aifs(command=shell(f"aifs-media {command} >{FULL}"))
    assert ended.returncode == 1
    assert ended.stderr.endswith("Error: The output could not be written: No space left on device.\n")
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("closed", [">&-", ">&- 2>&-"])
def test_a_closed_output(aifs: Run, closed: str) -> None:
    """Whoever closes the output wants none."""
    for command in ("models", "models --json", "models --nope", "image fox --json"):
        ended = aifs(command=shell(f"aifs-media {command} {closed}"))
        assert (ended.returncode, "Traceback" in ended.stderr) == (2 if "nope" in command else 0, False), ended.stderr


@needs_a_full_device
@pytest.mark.parametrize(
    "script",
    [
        "{ { COMMAND 2>&1 >&3; echo $? >&3; } | head -c 1 >/dev/null; } 3>&1",
        f"COMMAND 2>{FULL}; echo $?",
    ],
    ids=["gone", "full"],
)
def test_what_goes_on_is_shown_to_nobody(aifs: Run, script: str) -> None:
    """The reader of the progress has gone, or its disk is full: the asset is stored and told all the same."""
    ended = aifs(command=shell(script.replace("COMMAND", "aifs-media image fox --size 256x256 --json")))
    asset, code = ended.stdout.splitlines()
    assert (json.loads(asset)["size"] > 0, code) == (True, "0")


# -- the emulator and texts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("port", ["99999", "-5"])
def test_a_port_that_there_is_not(aifs: Run, port: str) -> None:
    """It is a mistake of the command line."""
    ended = aifs("emulate", f"--port={port}")
    assert (ended.returncode, "--port" in ended.stderr, "Traceback" in ended.stderr) == (2, True, False)


def test_a_folder_that_the_demo_cannot_use(aifs: Run, tmp_path: Path) -> None:
    """The option is named, and not a setting that the demo does not read."""
    (tmp_path / "shown").touch()
    ended = aifs("demo", "--folder", "shown")
    assert (ended.returncode, "--folder" in ended.stderr, "MEDIA_LOCAL_DIR" in ended.stderr) == (7, True, False)


@pytest.mark.parametrize("command", ["text", "caption"])
def test_a_text_that_does_not_come(aifs: Run, emulator: Emulator, command: str) -> None:
    """Nobody has to wait for as long as the library would."""
    emulator.fault("poe.chat", "hang", times=9)
    ended = aifs(command, "a fox", "--timeout", "0.5", "--json")
    error = json.loads(ended.stdout)["error"]
    assert (ended.returncode, error["code"], error["maybe_billed"]) == (4, "provider_unavailable", True)
