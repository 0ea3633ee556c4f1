"""`new-provider`: the skeleton of a package with a provider, working and tested before the first line is changed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

LONGEST_NAME = 40
NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

SKELETON = {
    "pyproject.toml": "pyproject.toml.txt",
    "README.md": "README.md.txt",
    "src/{module}/__init__.py": "module.py.txt",
    "src/{module}/py.typed": "",
    "tests/test_{snake}.py": "test.py.txt",
}
"""What is written, and from which file of the folder `skeleton`: the example provider of the documentation, "acme"."""


def new_provider(
    name: Annotated[str, typer.Argument(help="The provider's name, as in NAME:model.", show_default=False)],
    *,
    path: Annotated[
        Path | None, typer.Option("--path", help="The folder to make; aifs-media-NAME by default.", show_default=False)
    ] = None,
) -> None:
    """Write the skeleton of a package with a provider of your own, tests included."""
    _check(name)
    folder = path or Path(f"aifs-media-{name}")
    _write(folder, skeleton(name))
    typer.echo(
        f"{folder} holds a provider for a made-up API; its README says what to change. Its tests pass already, in an "
        "environment into which aifs-media was installed before:\n\n"
        f"  cd {folder}\n  pip install -e . pytest trio\n  pytest"
    )


def skeleton(name: str) -> dict[str, str]:
    """Return the files of the skeleton by their paths."""
    templates = Path(__file__).with_name("skeleton")
    snake = name.replace("-", "_")
    return {
        path.format(module=f"aifs_media_{snake}", snake=snake): _renamed(
            (templates / template).read_text("utf-8"), name
        )
        if template
        else ""
        for path, template in SKELETON.items()
    }


def _renamed(text: str, name: str) -> str:
    """Put a name in the place of "acme", in each of the forms that it takes."""
    words, snake = name.split("-"), name.replace("-", "_")
    camel = "".join(word.title() for word in words)
    forms = {
        "aifs_media_acme": f"aifs_media_{snake}",
        "test_acme": f"test_{snake}",
        "AcmeProvider": f"{camel}Provider",
        "ACME": snake.upper(),
        "Acme": " ".join(word.title() for word in words),
        "acme": name,
    }
    return re.sub("|".join(forms), lambda found: forms[found[0]], text)


def _check(name: str) -> None:
    from aifs_media._registry import BUILT_IN_PROVIDERS
    from aifs_media.errors import RequestRejectedError

    if NAME.fullmatch(name) is None or len(name) > LONGEST_NAME:
        raise RequestRejectedError(
            f"{name!r} cannot be a provider's name.",
            hint=f"Use small letters and digits, with single hyphens between words, at most {LONGEST_NAME}: acme, pixel-forge.",
        )
    if name in BUILT_IN_PROVIDERS:
        raise RequestRejectedError(
            f"{name!r} is built in, so that a package with that name would never be asked.", hint="Choose another name."
        )


def _write(folder: Path, files: dict[str, str]) -> None:
    from aifs_media.errors import ConfigurationError, RequestRejectedError

    try:
        folder.mkdir()
        for path, text in files.items():
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
    except FileExistsError as error:
        raise RequestRejectedError(
            f"{str(folder)!r} exists already.", hint="Nothing was written. Choose another folder with --path."
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{str(folder)!r} cannot be written: {error.strerror or error}.", hint="Choose another folder with --path."
        ) from error
