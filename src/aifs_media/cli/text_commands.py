"""`text` and `caption`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from aifs_media.cli import options

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from aifs_media.generator import MediaGenerator
    from aifs_media.records import Caption, TextResult


T = TypeVar("T")


def text(
    prompt: Annotated[str, typer.Argument(help="What should be written.", show_default=False)],
    *,
    system: Annotated[str, typer.Option("--system", help="The role of the writer.")] = "",
    model: options.Model = None,
    timeout: options.Timeout = None,
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a text."""
    from aifs_media.cli.running import run

    async def write(media: MediaGenerator) -> TextResult:
        return await _within(timeout, media.text(prompt, system=system, model=model))

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
    timeout: options.Timeout = None,
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """Write a caption with hashtags for a post."""
    from aifs_media.cli.running import run

    async def write(media: MediaGenerator) -> Caption:
        asked = media.caption(
            topic, audience=audience, tone=tone, style=style, platform=platform, hashtag_count=hashtags, model=model
        )
        return await _within(timeout, asked)

    result = run(write, settings=options.read_settings(env_file), doing="Asking for a text")
    typer.echo(result.model_dump_json() if as_json else "\n\n".join((result.text, " ".join(result.hashtags))).strip())


async def _within(timeout: float | None, asked: Awaitable[T]) -> T:
    """Wait for a text for so many seconds. Raises ProviderUnavailableError: unlike a job, it cannot be asked for again later."""
    import anyio

    from aifs_media.errors import ProviderUnavailableError

    with anyio.move_on_after(timeout):
        return await asked
    raise ProviderUnavailableError(
        f"There was no text within {timeout:g} s.", hint="Give it more time with --timeout.", maybe_billed=True
    )
