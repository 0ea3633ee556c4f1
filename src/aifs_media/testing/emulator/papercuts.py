"""Abstract pictures, as if cut from coloured paper, for prompts that name nothing the emulator can draw."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageFilter

from aifs_media.testing.emulator.painter import MOODS, Colour, Painter, Point, ellipse, hsv, mix, smooth, turned

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence


def paint_papercut(dice: random.Random, colour: Colour | None, width: int, height: int) -> Image.Image:
    """Return a composition in neighbouring colours, led by one of them if given, and one accent from across the circle."""
    hue, apart = dice.random(), dice.choice((-0.14, -0.09, 0.09, 0.14))
    # Full greens glare where other hues only glow.
    calm = 0.72 if 0.15 < hue < 0.45 else 1.0
    first = colour or hsv(hue, 0.7 * calm, 0.7)
    second = mix(colour, (255, 236, 214), 0.45) if colour else hsv(hue + apart, 0.56 * calm, 0.95)
    accent = hsv(hue + dice.choice((0.42, 0.5, 0.58)), 0.62, 0.98)
    deep, pale = mix(first, (14, 10, 44), 0.7), mix(second, (255, 248, 238), 0.8)
    mood = replace(MOODS["day"], sky=(pale, mix(pale, second, 0.35), mix(pale, second, 0.7)))
    p = Painter(mood, dice, width, height)
    if dice.random() < 0.35:
        _hollow(p, (pale, second, first, deep), accent)
    else:
        _sheets(p, (pale, second, first, deep), accent)
    return p.image


def _along(colours: Sequence[Colour], share: float) -> Colour:
    """Return the colour at a share of the way along a row of colours."""
    place = min(share, 0.9999) * (len(colours) - 1)
    return mix(colours[int(place)], colours[int(place) + 1], place % 1)


def _sheets(p: Painter, colours: Sequence[Colour], accent: Colour) -> None:
    """Lay sheets with waved edges over one another, with a disc between two of them."""
    pale, second, _, deep = colours
    count, disc_at = p.dice.randint(6, 9), p.dice.randint(1, 3)
    tilt = p.dice.choice((0, 0, -0.5, 0.5, math.pi / 2, -math.pi / 2))
    x, y = p.width * p.dice.choice((0.382, 0.618)), p.height * p.dice.uniform(0.3, 0.42)
    r = p.unit * p.dice.uniform(0.14, 0.21)
    for k in range(4, 0, -1):
        p.lay(p.stencil([ellipse(x, y, r * (1 + 0.34 * k), r * (1 + 0.34 * k))]), pale, second, opacity=0.16)
    span, swing = (p.width + p.height) / 2, p.dice.uniform(0.1, 0.16)
    for sheet in range(count):
        if sheet == disc_at:
            _paper(p, ellipse(x, y, r, r), mix(accent, (255, 250, 236), 0.45), accent)
        share = sheet / (count - 1)
        tone = _along(colours, 0.12 + 0.88 * share)
        # Every sheet is cut twice as wide as the picture and then turned about the centre.
        crest = p.swell(span * (0.68 * share - 0.2), span * swing, p.dice.uniform(1.4, 2.8))
        flat = [(2 * a - p.width, b) for a, b in crest] + [(p.width, 2 * span), (-p.width, 2 * span)]
        sheet_shape = turned(flat, tilt, p.width / 2, p.height / 2)
        _paper(p, sheet_shape, mix(tone, pale, 0.22), tone, mix(tone, deep, 0.25))


def _hollow(p: Painter, colours: Sequence[Colour], accent: Colour) -> None:
    """Cut layer after layer, each hole smaller than the last, down to a light at the bottom."""
    layers, corners = p.dice.randint(6, 9), p.dice.randint(5, 8)
    x, y = p.width * p.dice.uniform(0.42, 0.58), p.height * p.dice.uniform(0.42, 0.55)
    reach = p.unit * p.dice.uniform(0.6, 0.72)
    p.image.paste(colours[0], (0, 0, p.width, p.height))
    radii = [p.dice.uniform(0.75, 1.15) for _ in range(corners)]
    for layer in range(layers):
        share = layer / (layers - 1)
        radii = [radius * p.dice.uniform(0.9, 1.1) for radius in radii]
        size, turn = reach * (1 - share * 0.74) / p.unit, share * p.dice.uniform(0.3, 0.5)
        rim = [turned([(size * radius, 0)], math.tau * k / corners + turn, 0, 0)[0] for k, radius in enumerate(radii)]
        hole = p.stencil([smooth([(x + a * p.width, y + b * p.height) for a, b in rim])])
        tone = _along(colours, 0.15 + 0.85 * share)
        p.lay(hole, mix(tone, colours[0], 0.2), tone)
        shadow = ImageChops.offset(ImageChops.invert(hole), 0, round(p.unit * 0.012))
        shadow = shadow.filter(ImageFilter.GaussianBlur(p.unit / 60))
        p.lay(ImageChops.multiply(shadow, hole), (20, 6, 44), opacity=0.5)
    p.glow(x, y, reach * 0.3, accent, strength=0.7, fall=1.4)
    p.lay(p.stencil([ellipse(x, y, reach * 0.09, reach * 0.09)]), mix(accent, (255, 250, 236), 0.5), accent)


def _paper(p: Painter, shape: Sequence[Point], *colours: Colour) -> None:
    above = [(x + p.unit * 0.004, y - p.unit * 0.006) for x, y in shape]
    p.lay(p.stencil([above], blur=p.unit / 55), (24, 8, 48), opacity=0.3)
    p.lay(p.stencil([shape]), *colours)
