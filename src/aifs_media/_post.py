"""Posts to an address that the host configured or a caller named: judged by the URL guard, never redirected, the answer's body unread."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import httpcore

from aifs_media._guarded_network import GuardedBackend
from aifs_media._http import CONNECT_TIMEOUT, ssl_context, user_agent
from aifs_media._retry import RETRYABLE_STATUSES
from aifs_media.errors import TransferError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aifs_media._urlguard import URLGuard

ANSWER_TIMEOUT = 10.0
"""Seconds for the whole of one post."""

_BROKEN = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException)


async def post(url: str, content: bytes, *, headers: Mapping[str, str], guard: URLGuard) -> None:
    """POST once, on a connection of its own.

    Raises:
        UnsafeURLError: the guard refuses the URL, or an address that its host resolves to.
        TransferError: no answer, or one outside 200 to 299; it says whether trying again makes sense, and does not show the URL.
    """
    target = guard.check(url)
    host = target.url.partition("://")[2].partition("/")[0]
    sent = {"host": host, "user-agent": user_agent(), "content-length": str(len(content)), **headers}
    pool = httpcore.AsyncConnectionPool(ssl_context=ssl_context(), network_backend=GuardedBackend(guard))
    request = httpcore.Request(
        "POST",
        httpcore.URL(target.url),
        headers=list(sent.items()),
        content=content,
        extensions={"timeout": {"connect": CONNECT_TIMEOUT, "read": ANSWER_TIMEOUT, "write": ANSWER_TIMEOUT}},
    )
    try:
        with anyio.fail_after(ANSWER_TIMEOUT):
            async with pool:
                response = await pool.handle_async_request(request)
                status = response.status
                await response.aclose()
    except (*_BROKEN, TimeoutError) as error:
        raise TransferError(
            f"A post to {target.host!r} was not answered ({type(error).__name__}).", retryable=True
        ) from error
    if not 200 <= status < 300:
        raise TransferError(
            f"A post to {target.host!r} was answered with HTTP {status}.", retryable=status in RETRYABLE_STATUSES
        )
