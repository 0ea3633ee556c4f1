"""Output files: described at create, made when first fetched, forgotten when they expire."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass, field
from typing import Literal

import anyio.to_thread

from aifs_media.testing.emulator.movies import encode_movie
from aifs_media.testing.emulator.pictures import draw_picture, encode_picture

Format = Literal["png", "jpg", "webp", "mp4"]
MEDIA_TYPES: dict[Format, str] = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp", "mp4": "video/mp4"}
# What a long-running emulator keeps of files it has made.
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Picture:
    """What a file is to show. `frames` and `fps` matter to videos only; sizes are in pixels."""

    prompt: str
    width: int
    height: int
    seed: int
    format: Format
    frames: int = 1
    fps: float = 1.0

    def encode(self) -> bytes:
        """Make the file; takes up to some seconds for a long video."""
        if self.format == "mp4":
            return encode_movie(
                self.prompt, width=self.width, height=self.height, frames=self.frames, fps=self.fps, seed=self.seed
            )
        image = draw_picture(self.prompt, width=self.width, height=self.height, seed=self.seed)
        return encode_picture(image, format=self.format)


@dataclass
class OutputFile:
    """One file on the delivery host. `path` has no host; `available_at` and `expires_at` are on the emulator's clock."""

    path: str
    picture: Picture
    owner: str
    available_at: float
    expires_at: float | None = None
    _data: bytes | None = field(default=None, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    async def read(self) -> bytes:
        """Return the file's bytes; the first call makes them, in a worker thread."""
        return await anyio.to_thread.run_sync(self._encode_once, abandon_on_cancel=True)

    def forget(self) -> None:
        """Drop the bytes; they can be made again, and are the same then."""
        self._data = None

    def _encode_once(self) -> bytes:
        with self._lock:
            if self._data is None:
                self._data = self.picture.encode()
            return self._data


class OutputShelf:
    """All files of the delivery host by their path."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        """Start empty; keep at most so many bytes of files that were made."""
        self._most_bytes = most_bytes
        self._files: dict[str, OutputFile] = {}
        self._made: dict[str, tuple[OutputFile, int]] = {}

    def add(self, file: OutputFile) -> None:
        """Put a file on the shelf."""
        self._files[file.path] = file

    def find(self, path: str) -> OutputFile | None:
        """Return the file at this path, if there ever was one."""
        return self._files.get(path)

    async def read(self, file: OutputFile) -> bytes:
        """Return a file's bytes, and forget those of the files longest unused when all are too many."""
        data = await file.read()
        self._made.pop(file.path, None)
        self._made[file.path] = (file, len(data))
        while sum(size for _, size in self._made.values()) > self._most_bytes and len(self._made) > 1:
            oldest, _ = self._made.pop(next(iter(self._made)))
            oldest.forget()
        return data


def random_hex() -> str:
    """Return 64 hexadecimal digits, as in Poe's links."""
    return secrets.token_hex(32)


def entity_tag(data: bytes) -> str:
    """Return a strong entity tag."""
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'
