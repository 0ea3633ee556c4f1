"""`image` and `video`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aifs_media.cli import options

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from aifs_media.call_options import ImageOptions, VideoOptions
    from aifs_media.generator import MediaGenerator
    from aifs_media.records import Asset


def image(
    prompt: options.Prompt,
    *,
    n: Annotated[int, typer.Option("-n", help="How many.", rich_help_panel=options.WHAT)] = 1,
    model: options.Model = None,
    image: options.Image = None,
    negative_prompt: options.NegativePrompt = None,
    size: options.Dimensions = None,
    aspect_ratio: options.AspectRatio = None,
    seed: options.Seed = None,
    output_format: options.OutputFormat = None,
    option: options.OwnOptions = None,
    no_check_options: options.NoCheckOptions = False,
    tag: options.Tags = None,
    timeout: options.Timeout = None,
    on_cancel: options.CancelChoice = None,
    job_id: options.JobId = None,
    namespace: options.Namespace = "",
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Make images and store them."""
    chosen: ImageOptions = {
        "model": model,
        "image": image,
        "negative_prompt": negative_prompt,
        "size": size,
        "aspect_ratio": aspect_ratio,
        "seed": seed,
        "output_format": output_format,
        "options": options.read_own_options(option),
        "check_options": not no_check_options,
        "tags": options.read_tags(tag),
        "timeout": timeout,
        "on_cancel": options.read_on_cancel(on_cancel),
        "job_id": job_id,
        "namespace": namespace,
    }

    async def make(media: MediaGenerator) -> Sequence[Asset]:
        return [await media.image(prompt, **chosen)] if n == 1 else await media.images(prompt, n=n, **chosen)

    _make_and_print(make, namespace=namespace, env_file=env_file, as_json=as_json, several=n != 1)


def video(
    prompt: options.Prompt,
    *,
    model: options.Model = None,
    image: options.Image = None,
    negative_prompt: options.NegativePrompt = None,
    duration: Annotated[float | None, typer.Option("--duration", help="Seconds.", rich_help_panel=options.HOW)] = None,
    fps: Annotated[float | None, typer.Option("--fps", help="Frames per second.", rich_help_panel=options.HOW)] = None,
    size: options.Dimensions = None,
    aspect_ratio: options.AspectRatio = None,
    seed: options.Seed = None,
    output_format: options.OutputFormat = None,
    option: options.OwnOptions = None,
    no_check_options: options.NoCheckOptions = False,
    tag: options.Tags = None,
    timeout: options.Timeout = None,
    on_cancel: options.CancelChoice = None,
    job_id: options.JobId = None,
    namespace: options.Namespace = "",
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Make a video and store it."""
    chosen: VideoOptions = {
        "model": model,
        "image": image,
        "negative_prompt": negative_prompt,
        "duration": duration,
        "fps": fps,
        "size": size,
        "aspect_ratio": aspect_ratio,
        "seed": seed,
        "output_format": output_format,
        "options": options.read_own_options(option),
        "check_options": not no_check_options,
        "tags": options.read_tags(tag),
        "timeout": timeout,
        "on_cancel": options.read_on_cancel(on_cancel),
        "job_id": job_id,
        "namespace": namespace,
    }

    async def make(media: MediaGenerator) -> Sequence[Asset]:
        return [await media.video(prompt, **chosen)]

    _make_and_print(make, namespace=namespace, env_file=env_file, as_json=as_json, several=False)


def _make_and_print(
    make: Callable[[MediaGenerator], Awaitable[Sequence[Asset]]],
    *,
    namespace: str,
    env_file: Path | None,
    as_json: bool,
    several: bool,
) -> None:
    from aifs_media.cli.output import print_assets
    from aifs_media.cli.running import run

    assets = run(make, settings=options.read_settings(env_file, records=True), namespace=namespace)
    print_assets(assets, as_json=as_json, several=several)
