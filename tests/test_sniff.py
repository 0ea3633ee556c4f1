"""A file is told by its bytes, and a file that is not whole is noticed wherever it was cut."""

from __future__ import annotations

import io
import random
import struct
import tempfile
import tracemalloc
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aifs_media._sniff import MediaCheck, MediaFacts
from aifs_media.errors import BadMediaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Kind

WIDTH, HEIGHT, FPS, FRAMES = 64, 48, 8, 16

IMAGES = ("png", "png_animated", "jpeg", "progressive", "gif", "webp", "webp_lossless", "webp_animated", "avif")
VIDEOS = ("mp4", "mp4_faststart", "mp4_fragmented", "mov", "webm", "webm_live", "mkv")
MEDIA_TYPES = {
    "png": ("image/png", "png"),
    "jpeg": ("image/jpeg", "jpg"),
    "progressive": ("image/jpeg", "jpg"),
    "png_animated": ("image/png", "png"),
    "gif": ("image/gif", "gif"),
    "webp": ("image/webp", "webp"),
    "webp_lossless": ("image/webp", "webp"),
    "webp_animated": ("image/webp", "webp"),
    "avif": ("image/avif", "avif"),
    "mp4": ("video/mp4", "mp4"),
    "mp4_faststart": ("video/mp4", "mp4"),
    "mp4_fragmented": ("video/mp4", "mp4"),
    "mov": ("video/quicktime", "mov"),
    "webm": ("video/webm", "webm"),
    "webm_live": ("video/webm", "webm"),
    "mkv": ("video/x-matroska", "mkv"),
}


def _picture(step: int = 0) -> Image.Image:
    noise = random.Random(step)
    return Image.frombytes("RGB", (WIDTH, HEIGHT), noise.randbytes(WIDTH * HEIGHT * 3))


@cache
def sample(name: str) -> bytes:
    """Return a small real file, made by Pillow or FFmpeg."""
    if name in IMAGES:
        return _image(name)
    container, codec, options = {
        "mp4": ("mp4", "libx264", {}),
        "mp4_faststart": ("mp4", "libx264", {"movflags": "faststart"}),
        "mp4_fragmented": ("mp4", "libx264", {"movflags": "frag_keyframe+empty_moov"}),
        "mov": ("mov", "libx264", {}),
        "webm": ("webm", "libvpx", {}),
        "webm_live": ("webm", "libvpx", {"live": "1"}),
        "mkv": ("matroska", "libx264", {}),
    }[name]
    return _video(container, codec, options)


def _image(name: str) -> bytes:
    file = io.BytesIO()
    if name == "progressive":
        _picture().save(file, "jpeg", progressive=True)
    elif name == "webp_lossless":
        _picture().save(file, "webp", lossless=True)
    elif name == "webp_animated":
        _picture().save(file, "webp", save_all=True, append_images=[_picture(1)])
    elif name == "png_animated":
        _picture().save(file, "png", save_all=True, append_images=[_picture(1)])
    elif name == "gif":
        _picture().save(file, "gif", save_all=True, append_images=[_picture(1)], loop=0)
    else:
        _picture().save(file, name)
    return file.getvalue()


def _video(container: str, codec: str, options: dict[str, str]) -> bytes:
    # A file on disk, because faststart reads back what it wrote.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "video"
        with av.open(str(path), "w", format=container, options=options) as output:
            stream = output.add_stream(codec, rate=FPS)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
            stream.gop_size = 8
            for step in range(FRAMES):
                for packet in stream.encode(av.VideoFrame.from_image(_picture(step))):
                    output.mux(packet)
            for packet in stream.encode(None):
                output.mux(packet)
        return path.read_bytes()


def kind_of(name: str) -> Kind:
    """Return what is asked for when that sample is the right answer."""
    return "image" if name in IMAGES else "video"


def check(
    data: bytes, kind: Kind, *, pieces: Sequence[bytes] | None = None, max_pixels: int = 100_000_000
) -> MediaFacts:
    """Feed a whole file and finish."""
    media_check = MediaCheck(kind, max_pixels=max_pixels)
    for piece in [data] if pieces is None else pieces:
        media_check.feed(piece)
    return media_check.finish()


def outcome(data: bytes, kind: Kind, pieces: Sequence[bytes] | None = None) -> MediaFacts | str:
    """Return the facts, or the text of the error."""
    try:
        return check(data, kind, pieces=pieces)
    except BadMediaError as error:
        return str(error)


@pytest.mark.parametrize("name", [*IMAGES, *VIDEOS])
def test_type_and_size(name: str) -> None:
    """Every format is recognised and measured."""
    facts = check(sample(name), kind_of(name))
    assert (facts.media_type, facts.extension) == MEDIA_TYPES[name]
    assert (facts.width, facts.height) == (WIDTH, HEIGHT)


@pytest.mark.parametrize("name", ["mp4", "mp4_faststart", "mov", "webm", "mkv"])
def test_duration(name: str) -> None:
    """A finished video tells how long it is, in seconds."""
    assert check(sample(name), "video").duration == pytest.approx(FRAMES / FPS, abs=0.15)


@pytest.mark.parametrize("name", ["mp4", "mp4_faststart", "mov", "webm", "mkv"])
def test_frames_per_second(name: str) -> None:
    """A finished video tells its frame rate."""
    assert check(sample(name), "video").fps == pytest.approx(FPS, rel=0.01)


@pytest.mark.parametrize("name", [*IMAGES, *VIDEOS])
def test_other_kind_is_refused(name: str) -> None:
    """A video is no answer where an image was asked for, and the reverse."""
    other: Kind = "video" if name in IMAGES else "image"
    media_check = MediaCheck(other)
    with pytest.raises(BadMediaError, match=f"not the {other}"):
        media_check.feed(sample(name)[:600])


def _fragment_ends(data: bytes) -> set[int]:
    """Return where a complete file could end as well: behind each fragment's media data."""
    ends, position = set(), 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        position += size
        if data[position - size + 4 : position - size + 8] == b"mdat":
            ends.add(position)
    return ends


@pytest.mark.parametrize("name", [*IMAGES, "mp4", "mp4_faststart", "mp4_fragmented", "mov", "webm", "mkv"])
def test_cut_anywhere(name: str) -> None:
    """A file that lost its tail is refused, wherever it was cut."""
    data = sample(name)
    random_cuts = random.Random(name).sample(range(len(data)), k=min(400, len(data)))
    cuts = {*random_cuts, *range(min(64, len(data))), *range(len(data) - 64, len(data))}
    if name == "mp4_fragmented":
        cuts -= _fragment_ends(data)
    accepted = [cut for cut in sorted(cuts) if not isinstance(outcome(data[:cut], kind_of(name)), str)]
    assert accepted == []


def test_every_cut_of_a_small_png() -> None:
    """Not one prefix of a PNG passes."""
    data = _tiny("png")
    assert all(isinstance(outcome(data[:cut], "image"), str) for cut in range(len(data)))
    assert isinstance(outcome(data, "image"), MediaFacts)


def _tiny(image_format: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (3, 2), "red").save(file, image_format)
    return file.getvalue()


@pytest.mark.parametrize("name", [*IMAGES, *VIDEOS])
def test_one_byte_at_a_time(name: str) -> None:
    """Single bytes give the same facts as one piece."""
    data = sample(name)
    assert outcome(data, kind_of(name), [data[i : i + 1] for i in range(len(data))]) == check(data, kind_of(name))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_chunking_changes_nothing(data: st.DataObject) -> None:
    """Facts and errors are the same however the bytes are cut into chunks, whole or cut or damaged."""
    name = data.draw(st.sampled_from([*IMAGES, *VIDEOS]))
    content = bytearray(sample(name))
    damaged = data.draw(st.integers(0, len(content) - 1))
    content[damaged] = data.draw(st.integers(0, 255))
    del content[data.draw(st.integers(0, len(content))) :]
    places = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=12)))
    pieces = [bytes(content[a:b]) for a, b in zip([0, *places], [*places, len(content)], strict=True)]
    assert outcome(bytes(content), kind_of(name), pieces) == outcome(bytes(content), kind_of(name))


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(
        [b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF\xff\0\0\0WEBP", b"\0\0\0\x10ftypisom\0\0\0\0"]
    ),
    st.binary(max_size=300),
    st.sampled_from(["image", "video"]),
)
def test_noise_raises_nothing_else(start: bytes, noise: bytes, kind: Kind) -> None:
    """Whatever arrives, the only error is the documented one."""
    outcome(start + noise, kind)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(["mp4_faststart", "webm", "avif"]), st.integers(0, 2000), st.binary(min_size=1, max_size=8))
def test_damage_raises_nothing_else(name: str, place: int, damage: bytes) -> None:
    """A damaged description is refused or read, and never crashes the check."""
    content = bytearray(sample(name))
    content[place : place + len(damage)] = damage
    outcome(bytes(content), kind_of(name))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html><body>Not found</body></html>", "an HTML page"),
        (b"\xef\xbb\xbf \n<HTML>", "an HTML page"),
        (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML document"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "an SVG drawing"),
        (b'{"detail": "Not found."}', "a JSON document"),
        (b"[]", "a JSON document"),
        (b"Bad gateway\n", "plain text"),
        ("Schlüssel abgelaufen ".encode() * 60, "plain text"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"\x1f\x8b\x08\x00", "gzip"),
        (b"ID3\x04\0\0", "a sound file"),
        (b"\0\0\0\x14ftypM4A \0\0\0\0isom", "a sound file"),
        (b"\x00\x01\x02\x03\xff\xfe", "unknown type"),
    ],
)
@pytest.mark.parametrize("kind", ["image", "video"])
def test_other_bodies_are_named(body: bytes, says: str, kind: Kind) -> None:
    """What arrives in place of media is refused and named."""
    with pytest.raises(BadMediaError, match=says):
        check(body, kind)


def test_error_body_is_refused_before_its_end() -> None:
    """A long page is refused as soon as its head is known, and again by everything after."""
    media_check = MediaCheck("image")
    with pytest.raises(BadMediaError, match="HTML"):
        media_check.feed(b"<html>" + b" " * 2000)
    with pytest.raises(BadMediaError, match="HTML"):
        media_check.feed(b"more")
    with pytest.raises(BadMediaError, match="HTML"):
        media_check.finish()


@pytest.mark.parametrize("name", IMAGES)
def test_appended_page_is_refused(name: str) -> None:
    """An image with a page behind its end is no image."""
    with pytest.raises(BadMediaError):
        check(sample(name) + b"<html><script>alert(1)</script></html>", "image")


@pytest.mark.parametrize("name", [n for n in IMAGES if n != "avif"])
def test_padding_is_accepted_within_bounds(name: str) -> None:
    """Zero bytes behind an image are padding; a lot of them are not."""
    assert check(sample(name) + bytes(512), "image") == check(sample(name), "image")
    with pytest.raises(BadMediaError, match="appended"):
        check(sample(name) + bytes(10_000), "image")


@pytest.mark.parametrize("name", VIDEOS)
def test_appended_page_behind_a_video_is_refused(name: str) -> None:
    """A page behind the last box or element is noticed."""
    with pytest.raises(BadMediaError):
        check(sample(name) + b"<html><script>alert(1)</script></html>", "video")


@pytest.mark.parametrize("name", ["png", "gif", "webp", "avif", "mp4"])
def test_too_many_pixels(name: str) -> None:
    """A picture that would unpack to more than allowed is refused."""
    assert check(sample(name), kind_of(name), max_pixels=WIDTH * HEIGHT)
    with pytest.raises(BadMediaError, match=f"{WIDTH} x {HEIGHT}"):
        check(sample(name), kind_of(name), max_pixels=WIDTH * HEIGHT - 1)


@pytest.mark.parametrize("name", ["png_animated", "gif", "webp_animated"])
def test_too_many_pictures(name: str) -> None:
    """A small file may hold a thousand large pictures, and a viewer may unpack them all."""
    for allowed in (2 * WIDTH * HEIGHT, 2 * WIDTH * HEIGHT - 1):
        media_check = MediaCheck("image", max_moving_pixels=allowed)
        media_check.feed(sample(name))
        if allowed == 2 * WIDTH * HEIGHT:
            assert media_check.finish()
        else:
            with pytest.raises(BadMediaError, match=f"2 pictures of {WIDTH} x {HEIGHT}"):
                media_check.finish()


def test_a_bomb_of_pictures() -> None:
    """Each of them is within the limit for one, and together they are 300 gigapixels."""
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 60_000, 1000, 0) + b"\x02\x02\x4c\x01\x00"
    head = b"GIF89a" + struct.pack("<HHBBB", 60_000, 1000, 0x80, 0, 0) + bytes(6)
    assert check(head + picture + b"\x3b", "image")
    with pytest.raises(BadMediaError, match="5000 pictures"):
        check(head + picture * 5000 + b"\x3b", "image")


def test_a_picture_that_is_larger_than_its_screen() -> None:
    """What a viewer makes room for counts, not the screen's size."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes(6)
    picture = b"\x2c" + struct.pack("<HHHHB", 0, 0, 60_000, 60_000, 0) + b"\x02\x02\x4c\x01\x00"
    with pytest.raises(BadMediaError, match="60000 x 60000"):
        check(head + picture + b"\x3b", "image")


def test_a_picture_whose_height_comes_later() -> None:
    """A JPEG may tell its height behind the first scan, and then it would pass any limit."""
    data = bytearray(sample("jpeg"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 7] = bytes(2)
    with pytest.raises(BadMediaError, match="size in the frame's header"):
        check(bytes(data), "image")


def test_no_pixels() -> None:
    """A picture of width zero is refused."""
    data = bytearray(sample("png"))
    data[16:20] = bytes(4)
    with pytest.raises(BadMediaError, match="0 x 48"):
        check(bytes(data), "image")


def test_head_fixes_the_type() -> None:
    """The type is known after the head, long before the end, and asking earlier is a mistake."""
    data = sample("mp4")
    media_check = MediaCheck("video")
    media_check.feed(data[:100])
    assert not media_check.head_complete
    with pytest.raises(RuntimeError, match="head_complete"):
        media_check.facts_of_head()
    media_check.feed(data[100:512])
    assert media_check.head_complete
    assert (media_check.facts_of_head().media_type, media_check.facts_of_head().extension) == ("video/mp4", "mp4")


def test_type_of_a_file_shorter_than_the_head() -> None:
    """A tiny file's type is known at its end."""
    media_check = MediaCheck("image")
    media_check.feed(_tiny("png"))
    assert not media_check.head_complete
    assert media_check.finish() == MediaFacts("image/png", "png", width=3, height=2)
    assert media_check.facts_of_head().extension == "png"


def test_sound_alone_is_no_video() -> None:
    """An MP4 or Matroska file without a video track is refused."""
    for container, codec in (("mp4", "aac"), ("matroska", "aac")):
        file = io.BytesIO()
        with av.open(file, "w", format=container) as output:
            stream = output.add_stream(codec, rate=44_100)
            frame = av.AudioFrame(format="fltp", layout="mono", samples=1024)
            frame.sample_rate = 44_100
            for plane in frame.planes:
                plane.update(bytes(plane.buffer_size))
            for packet in [*stream.encode(frame), *stream.encode(None)]:
                output.mux(packet)
        with pytest.raises(BadMediaError, match="no video track"):
            check(file.getvalue(), "video")


@pytest.mark.parametrize(
    "body",
    [
        b"GIF89a\x01\0\x01\0\0\0\0;",
        b"\xff\xd8\xff\xe0\0\x02\xff\xd9",
        b"RIFF\x04\0\0\0WEBP",
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\0\0\0\0\0\0\0\0IEND\xae\x42\x60\x82",
        b"\0\0\0\x10ftypavif\0\0\0\0\0\0\0\x0cmeta\0\0\0\0",
    ],
)
def test_no_picture_inside(body: bytes) -> None:
    """A well-formed file without any picture data is no image."""
    with pytest.raises(BadMediaError, match=r"without a picture|without pixel data|picture data is missing"):
        check(body, "image")


def _box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + name + payload


def _split(data: bytes) -> dict[bytes, bytes]:
    boxes, position = {}, 0
    while position < len(data):
        size = int.from_bytes(data[position : position + 4], "big")
        boxes[data[position + 4 : position + 8]] = data[position : position + size]
        position += size
    return boxes


def test_box_sizes_of_every_form() -> None:
    """A 64-bit size, and a last box that runs to the end of the file, are followed."""
    boxes = _split(sample("mp4"))
    media = boxes[b"mdat"][8:]
    expected = check(sample("mp4"), "video")
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + len(media)) + media
    assert check(boxes[b"ftyp"] + large + boxes[b"moov"], "video") == expected
    endless = struct.pack(">I4s", 0, b"mdat") + media
    assert check(boxes[b"ftyp"] + boxes[b"moov"] + endless, "video") == expected
    endless_moov = struct.pack(">I4s", 0, b"moov") + boxes[b"moov"][8:]
    assert check(boxes[b"ftyp"] + boxes[b"mdat"] + endless_moov, "video") == expected


def test_description_without_media_data() -> None:
    """A file that ends exactly behind its description is cut short too, where no table of samples tells so."""
    fragmented = sample("mp4_fragmented")
    with pytest.raises(BadMediaError, match="media data is missing"):
        check(fragmented[: fragmented.index(b"moof") - 4], "video")
    with pytest.raises(BadMediaError, match="media data is missing"):
        check(fragmented[: fragmented.index(b"mdat") - 4], "video")
    live = sample("webm_live")
    with pytest.raises(BadMediaError, match="media data are missing"):
        check(live[: live.index(b"\x1f\x43\xb6\x75")], "video")


def test_endless_media_data_that_was_cut() -> None:
    """Where the last box has no size, the table of samples tells that bytes are missing."""
    boxes = _split(sample("mp4"))
    endless = struct.pack(">I4s", 0, b"mdat") + boxes[b"mdat"][8:]
    with pytest.raises(BadMediaError, match="media data is missing"):
        check(boxes[b"ftyp"] + boxes[b"moov"] + endless[:-1500], "video")


def test_huge_movie_description_is_passed_over() -> None:
    """A description above the bound is not kept; the file counts as whole, without measurements."""
    boxes = _split(sample("mp4"))
    moov = _box(b"moov", boxes[b"moov"][8:] + _box(b"free", bytes(17 * 1024 * 1024)))
    assert check(boxes[b"ftyp"] + moov + boxes[b"mdat"], "video") == MediaFacts("video/mp4", "mp4")


def test_memory_is_bounded() -> None:
    """A large file passes in small memory, even where it comes in one piece."""
    boxes = _split(sample("mp4"))
    filler = bytes(32 * 1024 * 1024)
    mdat = struct.pack(">I4s", 8 + len(filler) * 3, b"mdat")
    tracemalloc.start()
    media_check = MediaCheck("video")
    media_check.feed(boxes[b"ftyp"] + mdat)
    for _ in range(3):
        media_check.feed(filler)
    media_check.feed(boxes[b"moov"])
    media_check.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1024 * 1024


def test_damaged_bytes_are_no_truncation() -> None:
    """Only a cut is worth another try as it is."""
    with pytest.raises(BadMediaError) as cut:
        check(sample("png")[:-20], "image")
    assert cut.value.retryable
    with pytest.raises(BadMediaError) as page:
        check(b"<html></html>", "image")
    assert not page.value.retryable
