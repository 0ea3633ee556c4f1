"""The commands put together, and how every one of them ends: with a result, or with an error and its exit code."""

from __future__ import annotations

import io
import logging
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from aifs_media.cli.demo import demo, emulate
from aifs_media.cli.doctor import doctor
from aifs_media.cli.interrupted import Interrupted
from aifs_media.cli.job_commands import adopt, cancel, jobs, recover, resume
from aifs_media.cli.listing import models, providers
from aifs_media.cli.media_commands import image, video
from aifs_media.cli.new_provider import new_provider
from aifs_media.cli.text_commands import caption, text
from aifs_media.errors import MediaError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Typer carries a copy of click in new versions and imports click in old ones; this is the base of its usage errors in both.
UsageError: type[typer.BadParameter] = typer.BadParameter.__mro__[1]

application = typer.Typer(
    name="aifs-media",
    help="From a prompt to an image or video that is yours, in your own bucket or folder.",
    epilog="Settings are read from the environment and from ./.env. Exit codes come from the errors: see docs/cli.md.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (
    image, video, text, caption, jobs, resume, recover, adopt, cancel, models, providers, doctor, demo, emulate, new_provider,
):  # fmt: skip
    application.command()(command)


def _print_version(wanted: bool) -> None:  # noqa: FBT001 - typer calls it with the option's value
    if wanted:
        from aifs_media import __version__

        typer.echo(f"aifs-media {__version__}")
        raise typer.Exit


@application.callback(invoke_without_command=True)
def begin(
    context: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - handled by its callback before this runs
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Show the help where no command was given."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def run(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    warnings.showwarning = _show_warning
    # Retries are told in words where they matter; the retry library's own log line would stand between them.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that cannot show a sign gets a question mark, and not a traceback after something was paid.
            stream.reconfigure(errors="replace")
    try:
        code = _run(arguments, as_json="--json" in arguments)
        if sys.stdout is not None:  # closed by whoever began the process
            sys.stdout.flush()
    except OSError as error:
        if error.filename is not None:
            # Of a file, and not of a stream: a mistake of this program, which has to be seen.
            raise
        from aifs_media.cli.output import NotPrintedError, silence

        silence(sys.stdout)
        # Of a pipe the reader has gone, as with `| head`, and wants to hear nothing.
        if not isinstance(error, NotPrintedError | BrokenPipeError):
            typer.echo(f"Error: The output could not be written: {error.strerror}.", err=True)
        code = 1
    _let_go_of_stderr()
    return code


def _let_go_of_stderr() -> None:
    """What happened on the way is worth no other exit code."""
    try:
        if sys.stderr is not None:
            sys.stderr.flush()
    except OSError:
        from aifs_media.cli.output import silence

        silence(sys.stderr)


def _run(arguments: Sequence[str], *, as_json: bool) -> int:
    try:
        code = application(list(arguments), prog_name="aifs-media", standalone_mode=False)
    except UsageError as error:
        from aifs_media.cli.output import print_usage_error

        return print_usage_error(error, as_json=as_json)
    except (MediaError, Interrupted) as error:
        from aifs_media.cli.output import print_error

        return print_error(error, as_json=as_json)
    except KeyboardInterrupt:
        return 130
    return code if isinstance(code, int) else 0


def _show_warning(  # noqa: PLR0917 - the interpreter calls it so
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print what the library warns of as a sentence for the person who runs the command."""
    del category, filename, lineno, file, line
    typer.echo(f"Note: {message}", err=True)
