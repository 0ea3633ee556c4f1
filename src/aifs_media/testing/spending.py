"""A guard for tests: nothing can be bought while it holds."""

from __future__ import annotations

import ipaddress
from contextlib import contextmanager
from typing import TYPE_CHECKING, ClassVar, Concatenate, ParamSpec
from urllib.parse import urlsplit

from aifs_media.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator

    from aifs_media._http import Answer, HttpClient

P = ParamSpec("P")


class SpendingForbiddenError(ConfigurationError):
    """A create was about to leave this machine while `forbid_spending` held. Nothing was sent."""

    code: ClassVar[str] = "spending_forbidden"


@contextmanager
def forbid_spending() -> Generator[None]:
    """Refuse every call that may be paid for, unless it goes to this machine.

    It reaches what is sent by `HttpProvider.call` and `HttpProvider.answer`: all creates and texts of the built-in providers,
    and of others that are built on the toolkit; in every task and thread of this process. It does not see a provider that
    brings an HTTP client of its own, another process, or calls that cost nothing, like reading a job's state.

    Raises:
        SpendingForbiddenError: from the call itself, before a name is looked up or a connection is opened.
    """
    from unittest import mock

    # The one method through which a create leaves; no context variable, since those do not reach threads that run already.
    from aifs_media._http import HttpClient

    with mock.patch.object(HttpClient, "create", _only_on_this_machine(HttpClient.create)):
        yield


def _only_on_this_machine(
    create: Callable[Concatenate[HttpClient, P], Awaitable[Answer]],
) -> Callable[Concatenate[HttpClient, P], Awaitable[Answer]]:
    async def guarded(client: HttpClient, /, *arguments: P.args, **options: P.kwargs) -> Answer:
        if not _is_this_machine(client.base_url):
            raise SpendingForbiddenError(
                f"A test was about to buy something: a create for {client.provider!r} at {client.base_url}. Nothing was sent.",
                hint="Use FakeProvider, or point the provider at the emulator: Settings.from_env(emulator.settings()).",
                provider=client.provider,
            )
        return await create(client, *arguments, **options)

    return guarded


def _is_this_machine(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
