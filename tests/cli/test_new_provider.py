"""`new-provider` writes a package whose tests pass, and nothing where it must not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aifs_media.cli.new_provider import new_provider, skeleton
from aifs_media.errors import RequestRejectedError

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/acme-provider"


def files(folder: Path) -> dict[str, str]:
    """Every file below a folder, without what running its tests leaves behind."""
    return {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts)
    }


def test_the_example_is_what_the_command_writes() -> None:
    """The example, which the documentation shows, is the skeleton of "acme"; `new-provider acme --path` makes it anew."""
    assert files(EXAMPLE) == skeleton("acme")


def test_a_new_package_passes_its_own_tests(
    aifs: Callable[..., subprocess.CompletedProcess[str]], bare: dict[str, str], tmp_path: Path
) -> None:
    """As it was written, with warnings as errors and without a network; and its names are the ones that were asked for."""
    done = aifs("new-provider", "pixel-forge", env=bare)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "aifs-media-pixel-forge"
    written = files(folder)
    assert "acme" not in "".join((*written, *written.values())).lower()
    assert 'pixel-forge = "aifs_media_pixel_forge:PixelForgeProvider"' in written["pyproject.toml"]
    # The tests of this project run on a busy machine; one model is enough here, and the example's wheel runs both.
    command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "-k", "TestSketches"]
    kept = {name: bare[name] for name in ("PATH", "PYTHONPATH")}
    tested = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True, check=False, timeout=50)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert " passed" in tested.stdout
    assert "skipped" not in tested.stdout


@pytest.mark.parametrize(
    "name", ["Acme", "acme_labs", "a/b", "", "-acme", "acme-", "a--b", "3d", "acme.io", "é", "a b", "a" * 41, "acme\n"]
)
def test_a_name_that_cannot_be_one_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what a name looks like, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RequestRejectedError, match=r"cannot be a provider's name.*pixel-forge"):
        new_provider(name)
    assert os.listdir(tmp_path) == []


def test_a_name_leads_nowhere_else(
    aifs: Callable[..., subprocess.CompletedProcess[str]], bare: dict[str, str], tmp_path: Path
) -> None:
    """A path is no name; the command says so and ends with the code for a request that cannot be carried out."""
    done = aifs("new-provider", "../acme", env=bare)
    assert done.returncode == 2
    assert "'../acme' cannot be a provider's name" in done.stderr
    assert not list(tmp_path.parent.glob("*acme*"))


def test_a_built_in_name_is_refused(
    aifs: Callable[..., subprocess.CompletedProcess[str]], bare: dict[str, str]
) -> None:
    """The built-in one would be asked instead of it."""
    done = aifs("new-provider", "replicate", env=bare)
    assert done.returncode == 2
    assert "is built in" in done.stderr


def test_an_existing_folder_is_left_alone(
    aifs: Callable[..., subprocess.CompletedProcess[str]], bare: dict[str, str], tmp_path: Path
) -> None:
    """Also an empty one, a file, and a link that leads nowhere; a missing parent is an error of its own."""
    (tmp_path / "there").mkdir()
    (tmp_path / "file").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("there", "file", "link"):
        done = aifs("new-provider", "acme", "--path", name, env=bare)
        assert done.returncode == 2
        assert "exists already" in done.stderr
    assert files(tmp_path / "there") == {}
    assert (tmp_path / "file").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()
    assert aifs("new-provider", "acme", "--path", "no/such", env=bare).returncode == 3
