"""`models` and `providers`: what there is, without asking anyone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from aifs_media.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Capability
    from aifs_media.settings import Settings


def models(
    *,
    kind: Annotated[options.MediaKind | None, typer.Option("--kind", help="Only models of this kind.")] = None,
    duration: Annotated[float | None, typer.Option(min=0, help="Only models that make so many seconds.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Only models that make so many pixels, or nearly, like 1024x768.")
    ] = None,
    aspect_ratio: Annotated[str | None, typer.Option(help="Only models that make this shape, like 9:16.")] = None,
    from_image: Annotated[bool, typer.Option("--from-image", help="Only models that start from an image.")] = False,
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Only models that make one for so many USD at most.")
    ] = None,
    env_file: options.EnvFile = None,
    as_json: options.AsJson = False,
) -> None:
    """List the models whose options and prices are built in. Others work as well, as `provider:model`."""
    from aifs_media.cli.wording import price_in_words
    from aifs_media.generator import MediaGenerator

    media = MediaGenerator(settings=options.read_settings(env_file))
    known = media.models(
        None if kind is None else kind.value, duration=duration, size=size, aspect_ratio=aspect_ratio, image=from_image,
        max_cost=max_cost,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps([{"provider": name, **model.model_dump(mode="json")} for name, model in known]))
        return
    rows = [
        (
            model.kind,
            f"{name}:{model.model}",
            price_in_words(model.price),
            _limits(model),
            "" if model.typical_seconds is None else f"{model.typical_seconds:g} s",
        )
        for name, model in sorted(known, key=lambda pair: (pair[1].kind, pair[0], pair[1].model))
    ]
    _print_table(("kind", "model", "price", "limits", "usually takes"), rows)


def providers(*, env_file: options.EnvFile = None, as_json: options.AsJson = False) -> None:
    """List the providers that are built in or installed, and whether they can be used."""
    from aifs_media._registry import provider_names

    settings = options.read_settings(env_file)
    rows = [_provider(name, settings) for name in provider_names()]
    if as_json:
        typer.echo(json.dumps(rows))
        return
    _print_table(
        ("provider", "from", "makes", "state"),
        [(str(row["name"]), str(row["origin"]), ", ".join(row["makes"]), str(row["state"])) for row in rows],
    )


def _provider(name: str, settings: Settings) -> dict[str, str | list[str]]:
    from aifs_media._registry import BUILT_IN_PROVIDERS, PROVIDERS_GROUP, entry_points, make_provider
    from aifs_media.errors import MediaError
    from aifs_media.protocols import TextWriter, role
    from aifs_media.toolkit import HttpProvider

    origin = "built in"
    if name not in BUILT_IN_PROVIDERS:
        distribution = entry_points(PROVIDERS_GROUP)[name].dist
        origin = f"{distribution.name} {distribution.version}" if distribution else "unknown distribution"
    try:
        provider = make_provider(name, settings)
    except MediaError as error:
        return {"name": name, "origin": origin, "makes": [], "state": str(error)}
    makes: list[str] = sorted({capability.kind for capability in provider.capabilities})
    state = "ready"
    if isinstance(provider, HttpProvider) and provider.missing_setting:
        state = f"needs {provider.missing_setting}"
    if role(provider, TextWriter) is not None:
        makes.append("text")
    return {"name": name, "origin": origin, "makes": makes, "state": state}


def _limits(model: Capability) -> str:
    limits: list[str] = []
    if model.kind == "image":
        limits.append(f"up to {model.maximum_outputs} at once" if model.maximum_outputs > 1 else "one at once")
    if model.maximum_duration is not None:
        limits.append(f"up to {model.maximum_duration:g} s")
    if model.frames is not None:
        limits.append(f"up to {model.frames.maximum} frames")
    return ", ".join(limits)


def _print_table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, highlight=False, emoji=False)
    if not console.is_terminal:
        # Whoever reads it through a pipe wants one line per row.
        console.width = 240
    table = Table(*head, box=box.SIMPLE)
    for row in rows:
        table.add_row(*row)
    console.print(table)
