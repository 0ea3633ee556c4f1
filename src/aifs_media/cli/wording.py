"""Sizes, prices and costs in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from decimal import Decimal

    from aifs_media.records import Asset, Cost, Price

UNITS = {
    "image": "image",
    "megapixel": "megapixel",
    "video": "video",
    "video_second": "second of video",
    "gpu_second": "GPU second",
}


def bytes_in_words(size: int) -> str:
    """Return a number of bytes with a decimal unit."""
    amount, unit = float(size), "B"
    for larger in ("kB", "MB", "GB"):
        if amount < 1000:
            break
        amount, unit = amount / 1000, larger
    return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"


def shape_in_words(asset: Asset) -> str:
    """Return the measured size in pixels, length and frame rate, as far as they are known."""
    shape: list[str] = []
    if asset.width and asset.height:
        shape.append(f"{asset.width}x{asset.height}")
    if asset.duration is not None:
        shape.append(f"{asset.duration:g} s")
    if asset.fps is not None:
        shape.append(f"{asset.fps:g} frames per second")
    return ", ".join(shape)


def price_in_words(price: Price | None) -> str:
    """Return a published price; "unknown" where there is none."""
    if price is None:
        return "unknown"
    return f"{_plain(price.amount)} {price.currency} per {UNITS[price.per]}"


def cost_in_words(cost: Cost) -> str:
    """Return what something cost, what was counted, and whether it is a figure or an estimate."""
    counted = _counted(cost)
    if cost.amount is None:
        return f"unknown ({counted})" if counted else "unknown"
    return f"{_plain(cost.amount)} {cost.currency} ({cost.status}{f': {counted}' if counted else ''})"


def _counted(cost: Cost) -> str:
    if cost.quantity is None:
        return ""
    if cost.basis in UNITS:
        unit = (
            UNITS[cost.basis]
            if cost.quantity == 1
            else f"{UNITS[cost.basis]}s".replace("second of videos", "seconds of video")
        )
    else:
        unit = cost.basis
    return f"{cost.quantity:g} {unit}"


def _plain(amount: Decimal) -> str:
    """Write an amount without exponent and without zeros at its end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
