"""The options that several commands share, and how their values are read."""

from __future__ import annotations

import json
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pydantic import JsonValue

    from aifs_media.settings import Settings

WHAT, HOW, JOB = "What", "How it should be", "The job"
OTHER_LEDGERS = "Set MEDIA_LEDGER=sqlite:///path/to/media.db, or MEDIA_LEDGER=memory to keep no record."


class OnCancel(StrEnum):
    """What happens at the provider when the wait ends early."""

    CANCEL = "cancel"
    DETACH = "detach"


class MediaKind(StrEnum):
    """What a model makes."""

    IMAGE = "image"
    VIDEO = "video"


Prompt = Annotated[str, typer.Argument(help="What should be seen.", show_default=False)]
Model = Annotated[str | None, typer.Option("--model", "-m", help="model, or provider:model.", rich_help_panel=WHAT)]
Image = Annotated[
    str | None, typer.Option("--image", help="A start frame: a file or an https URL.", rich_help_panel=WHAT)
]
NegativePrompt = Annotated[
    str | None, typer.Option("--negative-prompt", help="What should not be seen.", rich_help_panel=WHAT)
]
Dimensions = Annotated[
    str | None, typer.Option("--size", help="Width x height in pixels, like 1024x768.", rich_help_panel=HOW)
]
AspectRatio = Annotated[str | None, typer.Option("--aspect-ratio", help="Like 16:9.", rich_help_panel=HOW)]
Seed = Annotated[int | None, typer.Option("--seed", help="Makes the result repeatable.", rich_help_panel=HOW)]
OutputFormat = Annotated[str | None, typer.Option("--format", help="Like png.", rich_help_panel=HOW)]
OwnOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        "-o",
        metavar="KEY=VALUE",
        help="The model's own option by its own name; the value is read as JSON, else as text. Repeatable.",
        rich_help_panel=HOW,
    ),
]
NoCheckOptions = Annotated[
    bool, typer.Option("--no-check-options", help="Send --option as it is, unchecked.", rich_help_panel=HOW)
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="KEY=VALUE", help="A label for job and asset. Repeatable.", rich_help_panel=JOB),
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds to wait.", rich_help_panel=JOB)]
CancelChoice = Annotated[
    OnCancel | None,
    typer.Option("--on-cancel", help="What the provider does when the wait ends early.", rich_help_panel=JOB),
]
JobId = Annotated[str | None, typer.Option("--job-id", help="Your own id of the job.", rich_help_panel=JOB)]
Namespace = Annotated[str, typer.Option("--namespace", help="Whose job it is.", rich_help_panel=JOB)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document, errors included.")]
EnvFile = Annotated[
    Path | None, typer.Option("--env-file", help="Read settings from this file; ./.env by default.", show_default=False)
]


def read_settings(env_file: Path | None, *, records: bool = False) -> Settings:
    """Return the settings of the environment and of the named file, or of `.env` in the current folder.

    Args:
        env_file: the named file.
        records: whether the command records jobs, or asks for recorded ones. Only then is a place for them made.

    Raises:
        ConfigurationError: the named file is not there or cannot be read, or there is no place for the record of jobs.
    """
    from aifs_media.settings import Settings

    if env_file is None and Path(".env").is_file():
        env_file = Path(".env")
    settings = Settings.from_env(env_file=env_file)
    if settings.given("MEDIA_LEDGER") or not records:
        return settings
    # A command is a process of its own: without a ledger on disk, `resume` and `jobs` would know nothing.
    return Settings.from_env(env_file=env_file, media_ledger=f"sqlite:///{_own_ledger()}")


def own_ledger_path() -> Path:
    """Return the file in which the command line remembers its jobs, in the user's data folder."""
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "aifs-media" / "jobs.db"


def _own_ledger() -> Path:
    """Make that file.

    It holds prompts, so that it is for this user's eyes only; SQLite gives the files that it puts beside it the same mode.
    """
    file = own_ledger_path()
    try:
        file.parent.parent.mkdir(parents=True, exist_ok=True)
        file.parent.mkdir(mode=0o700, exist_ok=True)
        file.touch(mode=0o600)
    except OSError as error:
        from aifs_media.errors import ConfigurationError

        raise ConfigurationError(
            f"The record of jobs {str(file)!r} cannot be made: {error.strerror}.",
            hint=OTHER_LEDGERS,
        ) from error
    return file


def read_tags(pairs: Sequence[str] | None) -> dict[str, str]:
    """Read `KEY=VALUE` texts. Raises typer.BadParameter."""
    return dict(_split(pairs, option="--tag"))


def read_own_options(pairs: Sequence[str] | None) -> dict[str, JsonValue]:
    """Read `KEY=VALUE` texts whose values are JSON, else plain text. Raises typer.BadParameter."""
    return {name: _json_or_text(value) for name, value in _split(pairs, option="--option")}


def read_on_cancel(chosen: OnCancel | None) -> Literal["cancel", "detach"]:
    """Return the choice as the library names it. Who stops a command means the job too, unless it was said otherwise."""
    return "cancel" if chosen is None else chosen.value


def _split(pairs: Sequence[str] | None, *, option: str) -> Iterator[tuple[str, str]]:
    for pair in pairs or ():
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise typer.BadParameter(f"{option} {pair!r} is not of the form KEY=VALUE.")
        yield name, value


def _json_or_text(value: str) -> JsonValue:
    try:
        return cast("JsonValue", json.loads(value))
    except ValueError:
        return value
