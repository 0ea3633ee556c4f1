"""`doctor`: is everything set up, and what to do about it if not."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import typer

from aifs_media.cli import options

if TYPE_CHECKING:
    from rich.text import Text

    from aifs_media.generator import MediaGenerator
    from aifs_media.records import Check, HealthReport


def doctor(*, env_file: options.EnvFile = None, as_json: options.AsJson = False) -> None:
    """Check keys, storage, public address, clock, plugins and settings. Spends nothing; exits with 3 if something is wrong."""
    from aifs_media.cli.running import run
    from aifs_media.errors import ConfigurationError

    async def check(media: MediaGenerator) -> HealthReport:
        return await media.check()

    settings = options.read_settings(env_file)
    report = run(check, settings=settings, doing="Asking providers and storage")
    if not settings.given("MEDIA_LEDGER"):
        report = report.model_copy(update={"checks": (*report.checks, _own_record())})
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        _print_report(report)
    raise typer.Exit(0 if report.ok else ConfigurationError.exit_code)


def _own_record() -> Check:
    """Tell where commands record their jobs, which is not where Python code does; and whether they can. Makes nothing."""
    from aifs_media.records import Check

    file = options.own_ledger_path()
    there = next(path for path in (file, *file.parents) if os.access(path, os.F_OK))
    if os.access(there, os.W_OK) and (there == file or there.is_dir()):
        return Check(name="command line", ok=True, message=f"Commands record their jobs in {str(file)!r}.")
    message = f"Commands that record jobs cannot be used: {str(there)!r} is no folder that can be written."
    return Check(name="command line", ok=True, message=message, hint=options.OTHER_LEDGERS)


def _print_report(report: HealthReport) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=False, padding=(0, 1))
    for check in report.checks:
        table.add_row(_sign(check), Text(check.name), Text(check.message))
        if check.hint:
            table.add_row("", "", Text(f"→ {check.hint}", style="" if check.ok else "yellow"))
    console = Console(highlight=False, emoji=False)
    console.print(table)
    wrong = sum(not check.ok for check in report.checks)
    noted = any(check.ok and check.hint for check in report.checks)
    if wrong:
        console.print(f"{wrong} of {len(report.checks)} checks found something to do.")
    else:
        console.print("What is set up works; • tells what is not." if noted else "Everything is set up.")


def _sign(check: Check) -> Text:
    from rich.text import Text

    if not check.ok:
        return Text("✗", style="bold red")
    # Fine as it is, and there is something to know about it.
    return Text("•") if check.hint else Text("✓", style="green")
