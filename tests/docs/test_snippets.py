"""Every Python snippet of the documentation is a file, and every such file runs against the emulator."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).resolve().parents[2]
SNIPPETS = sorted((PROJECT / "docs/snippets").glob("*.py"))
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted((PROJECT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:<!-- from (\S+) -->\n)?```(?:python|py|toml)\n(.*?)```", re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#([^)\s]+))?\)")


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda path: path.name)
def test_the_snippet_runs(emulator: Emulator, snippet: Path, tmp_path: Path) -> None:
    """The snippet ends well, without a warning, with the emulator in place of the vendors and a folder for a bucket."""
    (tmp_path / ".env").write_text("MEDIA_STORAGE=memory\n")
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "SYSTEMROOT") if name in os.environ}
    env = {**kept, **emulator.settings(), "MEDIA_STORAGE": "local", "MEDIA_LOCAL_DIR": str(tmp_path / "media")}
    runner = PROJECT / "tests/docs/run_snippet.py"
    command = [sys.executable, "-W", "error", runner, snippet]
    if snippet.name.startswith("pytest_"):
        command = [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", snippet]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_every_block_is_its_file(page: Path) -> None:
    """Each fenced block of Python or TOML names the file it is from and is contained in it, word for word."""
    for file, code in BLOCK.findall(page.read_text()):
        assert file, f"{page.name}: a block names no file:\n{code}"
        assert code in (PROJECT / file).read_text(), f"{page.name}: not in {file}:\n{code}"


def test_every_snippet_is_shown() -> None:
    """No snippet lies around without a page that shows it."""
    shown = {file for page in PAGES for file, _ in BLOCK.findall(page.read_text())}
    assert {f"docs/snippets/{path.name}" for path in SNIPPETS} <= shown


def test_the_page_on_providers_shows_the_whole_example() -> None:
    """The blocks of docs/writing-a-provider.md make up the whole module and the whole pyproject and tests of the example."""
    blocks = BLOCK.findall((PROJECT / "docs/writing-a-provider.md").read_text())
    for name in ("pyproject.toml", "src/aifs_media_acme/__init__.py", "tests/test_acme.py"):
        file = f"examples/acme-provider/{name}"
        together = "".join(code for found, code in blocks if found == file)
        whole = (PROJECT / file).read_text()
        assert [line for line in together.splitlines() if line] == [line for line in whole.splitlines() if line]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """Each relative link names a file, and its fragment a heading in it."""
    for target, fragment in LINK.findall(page.read_text()):
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / target).resolve()
        assert file.exists(), f"{page.name}: {target}"
        if fragment:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert fragment in anchors, f"{page.name}: {target}#{fragment}"


def test_the_files_that_contributing_and_architecture_name_exist() -> None:
    """Each file that the two pages send a reader to is there."""
    for page in ("CONTRIBUTING.md", "docs/architecture.md"):
        for name in re.findall(r"`((?:\w+/)*\w+\.py|(?:\w+/)+)`", (PROJECT / page).read_text()):
            assert (PROJECT / "src/aifs_media" / name).exists() or (PROJECT / name).exists(), f"{page}: {name}"
