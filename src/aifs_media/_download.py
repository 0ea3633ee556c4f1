"""From a provider's output to verified bytes: resumed, capped, hashed, checked as they pass.

`open_output` gives a `ByteSource` whose end comes only after the file was found complete and of the right kind, so that a bad
file raises inside the storage's read and nothing is ever visible. Whatever the size, one chunk is held at a time.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urljoin

from aifs_media._retry import ATTEMPTS, wait_before
from aifs_media._secrets import without_query
from aifs_media._sniff import MediaCheck
from aifs_media.errors import BadMediaError, DownloadError, UnsafeURLError
from aifs_media.records import InlineFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aifs_media._files import FileAnswer, FileClient
    from aifs_media._sniff import MediaFacts
    from aifs_media.errors import MediaError
    from aifs_media.protocols import ByteSource, Clock
    from aifs_media.records import Kind, Output, RemoteFile

STALL_TIMEOUT = 30.0
LONGEST_REDIRECT_CHAIN = 3
BYTE_CAPS: dict[Kind, int] = {"image": 256 * 1024 * 1024, "video": 8 * 1024 * 1024 * 1024}
LOWEST_RATE = 1024.0
RATE_SPAN = 60.0
EXPIRED_STATUSES = frozenset({401, 403, 404, 410})


class Authorize(Protocol):
    """Says which headers may go to a URL; the provider's key only to its own origin."""

    def __call__(self, url: str) -> Mapping[str, str]:
        """Return the headers."""
        ...


class InlineSource:
    """Bytes that came inside the answer."""

    def __init__(self, data: bytes) -> None:
        self.length: int | None = len(data)
        self._data = data

    async def read(self) -> bytes:
        """Return all bytes, then none."""
        data, self._data = self._data, b""
        return data

    async def aclose(self) -> None:
        """Let go of the bytes."""
        self._data = b""


class RemoteSource:
    """Bytes behind a URL. A body that breaks off is resumed where it stopped."""

    def __init__(
        self,
        file: RemoteFile,
        *,
        client: FileClient,
        clock: Clock,
        authorize: Authorize,
        on_retry: Callable[[MediaError, float], None],
    ) -> None:
        self.length: int | None = None
        self.emulated = False
        self._file = file
        self._client = client
        self._clock = clock
        self._authorize = authorize
        self._on_retry = on_retry
        self._answer: FileAnswer | None = None
        self._etag = ""
        self._received = 0
        self._passed_on = hashlib.sha256()
        self._ahead = b""
        self._complete = False
        self._spent = 0.0
        self._came = 0
        self._failures = 0

    async def open(self) -> None:
        """Connect and read the headers. Raises DownloadError and UnsafeURLError."""
        await self._persist(self._connect)

    async def read(self) -> bytes:
        """Return the next bytes; empty at the end."""
        return await self._persist(self._next)

    async def aclose(self) -> None:
        """Close the connection."""
        answer, self._answer = self._answer, None
        if answer is not None:
            await answer.aclose()

    async def _persist(self, step: Callable[[], Awaitable[bytes]]) -> bytes:
        """Repeat a step that broke, on a new connection, within the attempts of the whole file."""
        while True:
            try:
                return await step()
            except DownloadError as error:
                await self.aclose()
                self._failures += 1
                wait = wait_before(self._failures, error) if self._failures < ATTEMPTS else None
                if wait is None:
                    raise
                self._on_retry(error, wait)
                await self._clock.sleep(wait)

    async def _next(self) -> bytes:
        if self._answer is None and not self._complete:
            await self._connect()
        if self._answer is None:
            return b""
        chunk, self._ahead = self._ahead or await self._take(self._answer), b""
        if not chunk and self.length is not None and self._received < self.length:
            raise DownloadError(
                f"The download ended after {self._received} of {self.length} bytes.", hint="Try again.", retryable=True
            )
        self._received += len(chunk)
        self._passed_on.update(chunk)
        return chunk

    async def _take(self, answer: FileAnswer) -> bytes:
        """Read the next bytes. Of every minute of reading it is asked whether enough came: a fast start buys no time."""
        started = self._clock.monotonic()
        chunk = await answer.read()
        self._spent += self._clock.monotonic() - started
        self._came += len(chunk)
        if self._spent > RATE_SPAN:
            if chunk and self._came / self._spent < LOWEST_RATE:
                message = f"The download is slower than {LOWEST_RATE:g} bytes a second."
                raise DownloadError(message, hint="Try again later.")
            self._spent, self._came = 0.0, 0
        return chunk

    async def _connect(self) -> bytes:
        headers, self._ahead = dict[str, str](), b""
        if self._received:
            headers["range"] = f"bytes={self._received}-"
            if self._etag:
                headers["if-range"] = self._etag
        answer = await self._follow(self._file.url, headers)
        try:
            self._complete = self._is_all(answer)
            if self._complete:
                self.length = self._received
            else:
                await self._accept(answer)
                self._answer = answer
        finally:
            if self._answer is None:
                await answer.aclose()
        return b""

    def _is_all(self, answer: FileAnswer) -> bool:
        """Say whether a refused range means that the announced length was wrong, and that all bytes are here already."""
        return answer.status == 416 and answer.headers.get("content-range") == f"bytes */{self._received}"

    async def _follow(self, url: str, headers: Mapping[str, str]) -> FileAnswer:
        first, hop = url, self._client.guard.check(url)
        for _ in range(LONGEST_REDIRECT_CHAIN + 1):
            allowed = dict(self._authorize(hop.url)) if self._file.auth == "provider" else {}
            answer = await self._client.open(hop, headers={**headers, **allowed}, stall_timeout=STALL_TIMEOUT)
            location = answer.headers.get("location")
            if answer.status not in {301, 302, 303, 307, 308} or not location:
                return answer
            await answer.aclose()
            hop = self._client.guard.check(_absolute(hop.url, location), redirected_from=hop)
        raise DownloadError(f"{without_query(first)!r} redirects more than {LONGEST_REDIRECT_CHAIN} times.")

    async def _accept(self, answer: FileAnswer) -> None:
        url = without_query(self._file.url)
        if answer.status not in {200, 206}:
            raise DownloadError(
                f"{url!r} answered HTTP {answer.status}.",
                status=answer.status,
                hint="The provider may have deleted the file."
                if answer.status in EXPIRED_STATUSES
                else "Try again later.",
                retryable=answer.status in {408, 425, 429} or answer.status >= 500,
            )
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise BadMediaError(
                f"{url!r} sent an encoded body, which was not asked for.",
                hint="Media files are not decoded on the way.",
            )
        self.emulated = self.emulated or "x-emulated-by" in answer.headers
        announced = _number(answer.headers.get("content-length"))
        if answer.status == 206 and self._received:
            if not answer.headers.get("content-range", "").startswith(f"bytes {self._received}-"):
                raise DownloadError(f"{url!r} sent another range than the one asked for.", retryable=False)
            return
        if self._received:
            await self._skip(answer, url)
            return
        self.length = announced
        etag = answer.headers.get("etag", "")
        # A weak one does not speak for every byte, and one beyond ASCII could not be sent back.
        self._etag = etag if etag.isascii() and not etag.startswith("W/") else ""

    async def _skip(self, answer: FileAnswer, url: str) -> None:
        """Read again what was passed on already, and make sure that it is the same."""
        again, left = hashlib.sha256(), self._received
        while left:
            chunk = await self._take(answer)
            if not chunk:
                raise DownloadError(f"{url!r} is shorter than before.", retryable=True)
            again.update(chunk[:left])
            self._ahead, left = chunk[left:], max(left - len(chunk), 0)
        if again.digest() != self._passed_on.digest():
            raise DownloadError(f"{url!r} changed between two attempts.", hint="Nothing was stored.", retryable=False)


class VerifiedSource:
    """A source whose bytes are counted, hashed and checked as they pass; it ends only if the file is complete.

    After `open`, `media_type` and `extension` say what it is. After the end, `facts`, `size` and `sha256` describe it.
    """

    def __init__(self, inner: ByteSource, kind: Kind, on_bytes: Callable[[int, int | None], None]) -> None:
        self._inner = inner
        self._kind: Kind = kind
        self._check = MediaCheck(kind)
        self._hash = hashlib.sha256()
        self._ahead: list[bytes] = []
        self._on_bytes = on_bytes
        self._ended = False
        self.size = 0
        self.facts: MediaFacts | None = None

    @property
    def length(self) -> int | None:
        """The announced length in bytes, or None."""
        return self._inner.length

    @property
    def emulated(self) -> bool:
        """Whether the emulator sent the bytes."""
        return isinstance(self._inner, RemoteSource) and self._inner.emulated

    @property
    def media_type(self) -> str:
        """What the first bytes say the file is."""
        return self._check.facts_of_head().media_type

    @property
    def extension(self) -> str:
        """The file extension that belongs to the media type."""
        return self._check.facts_of_head().extension

    @property
    def sha256(self) -> str:
        """The hash of all bytes that passed, in hexadecimal."""
        return self._hash.hexdigest()

    async def open(self) -> None:
        """Read as much as fixes the media type. Raises BadMediaError, DownloadError, UnsafeURLError."""
        if isinstance(self._inner, RemoteSource):
            await self._inner.open()
        while not self._check.head_complete and not self._ended:
            self._ahead.append(await self._take())

    async def read(self) -> bytes:
        """Return the next bytes. Before the end, `BadMediaError` is raised if the file is not complete and right."""
        if self._ahead:
            return self._ahead.pop(0) or await self.read()
        return b"" if self._ended else await self._take()

    async def _take(self) -> bytes:
        chunk = await self._inner.read()
        if not chunk:
            self.facts = self._check.finish()
            self._ended = True
            return b""
        self.size += len(chunk)
        if self.size > BYTE_CAPS[self._kind]:
            raise BadMediaError(f"The output has more than {BYTE_CAPS[self._kind]} bytes.", hint="Nothing was stored.")
        self._check.feed(chunk)
        self._hash.update(chunk)
        self._on_bytes(self.size, self.length)
        return chunk

    async def aclose(self) -> None:
        """Let go of the connection."""
        await self._inner.aclose()


async def open_output(
    output: Output,
    kind: Kind,
    *,
    client: FileClient,
    clock: Clock,
    authorize: Authorize,
    on_retry: Callable[[MediaError, float], None],
    on_bytes: Callable[[int, int | None], None],
) -> VerifiedSource:
    """Open an output as verified bytes; the caller closes the source.

    Raises:
        UnsafeURLError: the URL, or where it leads, must not be fetched.
        DownloadError: it could not be fetched; `status` says what the host answered.
        BadMediaError: it is not media of that kind.
    """
    inner: InlineSource | RemoteSource
    if isinstance(output, InlineFile):
        inner = InlineSource(output.data)
    else:
        inner = RemoteSource(output, client=client, clock=clock, authorize=authorize, on_retry=on_retry)
    source = VerifiedSource(inner, kind, on_bytes)
    try:
        await source.open()
    except BaseException:
        await source.aclose()
        raise
    return source


async def read_back(source: ByteSource, kind: Kind) -> VerifiedSource:
    """Read a stored object to its end, and return it with what was measured; it is closed.

    Raises:
        BadMediaError: it is not media of that kind.
        StorageError: it could not be read.
    """
    verified = VerifiedSource(source, kind, lambda _size, _total: None)
    try:
        await verified.open()
        while await verified.read():
            pass
    finally:
        await verified.aclose()
    return verified


async def read_all(source: ByteSource, *, limit: int) -> bytes:
    """Read a small source to its end. Raises BadMediaError beyond `limit` bytes."""
    data = bytearray()
    while chunk := await source.read():
        data += chunk
        if len(data) > limit:
            raise BadMediaError(f"The file has more than {limit} bytes.")
    return bytes(data)


def _absolute(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise UnsafeURLError(
            "A redirect leads to a malformed address.", hint="Nothing was fetched from there."
        ) from error


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
