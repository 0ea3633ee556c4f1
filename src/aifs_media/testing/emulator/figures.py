"""What a picture may be of: an animal, a person, flowers."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from PIL import Image, ImageDraw

from aifs_media.testing.emulator.painter import WHITE, Colour, Painter, Point, ellipse, hsv, mix, outline, smooth, under

if TYPE_CHECKING:
    from collections.abc import Sequence

Ears = Literal["pointed", "round", "long"]


def paint_animal(p: Painter, coat: Colour, ears: Ears, *, tail: bool) -> None:
    """Paint an animal that sits and looks at the viewer."""
    size, middle, foot = p.unit * 0.56, p.width * p.dice.uniform(0.42, 0.58), p.height * 0.9
    # Fully in the colours of the night, nobody would see it.
    lamp = mix(p.mood.ambient, WHITE, 0.5)
    light, dark, coat = under(lamp, (255, 247, 236)), (44, 32, 36), under(lamp, coat)
    shade, snout = mix(coat, (50, 20, 50), 0.28), 0.47 if ears == "pointed" else 0.5

    def put(shape: Sequence[Point], *colours: Colour, both: bool = False, opacity: float = 1) -> None:
        """Lay a shape, measured in animals from between the paws, and its mirror image if both sides have it."""
        sides = [
            [(middle + side * x * size, foot - y * size) for x, y in shape] for side in ((1, -1) if both else (1,))
        ]
        p.lay(p.stencil(sides), *colours, opacity=opacity)

    shadow = p.stencil([ellipse(middle + size * 0.08, foot, size * 0.5, size * 0.055)], blur=size * 0.03)
    p.lay(shadow, (30, 34, 60), opacity=0.35)
    if tail:
        put(smooth(outline("5 2, 38 0, 56 14, 55 34, 44 50, 42 34, 34 20, 10 14")), coat, shade)
        put(smooth(outline("44 50, 42.5 38, 47 36, 50 33, 55.5 32, 53 40")), light)
    put(smooth(outline("-20 0, -25 12, -18 34, -11 52, 11 52, 18 34, 25 12, 20 0")), coat, shade)
    put(smooth(outline("-10 52, 10 52, 9 36, 0 17, -9 36")), light, mix(light, shade, 0.25))
    put(smooth(outline("2 30, 11.5 32, 11 10, 13 0, 2 0, 2.5 10")), coat, coat, dark, both=True)
    match ears:
        case "pointed":
            put(outline("4 77, 20 68, 21.5 100"), dark, coat, coat, both=True)
            put(outline("8.5 78, 17.5 72, 19.5 92"), dark, mix(dark, coat, 0.3), both=True)
        case "round":
            put(ellipse(0.16, 0.82, 0.085, 0.085), coat, shade, both=True)
            put(ellipse(0.16, 0.82, 0.05, 0.05), dark, both=True)
        case "long":
            put(ellipse(0.09, 1.0, 0.055, 0.24, 0.15), coat, shade, both=True)
            put(ellipse(0.09, 0.99, 0.028, 0.18, 0.15), mix(light, (240, 140, 150), 0.5), both=True)
    chin = [(0.0, snout)]
    head = outline("11 53, 23.5 65, 17 78, 0 82, -17 78, -23.5 65, -11 53")
    put(smooth(chin + head), mix(coat, light, 0.12), coat)
    put(smooth(chin + outline("10 53.5, 22.5 64.5, 9 65.5, 1.5 57")), light, mix(light, shade, 0.15), both=True)
    put(smooth(chin + outline("11 53, 23.5 65, 17 77.5, 9 80, 1 79, 3 65")), shade, opacity=0.22)
    put(ellipse(0.095, 0.678, 0.024, 0.027), dark, both=True)
    put(smooth([(x, snout + y) for x, y in outline("-3.4 4.5, 3.4 4.5, 1.2 0.8, -1.2 0.8")]), dark)
    for x in (0.103, -0.087):
        put(ellipse(x, 0.688, 0.008, 0.008), WHITE)


def paint_portrait(p: Painter, colour: Colour) -> None:
    """Paint a head and shoulders before a disc, in flat colours."""
    back = mix(colour, (250, 240, 228), 0.72)
    hair = mix(p.dice.choice(((36, 26, 38), (92, 52, 36), (188, 128, 70), (58, 44, 92))), colour, 0.1)
    skin = p.dice.choice(((246, 208, 180), (226, 170, 130), (170, 112, 80), (112, 72, 54)))
    cloth, part, length = mix(colour, (30, 24, 60), 0.55), p.dice.choice((-1, 1)), p.dice.uniform(0.28, 0.5)
    size = min(p.height * 0.95, p.width * 1.2)
    middle, foot = p.width / 2, p.height * 1.02

    def put(shape: Sequence[Point], *colours: Colour, opacity: float = 1, side: int = 1) -> None:
        curve = smooth([(middle + side * x * size, foot - y * size) for x, y in shape])
        p.lay(p.stencil([curve]), *colours, opacity=opacity)

    def even(half: Sequence[Point]) -> list[Point]:
        return [*half, *((-x, y) for x, y in reversed(half))]

    p.image = p.gradient([mix(back, WHITE, 0.3), back, mix(back, colour, 0.35)], p.width, p.height)
    disc = p.stencil([ellipse(middle, foot - size * 0.56, size * 0.36, size * 0.36)])
    p.lay(disc, mix(colour, (255, 220, 160), 0.35), colour)
    ends = [(0.19, length + 0.08), (0.15, length), (0.05, length + 0.06)]
    put(even(outline("5 90, 17 82, 20 64") + ends), hair, mix(hair, (0, 0, 0), 0.3))
    put(even(outline("6 52, 6 36, 12 30, 5 20")), mix(skin, (90, 30, 30), 0.18), skin)
    put(even(outline("3 27.5, 10 34, 27 27, 34 10, 36 -10, 10 -12")), cloth, mix(cloth, (0, 0, 0), 0.35))
    put(even(outline("0 45.5, 5.5 47.5, 11.5 57, 13 68, 10 80, 3 84")), skin, mix(skin, (255, 240, 220), 0.15))
    shaded = outline("0 45.5, 5.5 47.5, 11.5 57, 13 68, 10 80, 5 72, 4.5 60")
    put(shaded, mix(skin, (120, 40, 60), 0.5), opacity=0.3)
    fringe = outline("-6 83, -15 72, -16 60, -19 72, -13 88, 2 93, 15 86, 19 70, 15.5 58, 14 72, 6 79")
    put(fringe, hair, mix(hair, colour, 0.25), side=part)
    for side in (-1, 1):
        put(outline("3 66.8, 5.5 65.5, 8.5 67, 5.6 66.2"), mix(hair, skin, 0.15), side=side)
    put(even(outline("0 53.3, 2.2 54.1, 3.5 54.7, 1.2 55.3")), mix((190, 60, 70), skin, 0.3))


def paint_flowers(p: Painter, horizon: float, colour: Colour | None) -> None:
    """Paint a meadow of flowers from the horizon to the viewer's feet, in one colour and its neighbours."""
    first = colour or hsv(p.dice.choice((0.93, 0.0, 0.08, 0.13, 0.75, 0.62)), 0.68, 0.95)
    kinds = (first, mix(first, WHITE, 0.5), mix(first, (255, 190, 60), 0.4))
    for near in (0.0, 0.08, 0.16, 0.26, 0.38, 0.5, 0.64, 0.8, 1.0):
        y, size = horizon + (p.height - horizon) * (0.06 + near * 0.8), p.unit * (0.006 + 0.062 * near)
        count = round(p.width / (size * (7 - 3 * near) + p.unit * 0.012))
        foot, grass = y + size * 5, list[list[Point]]()
        for _ in range(count * 6):
            x, tip = p.dice.uniform(0, p.width), foot - size * p.dice.uniform(2.4, 6.4)
            grass.append([(x - size * 0.1, foot), (x + p.dice.gauss(0, size * 0.5), tip), (x + size * 0.1, foot)])
        tint = 0.35 + near * 0.65
        p.lay(p.stencil(grass), p.depth((96, 146, 70), tint), p.depth((30, 74, 48), tint))
        for place in range(count):
            x = p.width * (place + p.dice.uniform(-0.2, 1.2)) / count
            _flower(p, x, y + p.dice.gauss(0, size * 0.9), size * p.dice.uniform(0.75, 1.2), p.dice.choice(kinds))


def _flower(p: Painter, x: float, y: float, size: float, colour: Colour) -> None:
    """Paint one flower through a mask of its own size: hundreds of masks as large as the picture would be wasteful."""
    petals, turn, squash = p.dice.choice((5, 6, 8, 12)), p.dice.uniform(0, math.tau), p.dice.uniform(0.62, 0.95)
    left, top = round(x - size * 1.6), round(y - size * 1.6)
    fine = 3
    mask = Image.new("L", (round(size * 3.2 + 1) * fine, round(size * 6.6 + 1) * fine))
    pen, cx, cy, r = ImageDraw.Draw(mask), (x - left) * fine, (y - top) * fine, size * fine

    def stamp(paint: Colour) -> None:
        p.image.paste(under(p.mood.ambient, paint), (left, top), mask.reduce(fine))
        mask.paste(0, (0, 0, *mask.size))

    stem, end = r * 0.09, cx + p.dice.uniform(-0.6, 0.6) * r
    pen.polygon(
        [(cx - stem / 2, cy), (cx + stem / 2, cy), (end + stem, mask.height), (end - stem, mask.height)], fill=255
    )
    stamp((62, 112, 58))
    for share, paint in ((1.0, mix(colour, (40, 0, 40), 0.22)), (0.8, colour), (0.5, mix(colour, WHITE, 0.3))):
        reach = r * share * 0.56
        for k in range(petals):
            t = turn + math.tau * k / petals + share
            petal = ellipse(reach * math.cos(t), reach * math.sin(t), reach, reach * 1.5 / petals**0.7, t)
            pen.polygon([(cx + a, cy + b * squash) for a, b in petal], fill=255)
        stamp(paint)
    pen.polygon(ellipse(cx, cy, r * 0.24, r * 0.22 * squash), fill=255)
    stamp((250, 200, 74))
