"""`doctor`: is everything set up, and what to do about it if not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from aifs_media.cli import options

if TYPE_CHECKING:
    from aifs_media.generator import MediaGenerator
    from aifs_media.records import HealthReport


def doctor(*, env_file: options.EnvFile = None, as_json: options.AsJson = False) -> None:
    """Check keys, storage, public address, clock, plugins and settings. Spends nothing; exits with 3 if something is wrong."""
    from aifs_media.cli.running import run
    from aifs_media.errors import ConfigurationError

    async def check(media: MediaGenerator) -> HealthReport:
        return await media.check()

    report = run(check, settings=options.read_settings(env_file), doing="Asking providers and storage")
    if as_json:
        typer.echo(report.model_dump_json())
    else:
        _print_report(report)
    raise typer.Exit(0 if report.ok else ConfigurationError.exit_code)


def _print_report(report: HealthReport) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, show_header=False, padding=(0, 1))
    for check in report.checks:
        sign = Text("✓", style="green") if check.ok else Text("✗", style="bold red")
        table.add_row(sign, Text(check.name), Text(check.message))
        if check.hint:
            table.add_row("", "", Text(f"→ {check.hint}", style="" if check.ok else "yellow"))
    console = Console(highlight=False, emoji=False)
    console.print(table)
    wrong = sum(not check.ok for check in report.checks)
    console.print(
        f"{wrong} of {len(report.checks)} checks found something to do." if wrong else "Everything is set up."
    )
