"""What a command leaves behind: assets and tables on stdout, errors on stderr, or one JSON document on stdout for both."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from aifs_media.cli.interrupted import Interrupted
from aifs_media.cli.wording import bytes_in_words, cost_in_words, shape_in_words
from aifs_media.errors import MediaError, PartialResultError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from typing import TextIO

    from aifs_media.records import Asset


def print_assets(assets: Sequence[Asset], *, as_json: bool, several: bool = False) -> None:
    """Print assets: as JSON one object, or an array where several were asked for. Raises NotPrintedError."""
    with _named_all_the_same(assets):
        if as_json:
            documents = [asset.model_dump_json() for asset in assets]
            typer.echo(f"[{', '.join(documents)}]" if several else documents[0])
            return
        for asset in assets:
            typer.echo("\n".join(asset_lines(asset)))


class NotPrintedError(OSError):
    """What was made could not be printed, and stderr has been told where it is."""


@contextmanager
def _named_all_the_same(assets: Sequence[Asset]) -> Generator[None]:
    """Where stdout takes nothing, name the jobs on stderr: what they made is paid for."""
    try:
        yield
    except OSError as error:
        if not assets:
            raise
        typer.echo(f"Error: The media are stored, but could not be printed: {error.strerror}.", err=True)
        for job_id, namespace in dict.fromkeys((asset.job_id, asset.namespace) for asset in assets):
            command = f"aifs-media resume {job_id}{f' --namespace {namespace}' if namespace else ''}"
            typer.echo(f"`{command}` prints them, and pays nothing.", err=True)
        raise NotPrintedError from error


def silence(stream: TextIO | None) -> None:
    """Write to nowhere from now on: the interpreter would complain when it flushes at its end what cannot be written."""
    if stream is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def asset_lines(asset: Asset) -> list[str]:
    """Return an asset for people: its URL on the first line, then what is known of it."""
    facts = ", ".join(filter(None, (asset.media_type, shape_in_words(asset), bytes_in_words(asset.size))))
    lines = [asset.url, f"  {facts}", f"  by {asset.provider}:{asset.model}"]
    if asset.expires_at is not None:
        lines.append(f"  this address works until {asset.expires_at:%Y-%m-%d %H:%M} UTC")
    if asset.seed is not None:
        lines.append(f"  seed: {asset.seed}")
    lines.extend((f"  cost: {cost_in_words(asset.cost)}", f"  job: {asset.job_id}"))
    lines.extend(f"  warning: {warning}" for warning in asset.warnings)
    if asset.emulated:
        lines.append("  made up by the emulator")
    return lines


def print_error(error: MediaError | Interrupted, *, as_json: bool) -> int:
    """Print an error, and the assets that exist all the same; return its exit code."""
    assets = error.assets if isinstance(error, PartialResultError | Interrupted) else ()
    if as_json:
        document: dict[str, object] = {
            "error": {
                "code": error.code,
                "message": error.message,
                "hint": error.hint,
                "exit_code": error.exit_code,
                "job_id": error.job_id,
                "retryable": error.retryable,
                "maybe_billed": error.maybe_billed,
                "resumable": error.resumable,
            }
        }
        if assets:
            document["assets"] = [asset.model_dump(mode="json") for asset in assets]
        with _named_all_the_same(assets):
            typer.echo(json.dumps(document))
        return error.exit_code
    print_assets(assets, as_json=False)
    typer.echo(f"Error: {error}" if isinstance(error, MediaError) else error.message, err=True)
    if error.maybe_billed:
        typer.echo("It may have been billed.", err=True)
    if error.resumable:
        typer.echo(f"Go on with it: aifs-media resume {error.job_id}", err=True)
    return error.exit_code


def print_usage_error(error: typer.BadParameter, *, as_json: bool) -> int:
    """Print what is wrong with the command line itself; return its exit code."""
    message = error.format_message()
    hint = f"See: {error.ctx.command_path} --help" if error.ctx else "See: aifs-media --help"
    if as_json:
        details = {
            "code": "usage",
            "message": message,
            "hint": hint,
            "exit_code": error.exit_code,
            "job_id": "",
            "retryable": False,
            "maybe_billed": False,
            "resumable": False,
        }
        typer.echo(json.dumps({"error": details}))
    else:
        typer.echo(f"Error: {message}\n{hint}", err=True)
    return error.exit_code
