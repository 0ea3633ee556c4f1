"""`jobs`, `resume`, `recover`, `adopt` and `cancel`: what the command line's own ledger remembers."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from aifs_media.cli import options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Sequence
    from pathlib import Path

    from aifs_media.generator import MediaGenerator
    from aifs_media.records import Asset, Job
    from aifs_media.recovery import RecoveryReport
    from aifs_media.settings import Settings

JobId = Annotated[str, typer.Argument(help="The job's id, as `aifs-media jobs` shows it.", show_default=False)]
Namespace = Annotated[str, typer.Option("--namespace", help="Whose job it is.")]
Wait = Annotated[float | None, typer.Option("--timeout", help="Seconds to wait; 0 looks once.")]


def jobs(
    *,
    tag: options.Tags = None,
    stage: Annotated[list[str] | None, typer.Option("--stage", help="Only jobs at this stage. Repeatable.")] = None,
    namespace: Annotated[str | None, typer.Option("--namespace", help="Only this one's jobs.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="At most so many, newest first.")] = 20,
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the jobs that were made with the command line."""
    from typing import cast, get_args

    from aifs_media.cli.running import run
    from aifs_media.records import Stage

    for one in stage or ():
        if one not in get_args(Stage):
            raise typer.BadParameter(f"{one!r} is no stage. There are: {', '.join(get_args(Stage))}.")
    stages = cast("list[Stage] | None", stage)
    tags = options.read_tags(tag)

    async def search(media: MediaGenerator) -> list[Job]:
        return await media.jobs(namespace=namespace, tags=tags, stages=stages, limit=limit)

    found = run(search, settings=options.read_settings(env_file, records=True))
    if as_json:
        typer.echo(f"[{', '.join(map(_as_json, found))}]")
        return
    for job in found:
        request = job.request
        typer.echo(f"{job.job_id}  {job.stage:<10}  {job.created_at:%Y-%m-%d %H:%M}  {request.provider}:{request.model}  {request.prompt[:60]}")  # fmt: skip


def _as_json(job: Job) -> str:
    """Return what may be shown of a job: without the outputs' addresses, and without what signs its handle."""
    from aifs_media._secrets import redact

    return redact(job.model_dump_json(exclude={"parts", "request"}))


def resume(
    job_id: JobId,
    *,
    namespace: Namespace = "",
    timeout: Wait = None,
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Go on with a job from wherever it stands, and store its media."""

    async def go_on(media: MediaGenerator) -> Sequence[Asset]:
        return await media.resume(job_id, namespace=namespace, timeout=timeout)

    _print_media(go_on, env_file, as_json=as_json, namespace=namespace)


def adopt(
    name: Annotated[str, typer.Argument(help="provider:id, like replicate:abc123.", show_default=False)],
    *,
    kind: Annotated[options.MediaKind, typer.Option("--kind", help="What the job makes.")],
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Store the media of a job that exists at a provider and in no ledger."""

    async def take(media: MediaGenerator) -> Sequence[Asset]:
        return await media.adopt(name, kind=kind.value)

    _print_media(take, env_file, as_json=as_json)


def _print_media(
    work: Callable[[MediaGenerator], Awaitable[Sequence[Asset]]],
    env_file: Path | None,
    *,
    as_json: bool,
    namespace: str = "",
) -> None:
    from aifs_media.cli.output import print_assets
    from aifs_media.cli.running import run

    settings = options.read_settings(env_file, records=True)
    with _ledger_named(settings):
        assets = run(work, settings=settings, namespace=namespace)
    print_assets(assets, as_json=as_json, several=True)


@contextmanager
def _ledger_named(settings: Settings) -> Generator[None]:
    """Say of a job that is not known which file was looked into."""
    from aifs_media.errors import JobNotFoundError

    try:
        yield
    except JobNotFoundError as error:
        ledger = settings.text("MEDIA_LEDGER")
        # One that a provider does not know is another matter; and another address may hold a password.
        if not error.provider and ledger.startswith("sqlite:///"):
            error.hint = f"It is the file {ledger.removeprefix('sqlite:///')!r}; `aifs-media jobs` lists what it knows."
        raise


def recover(*, env_file: options.EnvFile = None, as_json: options.AsJson = False) -> None:
    """Bring all unfinished jobs to their ends: store what was paid for, and say what cannot be."""
    from aifs_media.cli.output import print_assets
    from aifs_media.cli.running import run

    async def all_of_them(media: MediaGenerator) -> RecoveryReport:
        return await media.recover()

    report = run(
        all_of_them, settings=options.read_settings(env_file, records=True), doing="Looking for unfinished jobs"
    )
    if as_json:
        failed = {job_id: {"code": error.code, "message": str(error)} for job_id, error in report.failed.items()}
        document = {
            "assets": [asset.model_dump(mode="json") for asset in report.assets],
            "failed": failed, "held": report.held, "unsent": report.unsent,
        }  # fmt: skip
        typer.echo(json.dumps(document))
    else:
        print_assets(report.assets, as_json=False)
        for job_id, error in report.failed.items():
            typer.echo(f"{job_id}: {error}", err=True)
        for job_id in report.held:
            typer.echo(f"{job_id}: another process works on it.", err=True)
        for job_id in report.unsent:
            typer.echo(
                f"{job_id}: was never sent; `aifs-media resume {job_id}` sends it, and `cancel` drops it.", err=True
            )
        typer.echo(f"{len(report.assets)} stored, {len(report.failed)} not.", err=True)
    if report.failed:
        raise typer.Exit(next(iter(report.failed.values())).exit_code)


def cancel(
    job_id: JobId, *, namespace: Namespace = "", env_file: options.EnvFile = None, as_json: options.AsJson = False
) -> None:
    """Stop a job at its provider. A result that came first is stored and kept."""
    from aifs_media.cli.output import print_assets
    from aifs_media.cli.running import run

    async def stop(media: MediaGenerator) -> Job:
        return await media.cancel(job_id, namespace=namespace)

    settings = options.read_settings(env_file, records=True)
    with _ledger_named(settings):
        job = run(stop, settings=settings, namespace=namespace)
    if as_json:
        typer.echo(_as_json(job))
    else:
        print_assets(job.assets, as_json=False)
        typer.echo(f"The job is {job.stage}.")
