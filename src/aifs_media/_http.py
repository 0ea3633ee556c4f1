"""The only module that imports httpx: clients, limits, timeouts, status to error, Retry-After, redaction.

Two kinds of call leave here. Reads may be repeated by whoever calls. A create may be paid for: it goes out once, on a fresh
connection (a kept one that the server just closed looks exactly like a lost answer), and its error says whether the
provider may have accepted it.
"""

from __future__ import annotations

import contextlib
import email.utils
import functools
import json as jsonlib
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio
import httpx

from aifs_media._answer_body import ACCEPTED, AnswerBody
from aifs_media._answer_limit import answer_within
from aifs_media._httpx_log import queries_left_out
from aifs_media._outside_json import load_json
from aifs_media._retry import RETRYABLE_STATUSES
from aifs_media._secrets import redact, without_query
from aifs_media.errors import (
    AuthenticationError,
    MediaError,
    ProviderError,
    ProviderUnavailableError,
    RateLimitedError,
    RequestRejectedError,
    UnexpectedResponseError,
    UnsafeURLError,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from pydantic import JsonValue


CONNECTIONS = 16
CREATES_IN_FLIGHT = 64
ANSWER_LIMIT = 64 * 1024 * 1024
CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 30.0
TEXT_IN_ERRORS = 500
REQUEST_ID_LENGTH = 200

REQUEST_ID_HEADERS = ("x-request-id", "x-fal-request-id", "cf-ray", "request-id")
EMULATED_HEADER = "x-emulated-by"

_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)


@functools.cache
def ssl_context() -> ssl.SSLContext:
    """Return the process's one TLS context; building it costs more than a request."""
    return httpx.create_ssl_context()


@dataclass(frozen=True, repr=False, slots=True)
class Answer:
    """An HTTP answer, read to its end. Its repr shows neither headers nor body."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    provider: str

    def __repr__(self) -> str:
        return f"Answer(status={self.status}, {len(self.body)} bytes)"

    @property
    def request_id(self) -> str:
        """The provider's own id of the request, or empty."""
        found = next((self.headers[name] for name in REQUEST_ID_HEADERS if name in self.headers), "")
        return redact(found)[:REQUEST_ID_LENGTH]

    @property
    def emulated(self) -> bool:
        """Whether the emulator answered."""
        return EMULATED_HEADER in self.headers

    @property
    def retry_after(self) -> float | None:
        """Seconds the server asked to wait, or None."""
        return parse_retry_after(self.headers.get("retry-after"))

    @property
    def text(self) -> str:
        """The body as text, for error messages."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> JsonValue:
        """Return the body as JSON. Raises UnexpectedResponseError."""
        try:
            return load_json(self.body)
        except ValueError as error:
            raise UnexpectedResponseError(
                f"{self.provider!r} answered HTTP {self.status} with a body that {error}.",
                hint="A proxy in between may have answered instead. Try again later.",
                provider=self.provider,
                request_id=self.request_id,
                retryable=self.status in RETRYABLE_STATUSES,
            ) from error

    def json_or_none(self) -> JsonValue:
        """Return the body as JSON, or None where it is not JSON."""
        try:
            return load_json(self.body)
        except ValueError:
            return None


def parse_retry_after(value: str | None, *, now: datetime | None = None) -> float | None:
    """Read a Retry-After header, seconds or date, as seconds from now, never negative; None where there is nothing to read."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        seconds = _seconds_until(value, now or datetime.now(UTC))
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _seconds_until(date: str, now: datetime) -> float:
    """Return the seconds to a date of HTTP, or NaN where it is none that there can be."""
    try:
        moment = email.utils.parsedate_to_datetime(date)
        return ((moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now).total_seconds()
    except (ValueError, OverflowError):
        # A year or a zone of twenty digits is no ValueError.
        return math.nan


def status_error(answer: Answer, *, detail: str, label: str, key_hint: str) -> MediaError:
    """Return the error for a status of 300 and more, where the adapter knows nothing better.

    Args:
        answer: the answer.
        detail: the provider's own words, already free of secrets.
        label: the vendor's name.
        key_hint: where the key is configured.
    """
    status, provider, request_id = answer.status, answer.provider, answer.request_id
    words = f" {label} says: {detail[:TEXT_IN_ERRORS].rstrip('. ')}." if detail else ""
    if status < 400:
        return UnexpectedResponseError(
            f"{label} answered with a redirect (HTTP {status}), which is not followed: the API key stays at its address.",
            hint="Check the base URL; a proxy in between may have answered instead.",
            provider=provider,
            request_id=request_id,
            retryable=True,
        )
    if status in {401, 403}:
        return AuthenticationError(
            f"{label} refused the API key (HTTP {status}).{words}",
            hint=key_hint,
            provider=provider,
            request_id=request_id,
        )
    if status == 429:
        return RateLimitedError(
            f"{label} limits the rate of requests (HTTP 429).{words}",
            hint="Send fewer at a time, or wait and try again.",
            provider=provider,
            request_id=request_id,
            retryable=True,
            retry_after=answer.retry_after,
        )
    if status >= 500 or status == 408:
        return ProviderUnavailableError(
            f"{label} answered HTTP {status}.{words}",
            hint="Try again later.",
            provider=provider,
            request_id=request_id,
            retryable=status in RETRYABLE_STATUSES,
            retry_after=answer.retry_after,
        )
    if status in {400, 404, 409, 413, 422}:
        return RequestRejectedError(
            f"{label} rejected the request (HTTP {status}).{words}",
            hint="Change the request; the same one will be rejected again.",
            provider=provider,
            request_id=request_id,
        )
    return ProviderError(f"{label} answered HTTP {status}.{words}", provider=provider, request_id=request_id)


class HttpClient:
    """A provider's HTTP: one for reads with kept connections, one for creates with fresh ones. Opened on first use.

    Args:
        provider: the provider's name, for errors.
        base_url: the provider's configured origin and path; paths are relative to it.
        headers: sent to that origin only; may hold the key.
    """

    def __init__(self, *, provider: str, base_url: str, headers: Mapping[str, str]) -> None:
        self.provider = provider
        self.base_url = base_url.rstrip("/")
        self._headers = dict(headers)
        self._reads: httpx.AsyncClient | None = None
        self._creates: httpx.AsyncClient | None = None
        self._read_slots: anyio.CapacityLimiter | None = None

    def _open(self, *, keep_alive: bool) -> httpx.AsyncClient:
        number = CONNECTIONS if keep_alive else CREATES_IN_FLIGHT
        return httpx.AsyncClient(
            headers={"user-agent": user_agent(), "accept-encoding": ACCEPTED, **self._headers},
            limits=httpx.Limits(max_connections=number, max_keepalive_connections=number if keep_alive else 0),
            timeout=httpx.Timeout(READ_TIMEOUT, connect=CONNECT_TIMEOUT, pool=None),
            follow_redirects=False,
            verify=ssl_context(),
            # An address that is not https was listed as trusted and is close by: a proxy would not reach it.
            trust_env=self.base_url.startswith("https://"),
        )

    def url(self, path: str) -> str:
        """Return the full URL of a path, which begins with a slash; an absolute URL must have the configured origin.

        Raises:
            UnsafeURLError: the URL points elsewhere, so that the key must not go there.
        """
        if path.startswith("/"):
            return f"{self.base_url}{path}"
        # Without a slash in front, ".example.com" behind the base URL would be another host.
        if urlsplit(path)[:2] != urlsplit(self.base_url)[:2]:
            raise UnsafeURLError(
                f"{without_query(path)!r} is not at {self.provider!r}'s configured address.",
                hint="The API key only goes to the configured base URL.",
                provider=self.provider,
            )
        return path

    async def read(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
        timeout: float = READ_TIMEOUT,
    ) -> Answer:
        """Make a call that costs nothing, once. Raises ProviderUnavailableError, retryable, where no answer came."""
        if self._reads is None:
            self._reads = self._open(keep_alive=True)
            self._read_slots = anyio.CapacityLimiter(CONNECTIONS)
        client, slots = self._reads, self._read_slots
        assert slots is not None
        async with slots:
            return await self._send(
                client, method, path, params=params, headers=headers, content=content, timeout=timeout, costs=False
            )

    async def create(
        self,
        path: str,
        *,
        json: JsonValue = None,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = READ_TIMEOUT,
    ) -> Answer:
        """POST something that may be paid for: once, on a fresh connection.

        Raises:
            ProviderUnavailableError: `maybe_billed=False` where it provably did not leave; else the answer is lost.
        """
        if self._creates is None:
            self._creates = self._open(keep_alive=False)
        sent = dict(headers or {})
        if json is not None:
            content = jsonlib.dumps(json, ensure_ascii=False, separators=(",", ":")).encode()
            sent.setdefault("content-type", "application/json")
        return await self._send(
            self._creates, "POST", path, params=None, headers=sent, content=content or b"", timeout=timeout, costs=True
        )

    async def _send(
        self,
        client: httpx.AsyncClient,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        content: bytes | None,
        timeout: float,
        costs: bool,
    ) -> Answer:
        limits = httpx.Timeout(timeout, connect=min(timeout, CONNECT_TIMEOUT), pool=None)
        try:
            with answer_within(timeout) as extensions:
                request = client.build_request(
                    method,
                    self.url(path),
                    params=params,
                    headers=headers,
                    content=content,
                    timeout=limits,
                    extensions=extensions,
                )
                with queries_left_out():
                    response = await client.send(request, stream=True)
                body = await _read_bounded(response, self.provider, costs=costs)
        except _NOT_SENT as error:
            raise ProviderUnavailableError(
                f"No connection to {self.provider!r} at {self.base_url} ({type(error).__name__}).",
                hint="Check the network, the proxy settings and the base URL; nothing was sent.",
                provider=self.provider,
                retryable=True,
            ) from _without_request(error)
        except (httpx.RequestError, TimeoutError) as error:
            raise ProviderUnavailableError(
                f"The connection to {self.provider!r} at {self.base_url} gave no complete answer ({type(error).__name__}).",
                hint="" if costs else "Try again later.",
                provider=self.provider,
                retryable=not costs,
                maybe_billed=costs,
            ) from _without_request(error)
        return Answer(response.status_code, dict(response.headers), body, self.provider)

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        clients, self._reads, self._creates = (self._reads, self._creates), None, None
        for client in clients:
            if client is not None:
                await client.aclose()


def _without_request(error: httpx.RequestError | TimeoutError) -> Exception | None:
    """Return an error as a cause that holds neither headers nor body; None if its text repeats a header."""
    if isinstance(error, TimeoutError):
        return error
    if isinstance(error, httpx.LocalProtocolError):
        return None
    error.request = httpx.Request(error.request.method, without_query(str(error.request.url)))
    return error


async def _read_bounded(response: httpx.Response, provider: str, *, costs: bool) -> bytes:
    """Read a body to its end and close the answer. Raises UnexpectedResponseError if it is too large, or damaged."""
    body, chunks = AnswerBody(response.headers.get("content-encoding", ""), limit=ANSWER_LIMIT), response.aiter_raw()
    try:
        async for chunk in chunks:
            body.feed(chunk)
    except ValueError as error:
        raise UnexpectedResponseError(
            f"{provider!r} answered with {error}.", provider=provider, maybe_billed=costs
        ) from error
    finally:
        await response.aclose()
        # A generator that is dropped half-way is a leak to trio. On the closed connection they come to their end.
        with contextlib.suppress(httpx.HTTPError):
            while await anext(chunks, b""):
                pass
    return body.getvalue()


@functools.cache
def user_agent() -> str:
    """Return how the library names itself."""
    from aifs_media._version import __version__

    return f"aifs-media/{__version__}"
