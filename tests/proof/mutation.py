"""Takes one protection at a time away from a copy of the library, and expects a test to fail; without it, the tests prove nothing.

    python tests/proof/mutation.py [word in a mutant's name ...]

Prints one line for each protection, and ends with 1 if one can be taken away without a test that notices.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.proof import mutants, mutants_of_calls, mutants_of_media

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.proof.mutants import Mutant

ROOT = Path(__file__).parents[2]
MUTANTS = (
    *mutants.NEVER_TWICE,
    *mutants.FENCES,
    *mutants_of_media.NEVER_LOST,
    *mutants_of_media.NEVER_LIE,
    *mutants_of_media.NEVER_TELL,
    *mutants_of_calls.NEVER_GUESS,
)
WORKERS = 2
LIMIT = 150.0
"""Seconds for the tests of one mutant. Some protections keep a call from waiting for ever."""

FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


class Run(NamedTuple):
    """How pytest ended: its exit code (None if it had to be stopped), the first test that failed, and what it printed."""

    code: int | None
    failed: str
    text: str


def run_tests(source: Path, tests: Iterable[str], *options: str) -> Run:
    """Run tests against the library in `source` until the first one fails."""
    command = [
        sys.executable, "-m", "pytest", "-x", "-q", "-rfE", "--tb=line", "-p", "no:cacheprovider", *options, *tests,
    ]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": str(source), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return Run(None, "", "")
    found = FAILED.search(done.stdout)
    return Run(done.returncode, found[1] if found else "", done.stdout + done.stderr)


def copy_of_source(folder: Path) -> Path:
    """Copy the library and return where to import it from."""
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("__pycache__"))
    return folder / "src"


def mutated(text: str, mutant: Mutant) -> str:
    """Return the text of the file without the protection.

    Raises:
        SystemExit: it is not there exactly once.
    """
    if (count := text.count(mutant.old)) != 1:
        raise SystemExit(f"{mutant.file} holds the text of {mutant.name!r} {count} times; correct its entry.")
    changed = text.replace(mutant.old, mutant.new)
    compile(changed, mutant.file, "exec")
    return changed


def verdict(mutant: Mutant) -> tuple[Mutant, str, bool]:
    """Return what noticed that a protection is gone, and whether anything did."""
    with tempfile.TemporaryDirectory() as folder:
        source = copy_of_source(Path(folder))
        path = source / "aifs_media" / mutant.file
        path.write_text(mutated(path.read_text(encoding="utf-8"), mutant), encoding="utf-8")
        ended = run_tests(source, mutant.tests)
    if ended.code == 1 and ended.failed:
        return mutant, ended.failed, True
    if ended.code is None:
        return mutant, f"nothing within {LIMIT:g} s", False
    # Neither green nor a failed test, for example a name that pytest does not know, proves nothing either.
    return mutant, "NOTHING" if ended.code == 0 else f"pytest ended with {ended.code}\n{ended.text[-2000:]}", False


def unchanged(chosen: list[Mutant]) -> bool:
    """Say whether the same tests pass on a copy without any change."""
    tests = dict.fromkeys(test for one in chosen for test in one.tests)
    with tempfile.TemporaryDirectory() as folder:
        source = copy_of_source(Path(folder))
        where = subprocess.run(
            [sys.executable, "-c", "import aifs_media; print(aifs_media.__file__)"],
            env={**os.environ, "PYTHONPATH": str(source)}, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert where.stdout.startswith(str(source)), "the tests would run against another copy of the library"
        ended = run_tests(source, tests, "-n", str(WORKERS))
    if ended.code != 0:
        print(f"Red without any change: {ended.failed or ended.code}\n{ended.text[-3000:]}")
    return ended.code == 0


def main(words: list[str]) -> int:
    """Run every mutant, or those whose names hold one of the words."""
    began = time.monotonic()
    chosen = [one for one in MUTANTS if not words or any(word in one.name for word in words)]
    if not unchanged(chosen):
        return 1
    print(f"The unchanged copy is green ({time.monotonic() - began:.0f} s).\n")
    survived = 0
    with ThreadPoolExecutor(WORKERS) as workers:
        for mutant, notice, killed in workers.map(verdict, chosen):
            survived += not killed
            print(f"{'red ' if killed else 'GREEN'} | {mutant.name} | {mutant.file} | {notice}", flush=True)
    print(f"\n{len(chosen) - survived} of {len(chosen)} were noticed, in {time.monotonic() - began:.0f} s.")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
