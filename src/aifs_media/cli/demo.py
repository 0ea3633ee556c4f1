"""`demo` and `emulate`: the emulator at work, for a first try without an account."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Generator

    from aifs_media.generator import MediaGenerator
    from aifs_media.records import Asset
    from aifs_media.settings import Settings

IMAGES = {
    "lake": "A serene mountain lake at sunset",
    "fox": "A red fox in a pine forest, snow falling",
}
FILM = "Waves on a beach at dawn, birds above the sea"
FILM_MODEL = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
IMAGE_SIZE, FILM_SIZE, FILM_SECONDS, FILM_FPS = "1024x1024", "1024x576", 3.0, 8.0
LATENCY = 1.5
"""Seconds that the emulator takes for a generation."""


def demo(
    folder: Annotated[Path, typer.Option("--folder", help="Where the files go.")] = Path("media-demo"),
) -> None:
    """Make two images and a video with an emulator of the providers. Needs no account and no network."""
    from aifs_media.errors import StorageError
    from aifs_media.settings import Settings

    with _needs_the_extra():
        from aifs_media.testing.emulator import Emulator
    typer.echo(
        "The media below are made up by an emulator of the providers on this machine: no account, no network, no cost.\n"
        "Everything else is the real thing: submit, wait, download, verify, store.\n"
    )
    # A proxy knows nothing of servers on this machine.
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = "127.0.0.1"
    # A generation takes a moment, so that there is something to see.
    with Emulator(latency=LATENCY) as emulator:
        settings = Settings.from_env(
            emulator.settings(),
            media_storage="local",
            media_local_dir=str(folder),
            media_key_template="{job_id}-{index}.{extension}",
        )
        try:
            _make_all(settings)
        except StorageError as error:
            error.hint = error.hint.replace("MEDIA_LOCAL_DIR", "--folder")
            raise
        books = emulator.books()
    typer.echo(f"Files: {folder.absolute()}")
    typer.echo(
        f"The emulator's books: {books.creates} jobs, {books.downloads} downloads, {books.billed('USD'):g} USD. "
        "The true provider would have charged about that; here nobody pays."
    )


def emulate(
    port: Annotated[int, typer.Option("--port", min=0, max=65535, help="Port of the API; a free one by default.")] = 0,
) -> None:
    """Serve the emulated providers on this machine until Ctrl-C. Prints one line of JSON when ready: addresses and settings."""
    from aifs_media.errors import ConfigurationError

    with _needs_the_extra():
        from aifs_media.testing.emulator import serve
    try:
        serve(port)
    except OSError as error:
        # The emulator says which port it was, and what to do.
        raise ConfigurationError(error.strerror or str(error)) from error


@contextmanager
def _needs_the_extra() -> Generator[None]:
    """Turn a missing package into an error that says how to install it."""
    from aifs_media.errors import ConfigurationError

    try:
        yield
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"The emulator needs {error.name!r}, which is not installed.",
            hint="Run: pip install 'aifs-media[emulator]'",
        ) from error


def _make_all(settings: Settings) -> None:
    from aifs_media.cli.running import run

    for name, prompt in IMAGES.items():
        typer.echo(f"Image: {prompt}")

        async def draw(media: MediaGenerator, name: str = name, prompt: str = prompt) -> Asset:
            return await media.image(prompt, job_id=name, size=IMAGE_SIZE, output_format="png")

        _print_file(run(draw, settings=settings), asked=IMAGE_SIZE)
    typer.echo(f"Video: {FILM}")

    async def film(media: MediaGenerator) -> Asset:
        return await media.video(
            FILM, job_id="waves", model=FILM_MODEL, size=FILM_SIZE, duration=FILM_SECONDS, fps=FILM_FPS
        )

    _print_file(run(film, settings=settings), asked=f"{FILM_SIZE}, {FILM_SECONDS:g} s, {FILM_FPS:g} frames per second")


def _print_file(asset: Asset, *, asked: str) -> None:
    from aifs_media.cli.wording import bytes_in_words, cost_in_words, shape_in_words

    typer.echo(f"  {asset.url}")
    typer.echo(f"  asked for {asked}; measured {shape_in_words(asset)}, {bytes_in_words(asset.size)}")
    typer.echo(f"  cost: {cost_in_words(asset.cost)}")
    for warning in asset.warnings:
        typer.echo(f"  warning: {warning}")
    typer.echo()
