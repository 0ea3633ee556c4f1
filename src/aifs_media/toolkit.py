"""What an author of a provider needs, in one place.

A provider is any object with the four members of `MediaProvider`; `HttpProvider` is a convenience that brings credentials,
connections, typed errors and the rule that a create leaves once. See docs/writing-a-provider.md.
"""

from __future__ import annotations

import json as jsonlib
import re
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Self
from urllib.parse import urlsplit

import anyio
from pydantic import JsonValue

from aifs_media._files import FileClient
from aifs_media._http import CREATES_IN_FLIGHT, READ_TIMEOUT, Answer, HttpClient, status_error
from aifs_media._secrets import Secret, redact, without_query
from aifs_media._urlguard import URLGuard, is_address
from aifs_media.errors import (
    ConfigurationError,
    ContentRejectedError,
    DownloadError,
    MediaError,
    MissingCredentialError,
    ModelRetiredError,
    PaymentRequiredError,
    ProviderUnavailableError,
    UnexpectedResponseError,
)
from aifs_media.protocols import MediaProvider, Pollable
from aifs_media.records import (
    Capability,
    Cost,
    Failed,
    Found,
    Frames,
    InlineFile,
    InputRef,
    MediaRequest,
    Output,
    Pending,
    Price,
    RemoteFile,
    Size,
    Succeeded,
    TextRequest,
    TextResult,
)

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from aifs_media._forms import Form

__all__ = [
    "Answer",
    "Capability",
    "ConfigurationError",
    "ContentRejectedError",
    "Cost",
    "Failed",
    "Found",
    "Frames",
    "HttpProvider",
    "InlineFile",
    "InputRef",
    "JsonValue",
    "MediaError",
    "MediaProvider",
    "MediaRequest",
    "MissingCredentialError",
    "ModelRetiredError",
    "Output",
    "PaymentRequiredError",
    "Pending",
    "Pollable",
    "Price",
    "RemoteFile",
    "Size",
    "Succeeded",
    "TextRequest",
    "TextResult",
    "UnexpectedResponseError",
]


_SENDABLE = re.compile(r"[!-~]+")


class HttpProvider:
    """A provider that speaks JSON over HTTP with one API key.

    Class attributes to set:
        name: the provider's name in `provider:model`, lower case.
        label: the vendor's name as people write it.
        base_url: origin and path of the API; empty where only the user knows it.
        base_url_settings: environment names of the base URL besides `NAME_BASE_URL`.
        key_settings: environment names that may hold the key, the canonical one first; by default `NAME_API_KEY`.
        key_use: what the key is needed for, for the error that says it is missing.
        key_required: whether calls need a key; without one, none is sent.
        billing_url: where credit is bought.
        keys_url: where keys are made.
        capabilities: what the provider can do without asking it.
        delivery_hosts: hosts that outputs come from; "*." allows any name below. Others are fetched too, unless
            strict hosts are asked for; this list never decides where the key goes.
        data_uri_limit: bytes up to which an input file goes inside the request, as a data URI.
        reads_urls: whether the provider fetches input files from URLs.
        refusal_statuses: statuses of a create, besides 4xx, after which the vendor documents that nothing was accepted;
            408 counts as documented only where it is listed.

    `NAME_BASE_URL` and `NAME_DELIVERY_HOSTS` in the environment override the two addresses.
    """

    name: ClassVar[str]
    label: str = ""
    base_url: str = ""
    base_url_settings: ClassVar[tuple[str, ...]] = ()
    key_settings: ClassVar[tuple[str, ...]] = ()
    key_use: ClassVar[str] = "image/video generation"
    key_required: ClassVar[bool] = True
    billing_url: ClassVar[str] = ""
    keys_url: ClassVar[str] = ""
    capabilities: Sequence[Capability] = ()
    delivery_hosts: tuple[str, ...] = ()
    refusal_statuses: ClassVar[frozenset[int]] = frozenset({503})
    data_uri_limit: int = 256 * 1024
    reads_urls: bool = True

    def __init__(
        self,
        *,
        api_key: str = "",
        base_url: str = "",
        delivery_hosts: Sequence[str] = (),
        trusted_hosts: Sequence[str] = (),
    ) -> None:
        self.label = self.label or self.name.title()
        self._key = Secret(api_key)
        self.base_url = (base_url or self.base_url).rstrip("/")
        self.delivery_hosts = tuple(delivery_hosts) or self.delivery_hosts
        if self.base_url and not is_address(self.base_url):
            raise ConfigurationError(
                f"The base URL {without_query(self.base_url)!r} of {self.name!r} is not an address.",
                hint="Write https://, a host, a port of up to 65535 if it needs one, and a path.",
                provider=self.name,
            )
        if self.base_url != without_query(self.base_url):
            raise ConfigurationError(
                f"The base URL {without_query(self.base_url)!r} of {self.name!r} has a user, a query or a fragment.",
                hint="Give the address alone; the key goes into a setting of its own.",
                provider=self.name,
            )
        own_host = self.base_url.partition("://")[2].partition("/")[0]
        if self.base_url and not self.base_url.startswith("https://") and own_host not in trusted_hosts:
            raise ConfigurationError(
                f"The base URL {self.base_url!r} of {self.name!r} is not https.",
                hint="Use https, or list exactly this host:port in MEDIA_TRUSTED_HOSTS.",
                provider=self.name,
            )
        self._trusted = frozenset(host for host in trusted_hosts if host == own_host or host in self.delivery_hosts)
        self._http: HttpClient | None = None
        self._slots: anyio.CapacityLimiter | None = None
        self.prepare()

    def prepare(self) -> None:
        """Make what the provider keeps between calls. Override in place of `__init__`, whose arguments stay the same then."""

    @classmethod
    def from_settings(cls, environ: Mapping[str, str]) -> Self:
        """Build the provider from environment names. A missing key is an error only when it is first needed."""

        def first(*names: str) -> str:
            return next((environ[name].strip() for name in names if environ.get(name, "").strip()), "")

        def items(name: str) -> list[str]:
            return [item.strip() for item in environ.get(name, "").split(",") if item.strip()]

        return cls(
            api_key=first(*cls.key_names()),
            base_url=first(*cls.base_url_settings, cls._setting("BASE_URL")),
            delivery_hosts=items(cls._setting("DELIVERY_HOSTS")),
            trusted_hosts=items("MEDIA_TRUSTED_HOSTS"),
        )

    @classmethod
    def key_names(cls) -> tuple[str, ...]:
        """Return the environment names that may hold the key, the canonical one first."""
        return cls.key_settings or (cls._setting("API_KEY"),)

    @classmethod
    def _setting(cls, name: str) -> str:
        return f"{cls.name.upper().replace('-', '_')}_{name}"

    @property
    def missing_setting(self) -> str:
        """The environment name of what has to be set before anything can be asked; empty where nothing is missing."""
        if self.key_required and not self._key:
            return self.key_names()[0]
        return "" if self.base_url else self._setting("BASE_URL")

    # -- calls ---------------------------------------------------------------------------------------------------------

    def headers(self, key: str) -> dict[str, str]:
        """Return the headers that authorise a call. Override for another scheme."""
        return {"authorization": f"Bearer {key}"}

    def explain(self, answer: Answer) -> MediaError | None:
        """Return the error for an answer of status 400 and more that only this vendor's words tell, else None."""
        del answer
        return None

    def detail(self, answer: Answer) -> str:
        """Return the vendor's own words of an error answer. Override where they are in another place."""
        body = answer.json_or_none()
        if isinstance(body, dict):
            for member in ("detail", "message", "error"):
                value = body.get(member)
                if isinstance(value, dict):
                    value = value.get("message")
                if isinstance(value, str) and value:
                    return value
        return ""

    async def call(
        self,
        method: str,
        path: str,
        *,
        json: JsonValue = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = READ_TIMEOUT,
        costs: bool | None = None,
    ) -> JsonValue:
        """Make one call and return its JSON.

        A POST counts as one that may be paid for (`costs=False` says otherwise): it goes out once on a fresh connection.

        Raises:
            MissingCredentialError: no key is configured.
            MediaError: any refusal, typed; `maybe_billed` says whether a create may have been accepted.
        """
        answer = await self.answer(
            method, path, json=json, params=params, headers=headers, timeout=timeout, costs=costs
        )
        try:
            return answer.json()
        except UnexpectedResponseError as error:
            # What was answered makes no sense, so nobody knows whether a create was accepted.
            error.maybe_billed = costs if costs is not None else method == "POST"
            raise

    async def answer(
        self,
        method: str,
        path: str,
        *,
        json: JsonValue = None,
        content: bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = READ_TIMEOUT,
        costs: bool | None = None,
    ) -> Answer:
        """Like `call`, returning the whole answer of a status below 300."""
        client = self._client()
        if costs if costs is not None else method == "POST":
            answer = await client.create(path, json=json, content=content, headers=headers, timeout=timeout)
            accepted = self.may_be_accepted(answer)
        else:
            if json is not None:
                content = jsonlib.dumps(json).encode()
                headers = {"content-type": "application/json", **(headers or {})}
            answer = await client.read(method, path, params=params, headers=headers, content=content, timeout=timeout)
            accepted = False
        if answer.status >= 300:
            raise self.error(answer, maybe_billed=accepted)
        return answer

    def may_be_accepted(self, answer: Answer) -> bool:
        """Say whether a create that was answered with status 300 and more may have been accepted. Override for a vendor's words.

        A redirect is not followed, and a 408 may come from a proxy that no longer waited: both say as little as a 5xx does.
        """
        status = answer.status
        return (status < 400 or status == 408 or status >= 500) and status not in self.refusal_statuses

    async def send_form(self, url: str, form: Form) -> None:
        """POST a form without the key to an address that the vendor named; it is judged as an output's address is.

        Raises:
            UnsafeURLError: the address must not be connected to.
            ProviderUnavailableError: no answer, or one of status 300 and more; retryable, since a fresh address may work.
        """
        client = FileClient(URLGuard(trusted=self._trusted))
        try:
            target = client.guard.check(url)
            status = await client.post(
                target, media_type=form.media_type, content=form.content, stall_timeout=READ_TIMEOUT
            )
            problem = "" if status < 300 else f"answered HTTP {status}"
        except DownloadError:
            problem = "gave no answer"
        finally:
            await client.aclose()
        if problem:
            raise ProviderUnavailableError(
                f"{self.label}'s host for uploads {problem}.",
                hint="Try again later.",
                provider=self.name,
                retryable=True,
            )

    def error(self, answer: Answer, *, maybe_billed: bool = False) -> MediaError:
        """Return the typed error of an answer of status 300 and more."""
        # A header may repeat the key, too.
        answer = replace(answer, headers={name: redact(text, self._key) for name, text in answer.headers.items()})
        error = self.explain(answer)
        if error is None and answer.status == 402:
            error = PaymentRequiredError(
                label=self.label, billing_url=self.billing_url, provider=self.name, request_id=answer.request_id
            )
        if error is None:
            error = status_error(
                answer,
                detail=redact(self.detail(answer), self._key),
                label=self.label,
                key_hint=f"Check {' or '.join(self.key_names())}; keys are made at {self.keys_url or self.base_url}.",
            )
        error.maybe_billed = maybe_billed
        if maybe_billed:
            error.retryable = False
        return error

    def authorization_for(self, url: str) -> dict[str, str]:
        """Return the headers that authorise a fetch of `url`: none unless it lies at the configured origin."""
        same = urlsplit(url)[:2] == urlsplit(self.base_url)[:2]
        return self.headers(self._key.reveal()) if same and self._key else {}

    async def preflight(self) -> None:
        """Raise MissingCredentialError or ConfigurationError if nothing could be asked for want of a key or an address."""
        self._check_set_up()

    def _check_set_up(self) -> None:
        if not self.base_url:
            raise ConfigurationError(
                f"{self.label} has no address.",
                hint=f"Set {self._setting('BASE_URL')}.",
                provider=self.name,
            )
        if self.key_required and not self._key:
            raise MissingCredentialError(
                label=self.label,
                setting=self.key_names()[0],
                provider=self.name,
                use=self.key_use,
                hint=f"Keys are made at {self.keys_url}." if self.keys_url else "",
            )
        if self._key and not _SENDABLE.fullmatch(self._key.reveal()):
            # Further down, the text of an error would repeat it.
            raise ConfigurationError(
                f"The API key of {self.label} holds characters that no key has: a space, a line break, or letters beyond ASCII.",
                hint=f"Copy it again into {self.key_names()[0]}, without quotes around it.",
                provider=self.name,
            )

    def _client(self) -> HttpClient:
        self._check_set_up()
        if self._http is None:
            headers = self.headers(self._key.reveal()) if self._key else {}
            self._http = HttpClient(provider=self.name, base_url=self.base_url, headers=headers)
        return self._http

    # -- lifetime ------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def gate(self) -> AsyncGenerator[None]:
        """Hold a place for a create, so that nothing waits between its recorded intent and its send."""
        if self._slots is None:
            self._slots = anyio.CapacityLimiter(CREATES_IN_FLIGHT)
        async with self._slots:
            yield

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        client, self._http, self._slots = self._http, None, None
        if client is not None:
            await client.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(name={self.name!r}, base_url={self.base_url!r}, key={'set' if self._key else 'missing'})"
