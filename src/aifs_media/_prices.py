"""What published prices make of a number of outputs and seconds. Pure."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING

from aifs_media.records import Cost

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Kind, Price


MEGAPIXEL = 1024 * 1024


def priced(price: Price | None, *, kind: Kind, outputs: int, seconds: float | None, pixels: Sequence[int] = ()) -> Cost:
    """Return what so many outputs cost by a published price; unknown where none fits.

    Args:
        price: of the model.
        kind: what it makes.
        outputs: how many.
        seconds: of video in all; None where that is not known.
        pixels: of each output, where that is known.
    """
    quantity: float | None = None
    if price is not None and price.per == kind:
        quantity = outputs
    elif price is not None and price.per == "video_second":
        quantity = seconds
    elif price is not None and price.per == "megapixel" and all(pixels):
        quantity = sum(math.ceil(number / MEGAPIXEL) for number in pixels)
    if price is None or not quantity:
        return Cost()
    return Cost(
        amount=price.amount * Decimal(str(quantity)),
        currency=price.currency,
        basis=price.per,
        quantity=quantity,
        status="estimated",
        source=price.source,
        as_of=price.as_of,
    )
