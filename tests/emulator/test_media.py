"""The emulator's pictures and films: of the prompt, of the size asked for, the same every time."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Literal

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from aifs_media.testing.emulator.movies import encode_movie
from aifs_media.testing.emulator.pictures import draw_picture, encode_picture

PROMPTS = (
    "sunset over mountains",
    "city at night in rain",
    "a red fox in snow",
    "a rabbit in a garden",
    "portrait of a woman",
    "ringed planet in space",
    "desert dunes",
    "boats on the sea at dawn",
    "misty forest",
    "the sound of forgotten mathematics",
    "freedom",
)


def difference(one: Image.Image, other: Image.Image) -> float:
    """Return how far two pictures are apart, in levels out of 255, on average."""
    return sum(ImageStat.Stat(ImageChops.difference(one, other)).mean) / 3


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_picture_repeats(prompt: str) -> None:
    """The same prompt, seed and size give the same picture, to the pixel."""
    first = draw_picture(prompt, width=160, height=120, seed=7)
    assert first.tobytes() == draw_picture(prompt, width=160, height=120, seed=7).tobytes()


def test_two_prompts_give_two_pictures() -> None:
    """Any two prompts give pictures that a viewer tells apart."""
    pictures = [draw_picture(prompt, width=128, height=128, seed=1) for prompt in PROMPTS]
    for number, one in enumerate(pictures):
        for other in pictures[:number]:
            assert difference(one, other) > 8


@pytest.mark.parametrize(("one", "other"), [("two mountains", "three mountains"), ("hope", "hopes"), ("red", "blue")])
def test_near_prompts_give_two_pictures(one: str, other: str) -> None:
    """Prompts that ask for the same scene still get pictures of their own."""
    first, second = (draw_picture(prompt, width=128, height=128, seed=1) for prompt in (one, other))
    assert difference(first, second) > 4


@pytest.mark.parametrize("prompt", PROMPTS)
def test_two_seeds_give_two_pictures(prompt: str) -> None:
    """Another seed gives another picture of the same prompt."""
    first, second = (draw_picture(prompt, width=128, height=128, seed=seed) for seed in (1, 2))
    assert difference(first, second) > 2


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("size", [(96, 96), (168, 96), (96, 168), (1, 1), (3, 50), (200, 16)])
def test_a_picture_has_the_size_asked_for(prompt: str, size: tuple[int, int]) -> None:
    """Every scene can be drawn in every format, tiny ones included."""
    picture = draw_picture(prompt, width=size[0], height=size[1], seed=0)
    assert picture.size == size
    assert picture.mode == "RGB"


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "   \n\t",
        "🦊❄️",
        "夕焼けの海",
        "سماء الليل",
        "\ud83e lone surrogate",
        "nul \0 byte",
        "word " * 2000,
        "x" * 10_000,
        "-" * 99,
    ],
)
def test_odd_prompts_are_drawn(prompt: str) -> None:
    """Empty, endless, foreign and broken prompts give a picture like any other."""
    picture = draw_picture(prompt, width=128, height=128, seed=0)
    assert max(ImageStat.Stat(picture).stddev) > 5


def test_signs_are_understood() -> None:
    """An emoji chooses the scene just as its word does: a fox is a good deal of orange in the middle."""
    for prompt in ("🦊", "fox", "狐"):
        middle = draw_picture(prompt, width=128, height=128, seed=3).crop((40, 64, 88, 116))
        red, _, blue = ImageStat.Stat(middle).mean
        assert red > blue + 40


def test_every_picture_says_that_it_is_emulated() -> None:
    """The strip at the foot carries the same word at the right, whatever the prompt."""
    for prompt in ("night", "freedom", "snow"):
        word = draw_picture(prompt, width=512, height=512, seed=0).crop((440, 492, 512, 512))
        bands = (band.tobytes() for band in word.split())
        amber = sum(r > 190 and r - b > 50 for r, _, b in zip(*bands, strict=True))
        assert 30 < amber < 400


@pytest.mark.parametrize(
    ("format", "magic"), [("png", b"\x89PNG\r\n\x1a\n"), ("jpg", b"\xff\xd8\xff"), ("webp", b"RIFF")]
)
def test_formats(format: Literal["png", "jpg", "webp"], magic: bytes) -> None:
    """A picture is written in the format asked for and reads back in its own size."""
    data = encode_picture(draw_picture("a lake", width=64, height=48, seed=0), format)
    assert data.startswith(magic)
    assert format != "webp" or data[8:12] == b"WEBP"
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (64, 48)


@pytest.mark.parametrize(
    ("frames", "fps", "rate"),
    [
        (1, 1, Fraction(1)),
        (24, 8, Fraction(8)),
        (36, 24, Fraction(24)),
        (10, 29.97, Fraction(2997, 100)),
        (48, 24000 / 1001, Fraction(24000, 1001)),
        (3, 0.5, Fraction(1, 2)),
    ],
)
def test_a_film_is_what_was_asked_for(frames: int, fps: float, rate: Fraction) -> None:
    """Codec, pixel format, size, number of frames, rate and duration are exact."""
    data = encode_movie("a red fox in snow", width=96, height=64, frames=frames, fps=fps, seed=1)
    with av.open(io.BytesIO(data), "r") as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        assert (stream.width, stream.height) == (96, 64)
        assert stream.average_rate == rate
        assert stream.frames == frames
        assert stream.duration is not None and stream.time_base is not None
        assert stream.duration * stream.time_base == frames / rate
        # The container counts microseconds and an MP4 header milliseconds.
        assert container.duration is not None
        assert container.duration / 1e6 == pytest.approx(float(frames / rate), abs=0.001)
        assert container.metadata["comment"] == "emulated by aifs-media"
        decoded = list(container.decode(stream))
    assert len(decoded) == frames
    assert {(frame.width, frame.height) for frame in decoded} == {(96, 64)}
    assert [frame.time for frame in decoded] == pytest.approx([float(number / rate) for number in range(frames)])


def test_a_film_plays_while_it_loads() -> None:
    """The index stands before the frames."""
    data = encode_movie("waves", width=64, height=64, frames=4, fps=4, seed=1)
    assert data[4:8] == b"ftyp"
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize("prompt", ["rain in the city", "snow", "flowers", "freedom"])
def test_a_film_moves_and_shows_its_prompt(prompt: str) -> None:
    """Frames differ from one another, and any of them is closer to its own picture than to another prompt's."""
    data = encode_movie(prompt, width=128, height=96, frames=12, fps=6, seed=1)
    with av.open(io.BytesIO(data), "r") as container:
        frames = [frame.to_image() for frame in container.decode(video=0)]
    assert difference(frames[0], frames[-1]) > 2
    own = draw_picture(prompt, width=128, height=96, seed=1)
    other = draw_picture("black galaxy", width=128, height=96, seed=1)
    assert all(difference(frame, own) < difference(frame, other) for frame in frames)


def test_a_film_repeats() -> None:
    """The same request gives the same bytes; another prompt or seed gives others."""
    first = encode_movie("a lake", width=64, height=48, frames=5, fps=5, seed=1)
    assert first == encode_movie("a lake", width=64, height=48, frames=5, fps=5, seed=1)
    assert first != encode_movie("a wood", width=64, height=48, frames=5, fps=5, seed=1)
    assert first != encode_movie("a lake", width=64, height=48, frames=5, fps=5, seed=2)
