"""What a file is, told by its own bytes, and whether it is complete.

The check is fed while the bytes pass on their way to storage. The first bytes fix the media type, `finish` says whether the file is
whole. Nothing here reads, writes or decodes; memory stays bounded for any file and any chunking.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from aifs_media._boxes import walk_still, walk_video
from aifs_media._images import PNG_SIGNATURE, walk_gif, walk_jpeg, walk_png, walk_webp
from aifs_media._incremental import ByteReader, Measurements
from aifs_media._matroska import document_type, walk_matroska
from aifs_media.errors import BadMediaError

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media._incremental import Step
    from aifs_media.records import Kind

# Enough for every signature, for the brands of an ISO file, for the EBML header, and to tell a web page from a JSON error.
HEAD_BYTES = 512
# What is copied of a large chunk at a time.
PIECE_BYTES = 64 * 1024


@dataclass(frozen=True)
class MediaType:
    """A kind of file that may be stored.

    Attributes:
        kind: image or video.
        media_type: the IANA media type, for the `Content-Type` of the object.
        extension: without a dot, for the object key.
    """

    kind: Kind
    media_type: str
    extension: str


@dataclass(frozen=True)
class MediaFacts:
    """What a complete file says about itself; None where it does not say.

    Attributes:
        media_type: the IANA media type.
        extension: without a dot.
        width: pixels, before any rotation that the file asks for.
        height: pixels, before any rotation that the file asks for.
        duration: seconds.
        fps: frames a second, on average.
    """

    media_type: str
    extension: str
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    fps: float | None = None


PNG = MediaType("image", "image/png", "png")
JPEG = MediaType("image", "image/jpeg", "jpg")
GIF = MediaType("image", "image/gif", "gif")
WEBP = MediaType("image", "image/webp", "webp")
AVIF = MediaType("image", "image/avif", "avif")
HEIC = MediaType("image", "image/heic", "heic")
HEIF = MediaType("image", "image/heif", "heif")
MP4 = MediaType("video", "video/mp4", "mp4")
QUICKTIME = MediaType("video", "video/quicktime", "mov")
WEBM = MediaType("video", "video/webm", "webm")
MATROSKA = MediaType("video", "video/x-matroska", "mkv")

WALKS: dict[MediaType, Callable[[ByteReader], Step[Measurements]]] = {
    PNG: walk_png,
    JPEG: walk_jpeg,
    GIF: walk_gif,
    WEBP: walk_webp,
    AVIF: walk_still,
    HEIC: walk_still,
    HEIF: walk_still,
    MP4: walk_video,
    QUICKTIME: walk_video,
    WEBM: walk_matroska,
    MATROSKA: walk_matroska,
}

AVIF_BRANDS = frozenset({b"avif", b"avis"})
HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"})
HEIF_BRANDS = frozenset({b"mif1", b"mif2", b"msf1"})
AUDIO_BRANDS = frozenset({b"M4A ", b"M4B ", b"M4P "})

# What else arrives in practice, for a clear message. Matched without regard to case, behind white space.
TEXT_FORMS = (
    (b"<svg", "an SVG drawing"),
    (b"<!doctype html", "an HTML page"),
    (b"<html", "an HTML page"),
    (b"<head", "an HTML page"),
    (b"<body", "an HTML page"),
    (b"<", "an XML document"),
    (b"{", "a JSON document"),
    (b"[", "a JSON document"),
)
OTHER_SIGNATURES = (
    (b"\x1f\x8b", "compressed data (gzip)"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"%PDF", "a PDF document"),
    (b"ID3", "a sound file"),
    (b"OggS", "a sound file"),
    (b"fLaC", "a sound file"),
    (b"RIFF", "a sound or AVI file"),
)


class MediaCheck:
    """Checks one file while it passes.

    Args:
        kind: what was asked for.
        max_pixels: the largest width times height that is accepted, so that a small file cannot unpack to an enormous picture.
        max_moving_pixels: the largest width times height times pictures, where an image moves.

    Raises:
        BadMediaError: from `feed` as soon as the bytes cannot become a file of that kind, from `finish` when they have not.
    """

    def __init__(self, kind: Kind, *, max_pixels: int = 100_000_000, max_moving_pixels: int = 1_000_000_000) -> None:
        self._kind = kind
        self._max_pixels = max_pixels
        self._max_moving_pixels = max_moving_pixels
        self._reader = ByteReader()
        self._type: MediaType | None = None
        self._measured: Measurements | None = None
        self._error: BadMediaError | None = None
        self._walk = self._whole_file()

    @property
    def head_complete(self) -> bool:
        """Whether the media type is fixed: after the first 512 bytes, or at the end of a shorter file."""
        return self._type is not None

    def facts_of_head(self) -> MediaType:
        """Return media type and extension, which do not change any more.

        Raises:
            RuntimeError: the head is not complete yet.
        """
        if self._type is None:
            raise RuntimeError("The media type is not known before head_complete is true.")
        return self._type

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes of the file, as many as there happen to be."""
        view = memoryview(chunk)
        for start in range(0, len(view), PIECE_BYTES):
            self._reader.push(view[start : start + PIECE_BYTES])
            self._go_on()

    def finish(self) -> MediaFacts:
        """Say that the file ends here, and return what is known about it."""
        self._reader.end()
        self._go_on()
        found, measured = self.facts_of_head(), self._measured or Measurements()
        return MediaFacts(
            media_type=found.media_type,
            extension=found.extension,
            width=measured.width,
            height=measured.height,
            duration=measured.duration,
            fps=measured.fps,
        )

    def _go_on(self) -> None:
        if self._error is not None:
            raise self._error
        try:
            next(self._walk, None)
        except BadMediaError as error:
            self._error = error
            raise

    def _whole_file(self) -> Step[None]:
        head = yield from self._reader.peek(HEAD_BYTES)
        found = _recognise(head)
        if found.kind != self._kind:
            raise BadMediaError(
                f"The file is a {found.kind} ({found.media_type}) and not the {self._kind} that was asked for.",
                hint="Check that the model makes what was asked for.",
            )
        self._type = found
        self._reader.subject = f"{found.media_type} file"
        measured = yield from WALKS[found](self._reader)
        self._refuse_impossible_size(measured)
        self._measured = measured

    def _refuse_impossible_size(self, measured: Measurements) -> None:
        if measured.width is None or measured.height is None:
            return
        pixels = measured.width * measured.height
        if not 0 < pixels <= self._max_pixels:
            raise BadMediaError(
                f"The {self._reader.subject} claims {measured.width} x {measured.height} pixels; "
                f"accepted are 1 to {self._max_pixels} in total.",
                hint="Ask for a smaller size.",
            )
        if measured.pictures > 1 and pixels * measured.pictures > self._max_moving_pixels:
            raise BadMediaError(
                f"The {self._reader.subject} holds {measured.pictures} pictures of {measured.width} x {measured.height} pixels; "
                f"accepted are {self._max_moving_pixels} in total.",
                hint="Ask for a smaller size or a shorter animation, or for a video.",
            )


def _recognise(head: bytes) -> MediaType:
    """Return the type that the first bytes of a file announce.

    Raises:
        BadMediaError: it is none that may be stored.
    """
    if head.startswith(PNG_SIGNATURE):
        return PNG
    if head.startswith(b"\xff\xd8\xff"):
        return JPEG
    if head.startswith((b"GIF87a", b"GIF89a")):
        return GIF
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return WEBP
    if head[4:8] == b"ftyp" and (branded := _by_brands(head)) is not None:
        return branded
    matroska = {"webm": WEBM, "matroska": MATROSKA}.get(document_type(head))
    if matroska is not None:
        return matroska
    if not head:
        raise BadMediaError("The file is empty.", hint="Fetch it again.", retryable=True)
    raise BadMediaError(
        f"The file is {_describe(head)} and no image or video that can be stored.",
        hint="Error pages arrive in place of media when a link has expired or access is denied.",
    )


def _by_brands(head: bytes) -> MediaType | None:
    size = min(int.from_bytes(head[:4], "big"), len(head))
    major = head[8:12]
    brands = {major, *(head[start : start + 4] for start in range(16, size - 3, 4))}
    if major in AVIF_BRANDS | HEIC_BRANDS | HEIF_BRANDS:
        if brands & AVIF_BRANDS:
            return AVIF
        return HEIC if brands & HEIC_BRANDS else HEIF
    if major in AUDIO_BRANDS or len(major) < 4:
        return None
    return QUICKTIME if major == b"qt  " else MP4


def _describe(head: bytes) -> str:
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if b"<svg" in start and start.startswith(b"<"):
        return "an SVG drawing"
    for prefix, name in TEXT_FORMS:
        if start.startswith(prefix):
            return name
    for prefix, name in OTHER_SIGNATURES:
        if head.startswith(prefix):
            return name
    if head[4:8] == b"ftyp":
        return "a sound file"
    try:
        # The head may end inside a character.
        text = head[:-3].decode("utf-8") if len(head) == HEAD_BYTES else head.decode("utf-8")
    except UnicodeDecodeError:
        return "of an unknown type"
    return "plain text" if all(mark.isprintable() or mark in "\r\n\t" for mark in text) else "of an unknown type"
