"""Which of the known models can do what is wanted, and what that would cost. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aifs_media._options import model_inputs
from aifs_media._prices import priced
from aifs_media._values import as_cost, as_kind, as_ratio, as_seconds, as_size
from aifs_media.errors import UnsupportedOptionError
from aifs_media.records import InputFile, MediaRequest, Size

if TYPE_CHECKING:
    from collections.abc import Iterable
    from decimal import Decimal

    from aifs_media.records import Capability, Cost, Kind

# Stands for a start image of which nothing is known but that there will be one.
SOME_IMAGE = InputFile(url="https://example.com/image.png")


class Wanted(NamedTuple):
    """What a model has to be able to do; None and False ask for nothing. `max_cost` in USD for one output."""

    kind: Kind | None = None
    duration: float | None = None
    size: Size | None = None
    aspect_ratio: str | None = None
    image: bool = False
    max_cost: Decimal | None = None


def wanted(
    *, kind: object, duration: object, size: object, aspect_ratio: object, image: bool, max_cost: object
) -> Wanted:
    """Return what is wanted, each checked as a call's options are. Raises UnsupportedOptionError."""
    return Wanted(
        kind=None if kind is None else as_kind(kind),
        duration=None if duration is None else as_seconds("duration", duration),
        size=None if size is None else as_size("size", size),
        aspect_ratio=None if aspect_ratio is None else as_ratio("aspect_ratio", aspect_ratio),
        image=image,
        max_cost=None if max_cost is None else as_cost("max_cost", max_cost),
    )


def fitting(known: Iterable[tuple[str, Capability]], wanted: Wanted) -> list[tuple[str, Capability]]:
    """Return the models that can do it. One whose price is not known never meets a `max_cost`."""
    return [pair for pair in known if wanted.kind in {None, pair[1].kind} and _can(*pair, wanted)]


def _can(provider: str, capability: Capability, wanted: Wanted) -> bool:
    cost = expected_cost(provider, capability, wanted)
    if cost is None or wanted.max_cost is None:
        return cost is not None
    return cost.amount is not None and cost.currency == "USD" and cost.amount <= wanted.max_cost


def expected_cost(provider: str, capability: Capability, wanted: Wanted) -> Cost | None:
    """Return what one output would cost, unknown where its price is; None if the model cannot make it."""
    request = MediaRequest(
        kind=capability.kind,
        prompt="any",
        provider=provider,
        model=capability.model,
        duration=wanted.duration,
        size=wanted.size,
        aspect_ratio=wanted.aspect_ratio,
        image=SOME_IMAGE if wanted.image else None,
    )
    try:
        inputs = model_inputs(request, capability, check=False)
    except UnsupportedOptionError:
        return None
    pixels = [inputs.size.width * inputs.size.height] if inputs.size is not None else []
    price = capability.price_for(inputs.values)
    return priced(price, kind=capability.kind, outputs=1, seconds=inputs.duration, pixels=pixels)
