"""`text` and `caption`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from aifs_media.cli import options

if TYPE_CHECKING:
    from aifs_media.generator import MediaGenerator
    from aifs_media.records import Caption, TextResult


def text(
    prompt: Annotated[str, typer.Argument(help="What should be written.", show_default=False)],
    *,
    system: Annotated[str, typer.Option("--system", help="The role of the writer.")] = "",
    model: options.Model = None,
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a text."""
    from aifs_media.cli.running import run

    async def write(media: MediaGenerator) -> TextResult:
        return await media.text(prompt, system=system, model=model)

    result = run(write, settings=options.read_settings(env_file), doing="Asking for a text")
    typer.echo(result.model_dump_json() if as_json else result.text)


def caption(
    topic: Annotated[str, typer.Argument(help="What the post is about.", show_default=False)],
    *,
    audience: Annotated[str, typer.Option("--audience", help="For whom, like 'young parents'.")] = "",
    tone: Annotated[str, typer.Option("--tone", help="Like 'warm'.")] = "",
    style: Annotated[str, typer.Option("--style", help="Like 'short sentences'.")] = "",
    platform: Annotated[str, typer.Option("--platform", help="Like 'Instagram'.")] = "",
    hashtags: Annotated[int, typer.Option("--hashtags", help="How many hashtags.")] = 5,
    model: options.Model = None,
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a caption with hashtags for a post."""
    from aifs_media.cli.running import run

    async def write(media: MediaGenerator) -> Caption:
        return await media.caption(
            topic, audience=audience, tone=tone, style=style, platform=platform, hashtag_count=hashtags, model=model
        )

    result = run(write, settings=options.read_settings(env_file), doing="Asking for a text")
    typer.echo(result.model_dump_json() if as_json else "\n\n".join((result.text, " ".join(result.hashtags))).strip())
