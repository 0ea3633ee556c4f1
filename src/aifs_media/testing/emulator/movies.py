"""Short films of the pictures that prompts become, for the emulated providers."""

# The types of Pillow and PyAV name those of numpy, which is not installed here.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import math
import random
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import av
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from PIL import Image, ImageChops

from aifs_media.testing.emulator.painter import curve, radiance
from aifs_media.testing.emulator.pictures import FALLING, compose_scene, draw_caption, draw_falling

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("encode_movie",)

# The scene is drawn this much larger than the film, to leave the camera room to move.
_ROOM = 1.2
# For slow, smooth pictures: less search than the preset's, half the time, no larger files.
_ENCODER = {"preset": "veryfast", "crf": "24", "x264-params": "rc-lookahead=5:subme=1:weightp=0"}


def encode_movie(prompt: str, *, width: int, height: int, frames: int, fps: float, seed: int) -> bytes:
    """Film the picture of a prompt: the camera glides through it while points of light drift by.

    Args:
        prompt: Any text, as for `draw_picture`.
        width: Pixels, even.
        height: Pixels, even.
        frames: The exact number of frames, at least 1.
        fps: Frames per second, above 0; the film lasts frames / fps seconds.
        seed: The same seed gives the same film.

    Returns:
        An MP4 file: H.264, yuv420p, no sound, its index before its frames so that it plays while it loads.
    """
    # Broadcast rates such as 24000/1001 come back exactly from their float.
    rate = Fraction(fps).limit_denominator(10_000)
    # FFmpeg moves the index to the front by opening the finished file once more, which needs a real file.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "movie.mp4"
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            container.metadata["comment"] = "emulated by aifs-media"
            stream = container.add_stream("libx264", rate=rate, options=_ENCODER)
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            context = stream.codec_context
            context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG
            context.color_primaries, context.color_trc = ColorPrimaries.BT709, ColorTrc.BT709
            for number, image in enumerate(
                _shots(prompt, width=width, height=height, frames=frames, rate=rate, seed=seed)
            ):
                # PyAV leaves the type of Pillow's image open.
                frame = av.VideoFrame.from_image(image)  # type: ignore[no-untyped-call]
                frame = frame.reformat(format="yuv420p", dst_colorspace=Colorspace.ITU709)
                frame.pts, frame.time_base = number, 1 / rate
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return path.read_bytes()


def _shots(prompt: str, *, width: int, height: int, frames: int, rate: Fraction, seed: int) -> Iterator[Image.Image]:
    """Yield the frames of the film, one at a time."""
    scene = compose_scene(prompt, width=math.ceil(width * _ROOM), height=math.ceil(height * _ROOM), seed=seed)
    strip = draw_caption(prompt, width=width, height=height)
    falling = draw_falling(prompt, width=width, height=height, seed=seed)
    dice = random.Random(seed)
    from_left, closer = dice.random() < 0.5, dice.random() < 0.5
    motes = [_Mote(dice, min(width, height)) for _ in range(28)]
    for number in range(frames):
        time = number / max(1, frames - 1)
        # Slow at both ends, so that neither the start nor the end of the film jerks.
        eased = (1 - math.cos(math.pi * time)) / 2
        zoom = 1 - (1 - 1 / _ROOM) * (0.3 + 0.6 * (eased if closer else 1 - eased))
        across, down = scene.width * zoom, scene.height * zoom
        left = (scene.width - across) * (eased if from_left else 1 - eased)
        top = (scene.height - down) * (0.8 - 0.4 * eased)
        image = scene.resize((width, height), Image.Resampling.BILINEAR, (left, top, left + across, top + down))
        if falling is None:
            for mote in motes:
                mote.light(image, time)
        else:
            mask, speed = falling
            fallen = speed * height * float(number / rate)
            image.paste(FALLING, mask=ImageChops.offset(mask, round(-0.18 * fallen), round(fallen)))
        image.paste(strip, (0, height - strip.height), strip)
        yield image


class _Mote:
    """A point of light that rises slowly, sways and glimmers."""

    def __init__(self, dice: random.Random, unit: int) -> None:
        self._glow = radiance(max(3, round(unit * dice.uniform(0.008, 0.035))), 1.6)
        self._x, self._y, self._rise = dice.random(), dice.random(), dice.uniform(0.1, 0.35)
        self._sway, self._beat, self._phase = dice.uniform(0.01, 0.04), dice.randint(2, 5), dice.uniform(0, math.tau)

    def light(self, image: Image.Image, time: float) -> None:
        """Shine on a frame at a time between 0, the start of the film, and 1, its end."""
        bright = 0.36 + 0.3 * math.sin(self._phase + math.tau * self._beat * time)
        x = (self._x + self._sway * math.sin(self._phase + math.pi * self._beat * time)) * image.width
        y = (self._y - self._rise * time) % 1.0 * image.height
        image.paste((255, 250, 232), (round(x), round(y)), self._glow.point(curve(lambda level: level * bright)))
