"""Fetches outputs from addresses that a provider named, and sends inputs there: every address is judged, no key goes along.

Built on httpcore, on which httpx stands: a pool of its own knows no proxies, cookies, redirects or environment, and does not
log URLs, whose queries may be signed.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import httpcore

from aifs_media._answer_limit import answer_within
from aifs_media._guarded_network import GuardedBackend
from aifs_media._http import CONNECT_TIMEOUT, ssl_context, user_agent
from aifs_media.errors import DownloadError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from aifs_media._urlguard import CheckedURL, URLGuard

CONNECTIONS = 16
PIECE = 64 * 1024

_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


class FileAnswer:
    """An HTTP answer whose body is read as it comes. `headers` has lower-case names."""

    def __init__(self, response: httpcore.Response) -> None:
        self.status = response.status
        self.headers: Mapping[str, str] = {
            name.decode("ascii", "replace").lower(): value.decode("latin-1") for name, value in response.headers
        }
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_stream()

    async def read(self) -> bytes:
        """Return the next bytes as they arrived; empty at the end.

        Raises:
            DownloadError: the body broke off or stalled; retryable.
        """
        try:
            async for chunk in self._chunks:
                if chunk:
                    return chunk
        except _BROKEN as error:
            raise _broken_off(error) from error
        return b""

    async def aclose(self) -> None:
        """Close the connection, unless the body was read to its end."""
        try:
            await self._response.aclose()
        finally:
            # httpcore reads the body through generators, and one that is dropped half-way is a leak to trio. On the closed
            # connection they come to their end by themselves, after at most what was buffered.
            with contextlib.suppress(*_BROKEN):
                while await anext(self._chunks, b""):
                    pass


class FileClient:
    """The connections to one provider's delivery hosts. Opened on first use.

    Args:
        guard: which URLs may be fetched.
    """

    def __init__(self, guard: URLGuard) -> None:
        self.guard = guard
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def open(self, target: CheckedURL, *, headers: Mapping[str, str], stall_timeout: float) -> FileAnswer:
        """GET a URL that the guard has checked; the answer's body is read by the caller, who closes it.

        Raises:
            UnsafeURLError: the guard refuses an address that the host resolves to.
            DownloadError: no answer; retryable.
        """
        return await self._send("GET", target, headers=headers, content=None, stall_timeout=stall_timeout)

    async def post(self, target: CheckedURL, *, media_type: str, content: bytes, stall_timeout: float) -> int:
        """POST bytes to a URL that the guard has checked, and return the status. Redirects are not followed.

        Raises:
            UnsafeURLError: the guard refuses an address that the host resolves to.
            DownloadError: no answer; retryable.
        """
        headers = {"content-type": media_type, "content-length": str(len(content))}
        answer = await self._send("POST", target, headers=headers, content=content, stall_timeout=stall_timeout)
        await answer.aclose()
        return answer.status

    async def _send(
        self,
        method: str,
        target: CheckedURL,
        *,
        headers: Mapping[str, str],
        content: bytes | None,
        stall_timeout: float,
    ) -> FileAnswer:
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=ssl_context(),
                max_connections=CONNECTIONS,
                max_keepalive_connections=CONNECTIONS,
                network_backend=GuardedBackend(self.guard),
            )
        url = httpcore.URL(target.url)
        host = target.url.partition("://")[2].partition("/")[0]
        sent = {"host": host, "user-agent": user_agent(), "accept": "*/*", "accept-encoding": "identity", **headers}
        timeouts = {"connect": CONNECT_TIMEOUT, "read": stall_timeout, "write": stall_timeout}
        try:
            with answer_within(stall_timeout) as extensions:
                request = httpcore.Request(
                    method,
                    url,
                    headers=list(sent.items()),
                    content=None if content is None else _pieces(content),
                    extensions={"timeout": timeouts, **extensions},
                )
                return FileAnswer(await self._pool.handle_async_request(request))
        except (*_BROKEN, TimeoutError) as error:
            raise _broken_off(error) from error

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.aclose()


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    """Yield bytes in pieces, so that a time-out of writing counts for each of them and not for all."""
    for start in range(0, len(content), PIECE):
        yield content[start : start + PIECE]


def _broken_off(error: Exception) -> DownloadError:
    what = "stalled" if isinstance(error, httpcore.TimeoutException | TimeoutError) else "broke off"
    return DownloadError(f"The download {what} ({type(error).__name__}).", hint="Try again.", retryable=True)
