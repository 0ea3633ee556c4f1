"""May this host be connected to: the guard at the moment of connecting.

A host name can resolve to a private address, and to another one at every look-up. So the name is resolved once, all its addresses
are judged, the connection goes to exactly one of these, and the peer is compared afterwards. TLS, the Host header and pooling still
see the name. The transport installs it with httpcore's public parameter, in a pool of its own:

    pool = httpcore.AsyncConnectionPool(ssl_context=context, network_backend=GuardedBackend(guard), ...)

A pool with this backend must not use a proxy: the proxy would resolve the name.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import TYPE_CHECKING, cast

import anyio
import httpcore

from aifs_media._urlguard import is_public_address
from aifs_media.errors import UnsafeURLError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from aifs_media._urlguard import URLGuard


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Opens TCP connections to public addresses and to trusted hosts, and to nothing else.

    Args:
        guard: knows the trusted hosts.
    """

    def __init__(self, guard: URLGuard) -> None:
        self._guard = guard
        # Type checkers also see the stand-in that httpcore defines for an environment without anyio.
        self._network = cast("httpcore.AsyncNetworkBackend", httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect to one of the host's addresses, the first that answers.

        Args:
            host: a host name or an IP address.
            port: the TCP port.
            timeout: seconds for resolving and connecting together, or None.
            local_address: the local address to bind to, or None.
            socket_options: options for the socket, or None.

        Raises:
            UnsafeURLError: one of the addresses is not public, and the host is not trusted on that port.
            httpcore.ConnectError: the host cannot be resolved, or no address accepts.
            httpcore.ConnectTimeout: the time ran out.
        """
        deadline = anyio.current_time() + timeout if timeout is not None else None
        addresses = await self._resolve(host, port, timeout)
        if not self._guard.is_trusted(host, port):
            for address in addresses:
                if not is_public_address(address):
                    raise UnsafeURLError(
                        f"The host {host!r} must not be connected to: it resolves to {address}, which is not a public address.",
                        hint="If it is a server of your own, list it as host:port in MEDIA_TRUSTED_HOSTS.",
                    )
        failure: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for tried, address in enumerate(addresses):
            # Each address gets its share of the time that is left, so that a silent first one does not use it up.
            share = None if deadline is None else max(0.0, deadline - anyio.current_time()) / (len(addresses) - tried)
            try:
                stream = await self._network.connect_tcp(address, port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            await _refuse_other_peer(stream, address)
            return stream
        raise failure or httpcore.ConnectError(f"The host {host!r} has no address.")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002 - httpcore's signature
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,  # noqa: ARG002 - httpcore's signature
    ) -> httpcore.AsyncNetworkStream:
        """Refuse: no URL leads to a local socket.

        Raises:
            UnsafeURLError: always.
        """
        raise UnsafeURLError(f"The local socket {path!r} must not be connected to.")

    async def sleep(self, seconds: float) -> None:
        """Wait, between the pool's own connection attempts."""
        await self._network.sleep(seconds)

    async def _resolve(self, host: str, port: int, timeout: float | None) -> list[str]:
        try:
            with anyio.fail_after(timeout):
                answers = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"The host {host!r} could not be resolved in time.") from error
        except OSError as error:
            raise httpcore.ConnectError(f"The host {host!r} cannot be resolved: {error}") from error
        # In the resolver's order, each once.
        return list(dict.fromkeys(str(answer[4][0]) for answer in answers))


async def _refuse_other_peer(stream: httpcore.AsyncNetworkStream, address: str) -> None:
    peer = stream.get_extra_info("server_addr")
    if peer is None:  # a connection that was reset at once has no other end any more
        await stream.aclose()
        raise httpcore.ConnectError(f"The connection to {address} ended at once.")
    if ipaddress.ip_address(peer[0]) != ipaddress.ip_address(address):
        await stream.aclose()
        raise UnsafeURLError(f"The connection to {address} was answered by another address.")
