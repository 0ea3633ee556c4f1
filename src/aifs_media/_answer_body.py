"""The body of an answer, collected within a limit, and unpacked a little at a time.

A library that undoes any encoding, each chunk at once and one inside the other, makes gigabytes of a few kilobytes. So only gzip
is asked for, and only gzip is undone; what else comes stays as it is.
"""

from __future__ import annotations

import io
import zlib

ACCEPTED = "gzip"
UNPACKED_AT_ONCE = 256 * 1024
GZIP = 16 + zlib.MAX_WBITS


class AnswerBody:
    """Collects a body.

    Args:
        encoding: the answer's Content-Encoding, or empty.
        limit: the most bytes, after unpacking.
    """

    def __init__(self, encoding: str, *, limit: int) -> None:
        self._body = io.BytesIO()
        self._limit = limit
        self._gzip = zlib.decompressobj(GZIP) if encoding.strip().lower() in {"gzip", "x-gzip"} else None

    def feed(self, chunk: bytes) -> None:
        """Append a chunk as it came. Raises ValueError, with the reason, if the body is too large or no gzip though it says so."""
        if self._gzip is None:
            self._append(chunk)
        while self._gzip is not None and chunk:
            try:
                self._append(self._gzip.decompress(chunk, UNPACKED_AT_ONCE))
            except zlib.error as error:
                raise ValueError("damaged gzip") from error
            if self._gzip.unused_data:
                raise ValueError("damaged gzip, which goes on behind its end")
            chunk = self._gzip.unconsumed_tail

    def _append(self, data: bytes) -> None:
        self._body.write(data)
        if self._body.tell() > self._limit:
            raise ValueError(f"more than {self._limit} bytes")

    def getvalue(self) -> bytes:
        """Return the body: the buffer itself and no copy of it, which counts where an answer holds files."""
        return self._body.getvalue()
