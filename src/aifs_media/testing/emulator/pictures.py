"""Pictures composed from the words of a prompt, for the emulated providers.

One prompt, seed and size always give the same picture; another prompt gives another one. Known words (a place, an hour, a
season, an animal, a colour, in English or as a common sign) choose the scene; any other prompt becomes an abstract
composition in colours of its own. Every picture says "emulated" at its foot, so that nobody takes it for a provider's.
"""

# Pillow's signatures name numpy types, and numpy is not installed here.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import hashlib
import io
import random
import re
from dataclasses import replace
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

from aifs_media.testing.emulator.figures import Ears, paint_animal, paint_portrait
from aifs_media.testing.emulator.painter import MOODS, Painter, hsv, mix, rgb
from aifs_media.testing.emulator.papercuts import paint_papercut
from aifs_media.testing.emulator.scenery import draw_rain, draw_snow, paint_landscape, paint_space

__all__ = ("FALLING", "compose_scene", "draw_caption", "draw_falling", "draw_picture", "encode_picture")

# The colour of rain and snow in the air.
FALLING = (236, 242, 250)

_CONCEPTS = {
    "night": "night midnight moon moonlight moonlit evening nocturnal neon stars starry noche nuit nacht 夜 月 🌙 🌃 🌌",
    "sunset": "sunset dusk sundown twilight golden atardecer sonnenuntergang 夕 🌅 🌇",
    "dawn": "dawn sunrise morning daybreak pastel aurora 朝 🌄",
    "storm": "storm stormy rain rainy raining overcast cloudy fog foggy mist misty gloomy thunder 雨 🌧 ⛈",
    "rain": "rain rainy raining storm stormy downpour drizzle monsoon regen lluvia pluie 雨 🌧 ⛈",
    "fog": "fog foggy mist misty haze hazy dreamy mystic nebel niebla 霧 🌫",
    "snow": "snow snowy snowfall winter blizzard ice icy frozen arctic glacier nieve schnee neige 雪 ❄ ⛄",
    "mountain": "mountain mountains alps peak peaks summit ridge volcano himalaya cliff fjord valley montaña 山 ⛰ 🏔 🗻",
    "sea": "sea ocean beach coast lake river water waves wave harbor harbour island bay shore boat ship surf lagoon meer 海 湖 🌊 🏖",
    "forest": "forest woods woodland tree trees pine pines jungle grove bosque wald forêt 森 林 🌲 🌳",
    "city": "city cities skyline street streets town urban skyscraper skyscrapers downtown building buildings metropolis cyberpunk "
    "tokyo paris london york ciudad stadt ville 街 城 市 🏙 🌃 🌆",
    "desert": "desert dune dunes sand sahara canyon oasis camel desierto wüste 砂 🏜 🐪",
    "space": "space galaxy galaxies nebula planet planets cosmos cosmic universe astronaut orbit saturn asteroid rocket 宇宙 🚀 🪐 🌌",
    "flower": "flower flowers rose roses tulip tulips daisy daisies blossom blossoms bouquet poppy poppies sunflower sunflowers garden "
    "meadow lavender flor blume fleur 花 🌸 🌻 🌷 🌹",
    "portrait": "portrait woman man girl boy face person selfie headshot queen king princess 人 👩 👨 👧",
    "birds": "bird birds seagull seagulls eagle owl swan flock 鳥 🐦 🦅",
}
# Each animal: the words for it, its coat, its ears, and whether its tail shows.
_ANIMALS: tuple[tuple[str, str, Ears, bool], ...] = (
    ("fox foxes zorro fuchs renard 狐 🦊", "d9602b", "pointed", True),
    ("wolf wolves dog dogs puppy husky coyote 狼 犬 🐺 🐶 🐕", "76818f", "pointed", True),
    ("cat cats kitten kittens gato katze 猫 🐱 🐈", "6c6470", "pointed", True),
    ("bear bears panda koala teddy 熊 🐻 🐼", "6f4a33", "round", False),
    ("rabbit rabbits bunny hare 兎 🐰 🐇", "b9a28c", "long", False),
    ("lion tiger leopard cheetah lioness 虎 🦁 🐯", "d79a3c", "round", True),
    ("animal animals monkey mouse squirrel raccoon otter 🐵 🐭 🐿", "9a6a45", "round", True),
)
_COLOURS = {
    "red": "d8343a", "crimson": "c01838", "orange": "f08030", "gold": "e8b040", "yellow": "f4d040", "green": "3c9a58",
    "emerald": "109868", "teal": "149098", "turquoise": "30c0b8", "blue": "2c68c8", "azure": "3c98e8", "indigo": "4038a0",
    "purple": "7c3cac", "violet": "8450c8", "magenta": "d030a0", "pink": "f080a8", "brown": "80583c", "white": "f4f4f0",
    "silver": "b8c0c8", "grey": "808890", "gray": "808890", "black": "20222c",
}  # fmt: skip


def draw_picture(prompt: str, *, width: int, height: int, seed: int) -> Image.Image:
    """Compose a picture from a prompt, with its caption.

    Args:
        prompt: Any text, also empty, very long or not English.
        width: Pixels, at least 1.
        height: Pixels, at least 1.
        seed: The same seed gives the same picture.

    Returns:
        An RGB image of exactly the size asked for.
    """
    image = compose_scene(prompt, width=width, height=height, seed=seed)
    falling = draw_falling(prompt, width=width, height=height, seed=seed)
    if falling is not None:
        image.paste(FALLING, mask=falling[0])
    strip = draw_caption(prompt, width=width, height=height)
    image.paste(strip, (0, height - strip.height), strip)
    return image


def encode_picture(image: Image.Image, format: Literal["png", "jpg", "webp"]) -> bytes:  # noqa: A002 - the wire's word
    """Return the picture as the bytes of a PNG, JPEG or WebP file."""
    file = io.BytesIO()
    match format:
        case "png":
            image.save(file, "PNG", compress_level=3)
        case "jpg":
            image.save(file, "JPEG", quality=92, subsampling=0)
        case "webp":
            image.save(file, "WEBP", quality=88, method=2)
    return file.getvalue()


def compose_scene(prompt: str, *, width: int, height: int, seed: int) -> Image.Image:
    """Compose the picture of a prompt, without its caption and what falls from its sky; as for `draw_picture`."""
    dice = _dice(prompt, seed)
    asked = {concept for concept, words in _CONCEPTS.items() if _asks(prompt, words)}
    animal = next((kind for kind in _ANIMALS if _asks(prompt, kind[0])), None)
    colour = next((rgb(code) for word, code in _COLOURS.items() if _asks(prompt, word)), None)
    if not asked and animal is None:
        return paint_papercut(dice, colour, width, height)
    mood = MOODS[next((name for name in MOODS if name in asked), "day")]
    if colour and animal is None and not asked & {"flower", "portrait"}:
        sky = tuple(mix(stop, colour, 0.28) for stop in mood.sky)
        mood = replace(mood, sky=sky, ambient=mix(mood.ambient, colour, 0.2), air=mix(mood.air, colour, 0.25))
    painter = Painter(mood, dice, width, height)
    if "portrait" in asked:
        paint_portrait(painter, colour or hsv(dice.random(), 0.5, 0.75))
    elif "space" in asked:
        paint_space(painter, colour or hsv(dice.uniform(0.52, 0.95), 0.62, 0.85))
    else:
        paint_landscape(painter, asked, animal=animal is not None, colour=colour)
    if animal is not None:
        _, coat, ears, tail = animal
        paint_animal(painter, mix(rgb(coat), colour, 0.35) if colour else rgb(coat), ears, tail=tail)
    return painter.image


def draw_falling(prompt: str, *, width: int, height: int, seed: int) -> tuple[Image.Image, float] | None:
    """Return what falls from the sky of a prompt: its mask, and its speed in picture heights per second.

    Paint it in the colour `FALLING`. Most prompts have nothing of the kind: None.
    """
    painter = Painter(MOODS["day"], _dice(prompt, seed), width, height)
    if _asks(prompt, _CONCEPTS["rain"]):
        return draw_rain(painter), 1.4
    if _asks(prompt, _CONCEPTS["snow"]):
        return draw_snow(painter), 0.07
    return None


def draw_caption(prompt: str, *, width: int, height: int) -> Image.Image:
    """Return the strip for the foot of a picture of this size: the prompt, as far as it fits, and the word "emulated".

    The strip is a half transparent RGBA image, as wide as the picture; paste it with itself as the mask.
    """
    size = max(6.0, min(width, height) * 0.019)
    font = ImageFont.load_default(size=size)
    strip = Image.new("RGBA", (width, min(height, round(size * 2.1))), (8, 10, 16, 136))
    pen, middle = ImageDraw.Draw(strip), strip.height / 2
    pen.text((width - size, middle), "emulated", font=font, fill=(255, 214, 140), anchor="rm")
    room = width - 3 * size - pen.textlength("emulated", font=font)
    pen.text((size, middle), _fitting(prompt, font, room), font=font, fill=(236, 238, 242), anchor="lm")
    return strip


def _dice(prompt: str, seed: int) -> random.Random:
    # A prompt out of JSON may hold half a surrogate pair, which plain UTF-8 refuses.
    return random.Random(hashlib.sha256(f"{seed}:{prompt}".encode("utf-8", "surrogatepass")).digest())


def _asks(prompt: str, words: str) -> bool:
    """Tell whether the prompt has one of the words; foreign signs of one or two characters count wherever they stand."""
    said = set(re.findall(r"[^\W\d_]+", prompt.casefold()))
    return any(word in said or (not word.isascii() and len(word) <= 2 and word in prompt) for word in words.split())


def _fitting(prompt: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, room: float) -> str:
    """Return the longest beginning of the prompt that the font can write and that fits in a room of so many pixels."""
    # The built-in font has Latin letters only: what it lacks would show as a row of empty boxes.
    missing = _glyph("\U0010fffd", font)
    text = " ".join(prompt[:400].split())
    written = "".join(c if c.isprintable() and _glyph(c, font) != missing else "\0" for c in text)
    written = re.sub(r"\0[\0 ]*", "… ", written).strip()
    if font.getlength(written) <= room:
        return written
    while written and font.getlength(written + "…") > room:
        written = written[:-1].rstrip()
    return written and written + "…"


def _glyph(character: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> bytes:
    """Return the look of one character."""
    square = Image.new("L", (24, 24))
    ImageDraw.Draw(square).text((0, 0), character, font=font, fill=255)
    return square.tobytes()
