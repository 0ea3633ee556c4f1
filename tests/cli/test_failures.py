"""How the commands fail: one sentence and the next step on stderr, or one JSON document, and the error's exit code."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from aifs_media.testing.emulator import Emulator

    Run = Callable[..., subprocess.CompletedProcess[str]]

WITHOUT = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
from aifs_media.cli import main
main()
"""


def test_missing_key(aifs: Run, bare: dict[str, str]) -> None:
    """Without a key the setting is named, for people and for machines."""
    ended = aifs("image", "A boat", env=bare)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "Error: Replicate API key is required" in ended.stderr
    assert "Traceback" not in ended.stderr
    ended = aifs("image", "A boat", "--json", env=bare)
    error = json.loads(ended.stdout)["error"]
    assert (ended.returncode, error["code"], error["exit_code"]) == (3, "missing_credential", 3)
    assert set(error) == {"code", "message", "hint", "exit_code", "job_id", "retryable", "maybe_billed", "resumable"}


def test_misspelt_model_option(aifs: Run, emulator: Emulator) -> None:
    """A model's option with a typo is refused with a guess, before anything is paid."""
    ended = aifs("image", "A boat", "--option", "num_outputz=2")
    assert (ended.returncode, "Did you mean 'num_outputs'?" in ended.stderr) == (2, True)
    assert emulator.books().creates == 0


@pytest.mark.parametrize("wrong", ["--sizee=1x1", "--tag=campaign", "--on-cancel=wait", "-n=many"])
def test_misspelt_command_line(aifs: Run, wrong: str) -> None:
    """What is wrong with the command line is an error like the others, also as JSON."""
    ended = aifs("image", "A boat", wrong, "--json")
    error = json.loads(ended.stdout)["error"]
    assert (ended.returncode, error["code"], error["exit_code"]) == (2, "usage", 2)
    assert "aifs-media image --help" in error["hint"]


def test_misspelt_command_line_for_people(aifs: Run) -> None:
    """A misspelt option gets a sentence and the way to the help."""
    ended = aifs("image", "A boat", "--sizee", "1x1")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "--sizee" in ended.stderr
    assert ended.stderr.rstrip().endswith("aifs-media image --help")


def test_nobody_answers(aifs: Run, environ: dict[str, str]) -> None:
    """A provider that cannot be reached is an error of the provider, and nothing was billed."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    dead = {"REPLICATE_BASE_URL": f"http://{address}/v1", "MEDIA_TRUSTED_HOSTS": address}
    ended = aifs("image", "A boat", "--json", env={**environ, **dead})
    error = json.loads(ended.stdout)["error"]
    assert (ended.returncode, error["code"]) == (4, "provider_unavailable")
    assert (error["retryable"], error["maybe_billed"]) == (True, False)


def test_moderated(aifs: Run, emulator: Emulator) -> None:
    """A refused prompt says so; whether it is billed is said as well."""
    emulator.fault("replicate.create", "moderated")
    ended = aifs("image", "A boat", "--json")
    error = json.loads(ended.stdout)["error"]
    assert (ended.returncode, error["code"], bool(error["job_id"])) == (2, "content_rejected", True)


def test_part_of_the_result(aifs: Run, emulator: Emulator) -> None:
    """What could be stored is printed beside the error."""
    emulator.fault("delivery.get", "expired", times=9, match="out-1")
    ended = aifs("image", "A boat", "-n", "2", "--json")
    document = json.loads(ended.stdout)
    assert (ended.returncode, document["error"]["code"]) == (5, "partial_result")
    assert [asset["index"] for asset in document["assets"]] == [0]
    emulator.fault("delivery.get", "expired", times=9, match="out-1")
    ended = aifs("image", "A boat", "-n", "2")
    assert (ended.returncode, ended.stdout.count("file://")) == (5, 1)
    assert "1 of 2 outputs were stored." in ended.stderr


def test_without_the_packages_of_the_command(aifs: Run) -> None:
    """Without the extra the command says how to install it."""
    ended = aifs("--help", command=(sys.executable, "-c", WITHOUT.format(package="typer")))
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "pip install 'aifs-media[cli]'" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("command", ["demo", "emulate"])
def test_without_the_packages_of_the_emulator(aifs: Run, command: str) -> None:
    """Without its extra the emulator's commands say how to install it."""
    ended = aifs(command, command=(sys.executable, "-c", WITHOUT.format(package="av")))
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "pip install 'aifs-media[emulator]'" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_reader_that_goes_away(aifs: Run) -> None:
    """A pipe that is closed early is no reason for a traceback."""
    script = f'"{sys.executable}" -m aifs_media models --json | head -c 10'
    ended = aifs(command=("sh", "-c", script))
    assert (ended.stdout, ended.stderr) == ('[{"provide', "")


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("image", "A boat", "--model", "replicate:"), "names a provider and no model"),
        (("image", "A boat", "--size", "0x0"), "is not a size"),
        (("image", "A boat", "--aspect-ratio", "0:1"), "two numbers above 0"),
        (("image", "A boat", "-n", "0"), "at least 1"),
        (("image", "A boat \udcff"), "lone surrogates"),
        (("video", "A boat", "--duration", "-1"), "seconds above 0"),
        (("video", "A boat", "--duration", "nan"), "seconds above 0"),
        (("video", "A boat", "--fps", "-8"), "frames per second above 0"),
        (("caption", "A boat", "--hashtags", "-1"), "at least 0"),
        (("models", "--aspect-ratio", "0:0"), "two numbers above 0"),
    ],
    ids=str,
)
def test_values_that_nobody_takes(aifs: Run, emulator: Emulator, command: tuple[str, ...], words: str) -> None:
    """They are told in one sentence, and nothing is sent."""
    ended = aifs(*command)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Error: " in ended.stderr
    assert words in ended.stderr
    assert emulator.books().requests == ()
