"""Write the parts of the documentation that are made from the code: `python docs/generate.py`.

A made part stands between two comments. The tests check that every one is current.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from aifs_media import errors
from aifs_media.cli.application import application
from aifs_media.providers.openai import OpenAIProvider
from aifs_media.providers.poe import PoeProvider
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.settings import NO_LONGER_USED, OLD_NAMES, SETTINGS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aifs_media.records import Capability, Price

PROJECT = Path(__file__).resolve().parents[1]
MADE = re.compile(r"(<!-- made by docs/generate.py: (\w+) -->\n).*?(<!-- end of what is made -->)", re.DOTALL)

ENV_HEAD = """\
# Copy to .env and fill in. The command `aifs-media` reads ./.env by itself; in Python: MediaGenerator.from_env(env_file=".env").
# What each name means: docs/configuration.md. A line without a value counts as not set.

REPLICATE_API_KEY=
POE_API_KEY=
VIDEO_MODEL=poe:veo-3.1

R2_ACCOUNT_ID=
R2_ACCESS_KEY_ID=
R2_SECRET_ACCESS_KEY=
R2_BUCKET=
R2_PUBLIC_URL=

# Everything else, with its default.
"""


def settings() -> str:
    """Return the table of settings."""
    rows = ["| name | meaning | default |", "|---|---|---|"]
    for row in SETTINGS:
        names = ", or ".join(f"`{name}`" for name in (row.name, *row.aliases))
        rows.append(f"| {names} | {row.meaning}{' (secret)' if row.secret else ''} | {_code(row.default)} |")
    return "\n".join(rows) + "\n"


def old_names() -> str:
    """Return the table of names that are not read."""
    rows = ["| name | use instead |", "|---|---|"]
    rows += [f"| `{old}` | {new} |" for old, new in OLD_NAMES.items()]
    rows += [f"| `{old}` | {reason} |" for old, reason in NO_LONGER_USED.items()]
    return "\n".join(rows) + "\n"


def error_classes() -> str:
    """Return the table of errors, in the order of the tree."""
    rows = ["| error | `code` | when | exit code | HTTP status |", "|---|---|---|---|---|"]
    for depth, error in _tree(errors.MediaError, 0):
        when = (error.__doc__ or "").partition("\n")[0]
        name = f"{'&nbsp;&nbsp;' * depth}`{error.__name__}`"
        rows.append(f"| {name} | `{error.code}` | {when} | {error.exit_code} | {error.http_status} |")
    return "\n".join(rows) + "\n"


def models() -> str:
    """Return the table of models with built-in data."""
    rows = ["| model | makes | options | usual wait | published price | note |", "|---|---|---|---|---|---|"]
    for provider in (ReplicateProvider, PoeProvider, OpenAIProvider):
        rows += [_model(provider.name, capability) for capability in provider.capabilities]
    return "\n".join(rows) + "\n"


def commands() -> str:
    """Return the commands with their arguments and options; not their help as a terminal shows it, which differs by versions."""
    sections: list[str] = []
    for name, command in typer.main.get_command(application).commands.items():
        rows = [f"### aifs-media {name}", "", command.help, "", "| argument or option | meaning |", "|---|---|"]
        for parameter in command.params:
            names = [f"`{option}`" for option in parameter.opts]
            if parameter.param_type_name == "argument":
                names = [f"`{parameter.name.upper()}`"]
            rows.append(f"| {', '.join(names)} | {parameter.help}{_shown_default(parameter.default)} |")
        sections.append("\n".join(rows) + "\n")
    return "\n".join(sections)


def env_example() -> str:
    """Return the sample of a .env file."""
    shown = set(re.findall(r"^(\w+)=", ENV_HEAD, re.MULTILINE))
    return ENV_HEAD + "".join(f"# {row.name}={row.default}\n" for row in SETTINGS if row.name not in shown)


PARTS: dict[str, Callable[[], str]] = {
    "settings": settings,
    "old_names": old_names,
    "error_classes": error_classes,
    "models": models,
    "commands": commands,
}


def renewed(text: str) -> str:
    """Return a page with its made parts made anew."""
    return MADE.sub(lambda found: f"{found[1]}\n{PARTS[found[2]]()}\n{found[3]}", text)


def pages() -> list[Path]:
    """Return all pages."""
    return [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]


def _tree(error: type[errors.MediaError], depth: int) -> Iterator[tuple[int, type[errors.MediaError]]]:
    yield depth, error
    for child in error.__subclasses__():
        if child.__module__ == errors.__name__:
            yield from _tree(child, depth + 1)


def _model(provider: str, capability: Capability) -> str:
    first = "size" if "width" in capability.names else ""
    others = [name for name in capability.names if name not in {"prompt", "width", "height"}]
    frames = capability.frames
    counted = ("duration", "fps" if frames.fps_name else "") if frames else ()
    options = ", ".join(dict.fromkeys(name for name in (first, *others, *counted) if name))
    wait = f"{capability.typical_seconds:g} s" if capability.typical_seconds else ""
    cells = (
        f"`{provider}:{capability.model}`",
        capability.kind,
        options,
        wait,
        _price(capability.price),
        capability.note,
    )
    return f"| {' | '.join(cells)} |"


def _price(price: Price | None) -> str:
    return f"{price.amount} {price.currency} per {price.per.replace('_', ' ')} ({price.as_of})" if price else "unknown"


def _shown_default(default: object) -> str:
    return (
        f" By default {default}."
        if isinstance(default, int | str) and default and not isinstance(default, bool)
        else ""
    )


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


if __name__ == "__main__":
    for page in pages():
        page.write_text(renewed(page.read_text()))
    (PROJECT / ".env.example").write_text(env_example())
