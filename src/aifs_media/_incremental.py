"""What the walks over media files share: the reader they pull bytes from, and the measurements they return.

A walk is a generator that is written as if the whole file were at hand. Where bytes are missing it yields, and is resumed when
more have arrived, so one piece of code serves any chunking and holds only what it asks for.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

from aifs_media.errors import BadMediaError

T = TypeVar("T")
Step: TypeAlias = Generator[None, None, T]

# Some encoders pad a file to a block size with zeros. Anything else behind the end may be a second file in disguise.
MAX_PADDING = 4096


@dataclass(frozen=True)
class Measurements:
    """What a file says about itself; None where it does not say.

    Attributes:
        width: pixels.
        height: pixels.
        duration: seconds.
        fps: frames a second.
        pictures: how many a viewer unpacks, of that size each; of a film nobody unpacks all at once.
    """

    width: int | None = None
    height: int | None = None
    duration: float | None = None
    fps: float | None = None
    pictures: int = 1


class ByteReader:
    """The bytes of one file in order, while they arrive.

    Attributes:
        position: bytes consumed so far.
        subject: what is being read, for error messages.
    """

    def __init__(self) -> None:
        self.position = 0
        self.subject = "file"
        self._buffer = bytearray()
        self._ended = False

    def push(self, piece: bytes | memoryview) -> None:
        """Append bytes that have arrived."""
        self._buffer += piece

    def end(self) -> None:
        """Say that no more bytes will come."""
        self._ended = True

    def bad(self, problem: str) -> BadMediaError:
        """Return the error for bytes that cannot belong to such a file."""
        return BadMediaError(f"The {self.subject} is damaged near byte {self.position}: {problem}.")

    def peek(self, count: int) -> Step[bytes]:
        """Return the next `count` bytes without consuming them; fewer only at the end of the file."""
        while len(self._buffer) < count and not self._ended:
            yield
        return bytes(self._buffer[:count])

    def take(self, count: int) -> Step[bytes]:
        """Consume exactly `count` bytes.

        Raises:
            BadMediaError: the file ends before that.
        """
        taken = yield from self.peek(count)
        if len(taken) < count:
            raise self._cut_short()
        self._consume(count)
        return taken

    def skip(self, count: int) -> Step[None]:
        """Consume exactly `count` bytes without keeping them.

        Raises:
            BadMediaError: the file ends before that.
        """
        while count > len(self._buffer):
            if self._ended:
                raise self._cut_short()
            count -= len(self._buffer)
            self._consume(len(self._buffer))
            yield
        self._consume(count)

    def skip_past(self, byte: int) -> Step[None]:
        """Consume everything up to and including the next occurrence of `byte`.

        Raises:
            BadMediaError: it does not occur any more.
        """
        while (found := self._buffer.find(byte)) < 0:
            if self._ended:
                raise self._cut_short()
            self._consume(len(self._buffer))
            yield
        self._consume(found + 1)

    def skip_rest(self) -> Step[None]:
        """Consume everything up to the end of the file."""
        while not self._ended:
            self._consume(len(self._buffer))
            yield
        self._consume(len(self._buffer))

    def at_end(self) -> Step[bool]:
        """Return whether the file ends here."""
        rest = yield from self.peek(1)
        return not rest

    def padding_to_end(self) -> Step[None]:
        """Consume the rest of the file, which may only be a few zero bytes.

        Raises:
            BadMediaError: something else is appended.
        """
        rest = yield from self.peek(MAX_PADDING + 1)
        if len(rest) > MAX_PADDING or rest.strip(b"\0"):
            raise BadMediaError(
                f"The {self.subject} ends at byte {self.position} and other data is appended to it.",
                hint="Such a file can pass for something else in a browser, so it is not stored.",
            )
        self._consume(len(rest))

    def _consume(self, count: int) -> None:
        del self._buffer[:count]
        self.position += count

    def _cut_short(self) -> BadMediaError:
        return BadMediaError(
            f"The {self.subject} is cut short: it ends after {self.position + len(self._buffer)} bytes, before it is complete.",
            hint="Fetch it again.",
            retryable=True,
        )
