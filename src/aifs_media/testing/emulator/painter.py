"""The painter's tools: colours, hours of the day, and the strokes that every emulated picture is made of."""

# Pillow's signatures name numpy types, and numpy is not installed here.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Sequence

Colour = tuple[int, int, int]
Point = tuple[float, float]

WHITE: Colour = (255, 255, 255)


def rgb(code: str) -> Colour:
    """Return the colour of six hexadecimal digits."""
    return int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16)


def hsv(hue: float, saturation: float, value: float) -> Colour:
    """Return the colour of a hue (1 is once around the circle), a saturation and a value (0 to 1)."""
    pixel = Image.new("HSV", (1, 1), (round(hue * 255) % 256, round(saturation * 255), round(value * 255)))
    r, g, b = pixel.convert("RGB").tobytes()
    return r, g, b


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Return a colour on the way from the first (share 0) to the second (share 1)."""
    r, g, b = (round(one + (other - one) * share) for one, other in zip(first, second, strict=True))
    return r, g, b


def under(light: Colour, colour: Colour) -> Colour:
    """Return how a surface of this colour looks under a light."""
    r, g, b = (one * other // 255 for one, other in zip(light, colour, strict=True))
    return r, g, b


def curve(shape: Callable[[int], float]) -> list[int]:
    """Return what becomes of each of the 256 levels of a grey picture, for `Image.point`."""
    return [round(max(0.0, min(255.0, shape(level)))) for level in range(256)]


def ellipse(x: float, y: float, across: float, down: float, tilt: float = 0) -> list[Point]:
    """Return an ellipse by its centre and half axes, tilted by an angle in radians."""
    return turned(
        [(across * math.cos(t), down * math.sin(t)) for t in (math.tau * i / 72 for i in range(72))], tilt, x, y
    )


def turned(points: Iterable[Point], angle: float, x: float, y: float) -> list[Point]:
    """Return points, given around (0, 0), turned by an angle in radians and moved to (x, y)."""
    cos, sin = math.cos(angle), math.sin(angle)
    return [(x + a * cos - b * sin, y + a * sin + b * cos) for a, b in points]


def box(left: float, top: float, right: float, bottom: float) -> list[Point]:
    """Return a rectangle by its sides."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def outline(drawn: str) -> list[Point]:
    """Return the points of an outline drawn as text, such as "0 0, 50 87, 100 0", in hundredths."""
    pairs = (pair.split() for pair in drawn.split(","))
    return [(float(x) / 100, float(y) / 100) for x, y in pairs]


def smooth(points: Sequence[Point]) -> list[Point]:
    """Return a closed curve through the points (a Catmull-Rom spline)."""
    count, path = len(points), list[Point]()
    for i in range(count):
        near = [points[(i + k) % count] for k in (-1, 0, 1, 2)]
        for t in (k / 8 for k in range(8)):
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
            x = sum(weight * point[0] for weight, point in zip(weights, near, strict=True)) / 2
            y = sum(weight * point[1] for weight, point in zip(weights, near, strict=True)) / 2
            path.append((x, y))
    return path


@dataclass(frozen=True)
class Mood:
    """The hour and the weather.

    The colours of the sky from zenith to horizon, of the sun or moon, of the light on the ground, and of the air before
    distant things.
    """

    sky: tuple[Colour, ...]
    light: Colour
    ambient: Colour
    air: Colour
    dark: bool = False
    low_sun: bool = False


def _mood(sky: str, light: str, ambient: str, air: str, *, dark: bool = False, low_sun: bool = False) -> Mood:
    return Mood(tuple(rgb(code) for code in sky.split()), rgb(light), rgb(ambient), rgb(air), dark, low_sun)


# A prompt that names several gets the first of them.
MOODS = {
    "night": _mood("040818 0a1634 172c58 33507f", "eef2ff", "3c527e", "2c4876", dark=True),
    "sunset": _mood("27194a 5f2a68 b8456a f07d52 ffc873", "fff2c4", "a8647c", "d8746c", low_sun=True),
    "dawn": _mood("35568c 7f90c0 e0aeb4 fbdcb8", "fff4d8", "d8bcc4", "e4b8bc", low_sun=True),
    "storm": _mood("343f4d 56636f 87939b bcc4c6", "f0f0ea", "a4aeb8", "b4bdc2"),
    "day": _mood("2668b4 5c9fdc a8d3f0 e8f3f6", "fffbe8", "ffffff", "d4e6f2"),
}


class Painter:
    """A picture in the making: its size in pixels, its mood, its own dice, and the strokes.

    `unit` is the shorter side: whatever is measured in it looks alike in every format. `sun` is where the light stands,
    in pixels from the left.
    """

    def __init__(self, mood: Mood, dice: random.Random, width: int, height: int) -> None:
        self.mood, self.dice, self.width, self.height = mood, dice, width, height
        self.unit = min(width, height)
        self.image = self.gradient(mood.sky, width, height)
        self.sun = dice.choice((dice.uniform(0.2, 0.4), dice.uniform(0.6, 0.8))) * width

    def gradient(self, stops: Sequence[Colour], width: int, height: int) -> Image.Image:
        """Return colours that flow from top to bottom."""
        column = Image.new("RGB", (1, len(stops)))
        column.putdata(stops)
        # Reading between the centres of the first and the last pixel keeps the ends from going flat.
        column = column.resize((1, height), Image.Resampling.BICUBIC, (0, 0.4, 1, len(stops) - 0.4))
        return column.resize((width, height))

    def stencil(self, shapes: Iterable[Sequence[Point]], blur: float = 0) -> Image.Image:
        """Return a smooth-edged mask of some polygons, blurred by a number of pixels."""
        mask = Image.new("L", (self.width * 2, self.height * 2))
        pen = ImageDraw.Draw(mask)
        for shape in shapes:
            pen.polygon([(x * 2, y * 2) for x, y in shape], fill=255)
        mask = mask.reduce(2)
        return mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask

    def lay(self, mask: Image.Image, *colours: Colour, opacity: float = 1) -> None:
        """Lay colours, flowing from the top of the mask's shape to its bottom, over the picture."""
        if (edges := mask.getbbox()) is None:
            return
        mask = mask.crop(edges)
        if opacity < 1:
            mask = mask.point(curve(lambda level: level * opacity))
        paint = colours[0] if len(colours) == 1 else self.gradient(colours, *mask.size)
        self.image.paste(paint, edges, mask)

    def glow(self, x: float, y: float, radius: float, colour: Colour, *, strength: float, fall: float = 2.2) -> None:
        """Shed light around a point."""
        mask = radiance(max(2, round(radius * 2)), fall).point(curve(lambda level: level * strength))
        self.image.paste(colour, (round(x - radius), round(y - radius)), mask)

    def noise(self, cells: int, stretch: float = 1, octaves: int = 5) -> Image.Image:
        """Return grey clouds, with so many cells across in the coarsest octave and stretched sideways."""
        size = max(1, self.width // 2), max(1, self.height // 2)
        clouds = Image.new("L", size)
        for octave in reversed(range(octaves)):
            across = max(2, cells * 2**octave)
            down = max(2, round(across * stretch * self.height / self.width))
            grain = Image.frombytes("L", (across, down), self.dice.randbytes(across * down))
            clouds = Image.blend(clouds, grain.resize(size, Image.Resampling.BICUBIC), 0.58)
        return ImageOps.autocontrast(clouds, cutoff=1).resize((self.width, self.height), Image.Resampling.BICUBIC)

    def relief(self, mask: Image.Image, cells: int, strength: float) -> None:
        """Give the surface under a mask the light and shade of rough ground."""
        emboss = ImageFilter.Kernel((3, 3), (4, 2, 0, 2, 0, -2, 0, -2, -4), scale=1.1, offset=128)
        shade = self.noise(cells, 1.0, 6).filter(emboss).filter(ImageFilter.GaussianBlur(self.unit / 900))
        lit = ImageChops.overlay(self.image, shade.convert("RGB"))
        self.image.paste(lit, mask=mask.point(curve(lambda level: level * strength)))

    def ridge(self, level: float, swing: float, roughness: float) -> list[Point]:
        """Return the crest of mountains, from left to right: jagged heights of up to `swing` pixels over a level."""
        heights, amplitude = [self.dice.random() for _ in range(4)], 0.6
        for _ in range(7):
            finer = heights[:1]
            for left, right in pairwise(heights):
                finer += [(left + right) / 2 + self.dice.gauss(0, amplitude / 3), right]
            heights = finer
            amplitude *= roughness
        low, high, step = min(heights), max(heights), self.width / (len(heights) - 1)
        return [(i * step, level - swing * (height - low) / (high - low)) for i, height in enumerate(heights)]

    def swell(self, level: float, swing: float, waves: float) -> list[Point]:
        """Return the crest of hills or waves, from left to right: soft heights around a level."""
        parts = [(waves * k * self.dice.uniform(0.8, 1.3), self.dice.uniform(0, math.tau), 0.6 / k) for k in (1, 2)]
        return [
            (self.width * i / 120, level - swing * sum(a * math.sin(f * math.tau * i / 120 + p) for f, p, a in parts))
            for i in range(121)
        ]

    def below(self, crest: Sequence[Point]) -> Image.Image:
        """Return the mask of all that lies under a crest."""
        return self.stencil([[*crest, (self.width, self.height), (0, self.height)]])

    def depth(self, colour: Colour, nearness: float) -> Colour:
        """Return a ground colour at this hour, paler the farther away it is (0 far, 1 near)."""
        return mix(self.mood.air, under(self.mood.ambient, colour), 0.22 + 0.78 * nearness)


def radiance(side: int, fall: float) -> Image.Image:
    """Return the grey square of a light: full in the middle, nothing at the sides; a larger fall makes it narrower."""
    rings = Image.radial_gradient("L")
    # The gradient's level at the middle of a side has differed between Pillow versions, and light must end there.
    edge = rings.crop((0, 128, 1, 129)).tobytes()[0]
    # Resized before the curve: the other way round, the steps of eight bits grow into rings.
    rings = rings.resize((side, side), Image.Resampling.BICUBIC)
    return rings.point(curve(lambda level: 255 * max(0.0, 1 - level / edge) ** fall))
