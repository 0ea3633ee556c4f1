"""Landscapes, from the sky down to the ground, and what falls from the sky."""

# Pillow's signatures name numpy types, and numpy is not installed here.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

from aifs_media.testing.emulator.figures import paint_flowers
from aifs_media.testing.emulator.painter import Colour, Painter, Point, box, curve, ellipse, mix, turned, under


def paint_landscape(p: Painter, asked: set[str], *, animal: bool, colour: Colour | None) -> None:
    """Paint the sky, then the distance, then what stands on the ground, from far to near."""
    horizon = p.height * (p.dice.uniform(0.5, 0.58) if "sea" in asked else p.dice.uniform(0.62, 0.68))
    _sky(p, horizon, hidden="storm" in asked)
    _distance(p, horizon, asked, animal=animal)
    if "birds" in asked or (not p.mood.dark and asked & {"sea", "sunset", "dawn"}):
        _birds(p, horizon)
    if "city" in asked:
        _city(p, horizon)
    if asked & {"sea", "city"}:
        _water(
            p, horizon, calm=1.0 if "sea" in asked else 0.3, colour=(36, 44, 58) if "rain" in asked else (24, 78, 104)
        )
    elif "desert" in asked:
        for near in range(5):
            _dune(p, horizon + (p.height - horizon) * (near / 5) ** 1.3 * 1.05, near / 4)
    else:
        _ground(
            p,
            horizon,
            snow="snow" in asked,
            forest=bool(asked & {"forest", "mountain"}) or (animal and "snow" in asked),
        )
        if "flower" in asked:
            paint_flowers(p, horizon, None if animal else colour)
    if "fog" in asked:
        _fog(p)


def paint_space(p: Painter, colour: Colour) -> None:
    """Paint a nebula, stars, and a planet with a ring."""
    p.image = p.gradient([(5, 5, 18), mix((8, 8, 30), colour, 0.1), (3, 4, 14)], p.width, p.height)
    blue, rose = mix(colour, (50, 70, 220), 0.65), mix(colour, (255, 120, 150), 0.6)
    for tint, cover in ((colour, 105), (blue, 120), (rose, 150)):
        cloud = p.noise(2, 1, 6).point([round(190 * max(0.0, (v - cover) / (255 - cover)) ** 1.8) for v in range(256)])
        lit = ImageChops.multiply(cloud.convert("RGB"), Image.new("RGB", cloud.size, tint))
        p.image = ImageChops.screen(p.image, lit)
    _stars(p, p.height, 520)
    x, y = p.width * p.dice.uniform(0.3, 0.7), p.height * p.dice.uniform(0.4, 0.62)
    r, tilt = p.unit * p.dice.uniform(0.17, 0.25), p.dice.uniform(-0.5, 0.5)
    globe = mix(colour, (255, 214, 170), 0.4)
    pale = mix(globe, (255, 255, 255), 0.3)
    disc = p.stencil([ellipse(x, y, r, r)])
    ring = ImageChops.subtract(
        p.stencil([ellipse(x, y, r * 2.0, r * 0.42, tilt)]), p.stencil([ellipse(x, y, r * 1.4, r * 0.27, tilt)])
    )
    p.glow(x, y, r * 2.2, globe, strength=0.4)
    p.lay(ring, pale, opacity=0.7)
    p.lay(disc, pale, globe)
    bands = p.noise(2, 9, 3).rotate(-math.degrees(tilt), Image.Resampling.BILINEAR, center=(x, y))
    p.lay(ImageChops.multiply(disc, bands), mix(globe, (70, 30, 80), 0.6), opacity=0.7)
    day = p.stencil([ellipse(x - r * 0.42, y - r * 0.3, r * 1.08, r * 1.08)], blur=r * 0.2)
    p.lay(ImageChops.subtract(disc, day), (5, 5, 18), opacity=0.92)
    # The near half of the ring passes before the planet.
    near = p.stencil([turned(box(-3 * r, 0, 3 * r, 2 * r), tilt, x, y)])
    p.lay(ImageChops.multiply(ImageChops.multiply(ring, disc), near), pale, opacity=0.85)


def draw_rain(p: Painter) -> Image.Image:
    """Return the mask of rain drops in the air before the picture."""
    air = Image.new("L", (p.width, p.height))
    for count, length, opacity in ((420, 0.03, 0.16), (130, 0.07, 0.24)):
        drops: list[list[Point]] = []
        for _ in range(count):
            x, y = p.dice.uniform(0, p.width * 1.1), p.dice.uniform(-0.05, 1) * p.height
            fall, broad = p.unit * length * p.dice.uniform(0.6, 1.3), p.unit * 0.0011
            drops.append([(x, y), (x + broad, y), (x + broad - fall * 0.18, y + fall), (x - fall * 0.18, y + fall)])
        air = ImageChops.lighter(air, p.stencil(drops).point([round(level * opacity) for level in range(256)]))
    return air


def draw_snow(p: Painter) -> Image.Image:
    """Return the mask of snow flakes in the air before the picture."""
    air = Image.new("L", (p.width, p.height))
    for count, size, blur in ((320, 0.002, 0.0), (110, 0.004, 0.0), (26, 0.01, 0.006)):
        flakes: list[list[Point]] = []
        for _ in range(count):
            r = p.unit * size * p.dice.uniform(0.6, 1.3)
            flakes.append(ellipse(p.dice.uniform(0, p.width), p.dice.uniform(0, p.height), r, r))
        air = ImageChops.lighter(air, p.stencil(flakes, blur=p.unit * blur).point(curve(lambda level: level * 0.8)))
    return air


def _sky(p: Painter, horizon: float, *, hidden: bool) -> None:
    top = max(1, round(horizon))
    p.image.paste(p.mood.sky[-1], (0, 0, p.width, p.height))
    p.image.paste(p.gradient(p.mood.sky, p.width, top), (0, 0))
    if p.mood.dark and not hidden:
        _stars(p, horizon, 260)
    high, size = (p.dice.uniform(0.72, 0.82), 0.06) if p.mood.low_sun else (p.dice.uniform(0.2, 0.36), 0.045)
    y, size = horizon * high, p.unit * size
    if not hidden:
        p.glow(p.sun, y, p.unit * 0.95, mix(p.mood.light, p.mood.sky[-1], 0.5), strength=0.34 if p.mood.dark else 0.6)
        p.glow(p.sun, y, size * 3.2, p.mood.light, strength=0.6, fall=1.6)
        p.lay(p.stencil([ellipse(p.sun, y, size, size)]), p.mood.light)
    cover = 70 if hidden else p.dice.randint(110, 135)
    clouds = p.noise(3, 3.2).point(curve(lambda level: (level - cover) * 2.1)).crop((0, 0, p.width, top))
    fade = Image.linear_gradient("L").resize((p.width, top)).point(curve(lambda level: 315 - level))
    bright = mix(p.mood.sky[-1], p.mood.light, 0.12 if p.mood.dark else 0.5)
    dim = mix(bright, p.mood.sky[-2], 0.45)
    p.lay(ImageChops.multiply(clouds, fade), dim, bright, opacity=0.4 if p.mood.dark else 0.8)


def _distance(p: Painter, horizon: float, asked: set[str], *, animal: bool) -> None:
    """Paint the mountains or hills that close the view."""
    snow = "snow" in asked
    places = asked & {"mountain", "city", "forest", "desert", "sea", "flower"}
    if "mountain" in asked or (not places and not animal) or (places <= {"sea"} and p.dice.random() < 0.6):
        tall, chains = (0.42, 4) if "mountain" in asked else (0.2, 2)
        for far in range(chains):
            white = snow or (far < 2 and not p.mood.low_sun)
            foot = horizon + p.unit * 0.03 * far
            _mountains(p, foot, p.height * tall * (1 - 0.22 * far), far * 0.24, snow=white)
    elif not places or places <= {"flower", "forest"}:
        for far in range(3):
            green = (196, 212, 232) if snow else (70, 116, 104)
            hill = p.below(p.swell(horizon - p.height * (0.1 - 0.05 * far), p.height * 0.06, 1.3))
            p.lay(hill, p.depth(green, 0.15 + far * 0.2), p.depth(green, far * 0.16))


def _stars(p: Painter, below: float, count: int) -> None:
    for _ in range(round(count * p.width / max(p.width, p.height))):
        x, y, size = p.dice.uniform(0, p.width), p.dice.uniform(0, below), p.unit * p.dice.paretovariate(3.2) * 0.0016
        p.glow(x, y, max(1.2, min(size, p.unit * 0.012)), (236, 240, 255), strength=p.dice.uniform(0.5, 1), fall=1.2)


def _mountains(p: Painter, level: float, swing: float, nearness: float, *, snow: bool) -> None:
    crest = p.ridge(level, swing, 0.52)
    rock = p.below(crest)
    p.lay(rock, p.depth((72, 84, 110), nearness), p.depth((104, 118, 140), nearness * 0.35))
    if snow:
        rough, line = p.ridge(level - swing * 0.3, swing * 0.5, 0.72), level - swing * 0.4
        hem = [(x, max(y, min(y + (line - y) * 0.9, edge))) for (x, y), (_, edge) in zip(crest, rough, strict=True)]
        p.lay(p.stencil([[*crest, *reversed(hem)]]), p.depth((250, 252, 255), nearness * 0.5 + 0.5), opacity=0.85)
    p.relief(rock, 7, 0.25 + nearness * 0.5)
    start = 255 * (level - swing * 0.3) / p.height
    haze = Image.linear_gradient("L").resize((p.width, p.height)).point(curve(lambda v: min(150.0, (v - start) * 2.4)))
    p.lay(ImageChops.multiply(haze, rock), p.mood.air, opacity=0.8)


def _birds(p: Painter, horizon: float) -> None:
    x, y = p.width * p.dice.uniform(0.3, 0.7), horizon * p.dice.uniform(0.25, 0.5)
    wings = [(-1, -0.5), (-0.4, -0.45), (0, 0), (0.45, -0.5), (1, -0.35), (0.45, -0.33), (0, 0.22), (-0.42, -0.28)]
    flock: list[list[Point]] = []
    for _ in range(p.dice.randint(4, 8)):
        span, angle = p.unit * p.dice.uniform(0.01, 0.02), p.dice.gauss(0, 0.12)
        bird = [(a * span, b * span) for a, b in wings]
        flock.append(turned(bird, angle, x + p.dice.gauss(0, p.unit * 0.09), y + p.dice.gauss(0, p.unit * 0.05)))
    p.lay(p.stencil(flock), p.depth((30, 32, 44), 0.9))


def _city(p: Painter, horizon: float) -> None:
    lamps = Image.new("RGB", p.image.size)
    pen = ImageDraw.Draw(lamps)
    lit = 0.5 if p.mood.dark else 0.2
    for row in range(3):
        nearness, x = 0.15 + row * 0.35, -p.unit * 0.05
        towers: list[list[Point]] = []
        panes: list[tuple[list[Point], Colour]] = []
        pane = p.unit * (0.006 + 0.0018 * row)
        while x < p.width:
            broad = p.unit * p.dice.uniform(0.05, 0.1) * (0.8 + row * 0.25)
            tall = p.height * p.dice.triangular(0.12, 0.5, 0.2) * (1.1 - row * 0.26)
            top, middle = horizon - tall, x + broad / 2
            towers.append(box(x, top, x + broad, horizon))
            if p.dice.random() < 0.45:
                inset, step = broad * p.dice.uniform(0.15, 0.3), p.unit * p.dice.uniform(0.015, 0.04)
                towers.append(box(x + inset, top - step, x + broad - inset, top))
                towers.append(box(middle - pane / 6, top - step * p.dice.uniform(2, 4), middle + pane / 6, top))
            glass = p.dice.choice(((255, 206, 128), (255, 226, 170), (255, 184, 104), (176, 214, 255)))
            across, down = int(broad / (pane * 2.1)), int(tall / (pane * 2.6))
            for i in range(across * down):
                if p.dice.random() < lit * (0.5 + row * 0.25):
                    left, high = x + pane * (0.7 + i % across * 2.1), top + pane * (1.4 + i // across * 2.6)
                    lamp = mix((0, 0, 0), glass, p.dice.uniform(0.3, 0.6 + row * 0.2))
                    panes.append((box(left, high, left + pane, high + pane * 1.4), lamp))
            x += broad * p.dice.uniform(0.9, 1.15)
        mask = p.stencil(towers)
        p.lay(mask, p.depth((38, 46, 70), nearness), p.depth((58, 66, 92), nearness * 0.7))
        # Nearer towers hide the windows of those behind them.
        lamps.paste((0, 0, 0), mask=mask)
        for window, lamp in panes:
            pen.polygon(window, fill=lamp)
    bloom = lamps.filter(ImageFilter.GaussianBlur(p.unit / 90)).point(curve(lambda level: level * 2) * 3)
    p.image = ImageChops.screen(ImageChops.screen(p.image, lamps), bloom)
    p.glow(p.width / 2, horizon, p.unit * 0.8, (255, 170, 110), strength=0.28 if p.mood.dark else 0.1)


def _water(p: Painter, horizon: float, *, calm: float, colour: Colour) -> None:
    """Mirror what stands above the horizon, broken by ripples that grow toward the viewer."""
    top = min(round(horizon), p.height - 1)
    deep = p.height - top
    mirror = ImageOps.flip(p.image.crop((0, 0, p.width, max(1, top)))).resize(
        (p.width, deep), Image.Resampling.BILINEAR
    )
    mirror = mirror.filter(ImageFilter.BoxBlur((p.unit / 500, p.unit / 60 / calm)))
    tint = Image.linear_gradient("L").resize(mirror.size).point(curve(lambda level: 40 + calm * level / 2))
    mirror.paste(under(p.mood.ambient, colour), mask=tint)
    band, phase = max(1, p.unit // 500), p.dice.uniform(0, math.tau)
    for y in range(0, deep, band):
        near = y / deep
        shift = math.sin(phase + 26 * math.log1p(9 * near)) + 0.6 * math.sin(phase + 71 * math.log1p(5 * near))
        strip = mirror.crop((0, y, p.width, min(deep, y + band)))
        strip = ImageChops.offset(strip, round(shift * p.unit * 0.012 * calm * (0.15 + near)), 0)
        p.image.paste(strip, (0, top + y))
    glints: list[list[Point]] = []
    for _ in range(round(520 * calm)):
        near = p.dice.random() ** 1.5
        path = p.dice.gauss(p.sun, p.width * (0.025 + 0.12 * near))
        x = path if p.dice.random() < 0.7 else p.dice.uniform(0, p.width)
        glints.append(ellipse(x, horizon + deep * near, p.unit * (0.006 + 0.03 * near), p.unit * 0.0016 * (0.4 + near)))
    p.lay(p.stencil(glints), p.mood.light, opacity=0.3)
    p.lay(p.stencil([box(0, top - 1, p.width, top + 1)], blur=p.unit / 200), p.mood.sky[-1], opacity=0.6)


def _dune(p: Painter, level: float, nearness: float) -> None:
    crest = p.swell(level, p.height * (0.03 + 0.06 * nearness), p.dice.uniform(0.8, 1.5))
    p.lay(p.below(crest), p.depth((238, 178, 112), nearness), p.depth((168, 98, 58), nearness))
    # The lee side of a dune lies in shadow, from the crest to a line that swings away from it.
    bends, reach = p.dice.uniform(0, math.tau), p.height * 0.16 * (0.3 + nearness)
    hem = [(x, y + reach * max(0.0, math.sin(bends + 5 * x / p.width)) ** 1.5) for x, y in crest]
    lee = p.stencil([[*crest, *reversed(hem)]])
    p.lay(lee, p.depth((142, 78, 56), nearness), p.depth((186, 116, 72), nearness), opacity=0.75)


def _ground(p: Painter, horizon: float, *, snow: bool, forest: bool) -> None:
    tone, shade = ((236, 243, 252), (168, 190, 222)) if snow else ((104, 142, 74), (34, 66, 48))
    for near, pines in enumerate((54, 34, 12, 0)):
        level = horizon + (p.height - horizon) * (near / 3) ** 1.2 * 0.72
        if forest:
            foot, tall = level + p.unit * 0.03, p.unit * (0.1 + 0.1 * near)
            mask = p.stencil([_pine(p, p.dice.uniform(0, p.width), foot, tall) for _ in range(pines)])
            p.lay(mask, p.depth((44, 84, 74), 0.15 + near * 0.28), p.depth((18, 46, 44), 0.15 + near * 0.28))
            if snow:
                flecks = p.noise(60, 1, 2).point(curve(lambda level: level * 2 - 255))
                p.lay(ImageChops.multiply(mask, flecks), (240, 246, 255), opacity=0.5)
        hill = p.below(p.swell(level, p.height * 0.022, 1.2))
        p.lay(hill, p.depth(tone, 0.3 + near * 0.2), p.depth(shade, 0.4 + near * 0.2))


def _pine(p: Painter, x: float, foot: float, tall: float) -> list[Point]:
    tall *= p.dice.uniform(0.7, 1.25)
    side: list[Point] = [(0, -tall)]
    for tier in range(1, 8):
        reach, drop = tall * 0.24 * (tier / 7) ** 0.85 * p.dice.uniform(0.85, 1.15), tall * (1 - tier / 7.6)
        side += [(reach, -drop), (reach * 0.5, -drop - tall * 0.012)]
    side += [(tall * 0.025, -tall * 0.07), (tall * 0.025, 0)]
    right = [(x + a, foot + b) for a, b in side]
    return right + [(x - a * p.dice.uniform(0.85, 1.1), foot + b) for a, b in reversed(side)]


def _fog(p: Painter) -> None:
    bank = Image.linear_gradient("L").resize((p.width, p.height))
    bank = bank.point(curve(lambda level: 190 * math.sin(math.pi * level / 255) ** 2))
    p.lay(ImageChops.multiply(bank, p.noise(2, 4, 4)), mix(p.mood.air, p.mood.light, 0.5))
