"""Only public https URLs are fetched, keys go to their own origin, and a name is judged by the addresses it resolves to."""

from __future__ import annotations

import ipaddress
import re
import socket
from typing import TYPE_CHECKING

import anyio
import httpcore
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifs_media._guarded_network import GuardedBackend
from aifs_media._urlguard import URLGuard, is_public_address
from aifs_media.errors import ConfigurationError, UnsafeURLError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anyio.abc import SocketListener, SocketStream

pytestmark = pytest.mark.anyio

# The addresses on which two published guards and the interpreter's own tables were measured to disagree, and the usual ones.
NOT_PUBLIC = [
    "0.0.0.0",
    "10.0.0.1",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.9",
    "192.0.0.170",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "64:ff9b:1:ffff::808:808",
    "100::1",
    "2001::1",
    "2001:0:7f00:1::",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "",
    "localhost",
    "010.0.0.1",
    "8.8.8.8/32",
]
PUBLIC = [
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "100.128.0.1",
    "172.32.0.1",
    "192.0.1.1",
    "198.20.0.1",
    "223.255.255.254",
    "2606:4700::1111",
    "2a00:1450:4001::1",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_address_is_not_public(address: str) -> None:
    """Local, reserved, multicast and documentation addresses are not public, in any wrapping."""
    assert not is_public_address(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_address_is_public(address: str) -> None:
    """Ordinary addresses are."""
    assert is_public_address(address)


@given(st.ip_addresses())
def test_never_more_generous_than_the_interpreter(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """What the interpreter calls special is not public here either."""
    # The wrappings that are judged by what they carry have a test of their own.
    if is_public_address(str(address)) and not str(address).startswith(("::ffff:", "64:ff9b:", "2002:")):
        assert address.is_global
        assert not address.is_multicast
        assert not address.is_reserved


@given(st.ip_addresses(v=4))
def test_carried_addresses_are_judged_as_themselves(address: ipaddress.IPv4Address) -> None:
    """Mapped, NAT64 and 6to4 addresses are as public as what they carry; the other wrappings never are."""
    number, public = int(address), is_public_address(str(address))
    assert is_public_address(str(ipaddress.IPv6Address(0xFFFF << 32 | number))) == public
    assert is_public_address(str(ipaddress.IPv6Address(0x64FF9B << 96 | number))) == public
    assert is_public_address(str(ipaddress.IPv6Address(0x2002 << 112 | number << 80))) == public
    assert not is_public_address(str(ipaddress.IPv6Address(number)))
    assert not is_public_address(str(ipaddress.IPv6Address(0x20010000 << 96 | number)))


GUARD = URLGuard(
    trusted=frozenset({"127.0.0.1:8080", "emulator.internal:443", "[::1]:9000"}),
    delivery_hosts=("replicate.delivery", "*.replicate.delivery"),
)


@pytest.mark.parametrize(
    ("url", "fetched"),
    [
        ("https://replicate.delivery/a/b.png?sig=1#frag", "https://replicate.delivery/a/b.png?sig=1"),
        ("HTTPS://Replicate.Delivery./a", "https://replicate.delivery/a"),
        ("https://replicate.delivery:443", "https://replicate.delivery/"),
        ("https://bücher.example/a", "https://xn--bcher-kva.example/a"),
        ("https://\uff25XAMPLE.com/", "https://example.com/"),
        ("https://8.8.8.8/x", "https://8.8.8.8/x"),
        ("https://[::ffff:8.8.8.8]/x", "https://8.8.8.8/x"),
        ("https://134744072/x", "https://8.8.8.8/x"),
        ("https://[2606:4700::1111]/x", "https://[2606:4700::1111]/x"),
        ("https://my_bucket.s3.example.com/x", "https://my_bucket.s3.example.com/x"),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/x"),
        ("http://0x7f.1:8080/x", "http://127.0.0.1:8080/x"),
        ("https://127.0.0.1:8080/x", "https://127.0.0.1:8080/x"),
        ("http://[::1]:9000/", "http://[::1]:9000/"),
    ],
)
def test_url_may_be_fetched(url: str, fetched: str) -> None:
    """Public https URLs and trusted hosts pass, in one normal form."""
    assert GUARD.check(url).url == fetched


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://replicate.delivery/a", "not https"),
        ("ftp://replicate.delivery/a", "scheme 'ftp'"),
        ("file:///etc/passwd", "scheme 'file'"),
        ("data:image/png;base64,AAAA", "scheme 'data'"),
        ("replicate.delivery/a", "scheme ''"),
        ("//replicate.delivery/a", "scheme ''"),
        ("", "scheme ''"),
        ("https://user:secret@replicate.delivery/a", "user name"),
        ("https://replicate.delivery@evil.example/a", "user name"),
        ("https://@evil.example/a", "user name"),
        ("https://replicate.delivery:8443/a", "port other"),
        ("https://replicate.delivery:0/a", "port other"),
        ("https://replicate.delivery:99999/a", "malformed"),
        ("https://replicate.delivery:x/a", "malformed"),
        ("https://replicate.delivery\n.evil.example/", "control characters"),
        ("https://replicate.delivery/\r\nHost: evil", "control characters"),
        ("https://evil.example\\@replicate.delivery/", "backslashes"),
        ("https:///a", "no valid host"),
        ("https://./a", "no valid host"),
        ("https://a..b/", "no valid host"),
        ("https://replicate.delivery../", "no valid host"),
        ("https://-a.example/", "no valid host"),
        ("https://replicate%2edelivery/", "no valid host"),
        ("https://replicate delivery/", "no valid host"),
        ("https://" + "a" * 64 + ".example/", "no valid host"),
        ("https://" + "abcd." * 60 + "example/", "no valid host"),
        ("https://example.com/" + "a" * 20_000, "longer than"),
        ("https://\u2028.example/", "international"),
        ("https://[::1/", "malformed"),
        ("https://[fe80::1%25eth0]/", "not public"),
        ("https://[::1]/", "not public"),
        ("https://[::ffff:127.0.0.1]/", "not public"),
        ("https://127.0.0.1/", "not public"),
        ("https://127.0.0.1./", "not public"),
        ("https://127.1/", "not public"),
        ("https://0x7f.1/", "not public"),
        ("https://0x7f000001/", "not public"),
        ("https://2130706433/", "not public"),
        ("https://017700000001/", "not public"),
        ("https://0177.0.0.1/", "not public"),
        ("https://\uff11\uff12\uff17.\uff10.0.1/", "not public"),
        ("https://169.254.169.254/latest/meta-data", "not public"),
        ("https://0/", "not public"),
        ("https://256.1.1.1/", "no IPv4 address"),
        ("https://1.2.3.4.5/", "no IPv4 address"),
        ("https://08.8.8.8/", "no IPv4 address"),
        ("https://example.1/", "no IPv4 address"),
        ("https://4294967296/", "no IPv4 address"),
        ("https://localhost/", "local network"),
        ("https://metadata/", "local network"),
        ("https://a.localhost/", "local network"),
        ("http://127.0.0.1:8081/", "not https"),
        ("http://127.0.0.2:8080/", "not https"),
        ("http://127.0.0.1/", "not https"),
    ],
)
def test_url_must_not_be_fetched(url: str, says: str) -> None:
    """Everything else is refused with the reason."""
    with pytest.raises(UnsafeURLError, match=re.escape(says)):
        GUARD.check(url)


def test_error_and_representation_keep_secrets() -> None:
    """Neither the query nor a password is repeated."""
    for url in ("http://a.example/x?signature=SECRET", "https://u:SECRET@a.example/", "https://127.0.0.1/SECRET"):
        with pytest.raises(UnsafeURLError) as caught:
            GUARD.check(url)
        assert "SECRET" not in repr(caught.value) + str(caught.value)
    assert "SECRET" not in repr(GUARD.check("https://a.example/x?signature=SECRET"))


def test_strict_hosts() -> None:
    """With strict_hosts only delivery hosts and trusted hosts are left."""
    strict = URLGuard(trusted=GUARD.trusted, delivery_hosts=GUARD.delivery_hosts, strict_hosts=True)
    assert strict.check("https://replicate.delivery/a")
    assert strict.check("https://pbxt.replicate.delivery/a")
    assert strict.check("http://127.0.0.1:8080/a").trusted
    for host in ("example.com", "evilreplicate.delivery", "replicate.delivery.evil.example", "8.8.8.8"):
        assert GUARD.check(f"https://{host}/")
        with pytest.raises(UnsafeURLError, match="delivery hosts"):
            strict.check(f"https://{host}/")


def test_trust_does_not_reach_over_a_redirect() -> None:
    """A redirect from elsewhere may not lead to a trusted host; within the trusted origin it may."""
    trusted, public = GUARD.check("http://127.0.0.1:8080/a"), GUARD.check("https://example.com/a")
    assert GUARD.check("http://127.0.0.1:8080/b", redirected_from=trusted).trusted
    assert not GUARD.check("https://example.com/b", redirected_from=trusted).trusted
    for source in (public, GUARD.check("http://[::1]:9000/")):
        with pytest.raises(UnsafeURLError, match="redirect from another origin"):
            GUARD.check("http://127.0.0.1:8080/a", redirected_from=source)
    with pytest.raises(UnsafeURLError, match="redirect from another origin"):
        GUARD.check("https://emulator.internal/a", redirected_from=public)


@pytest.mark.parametrize(
    ("url", "origin", "expected"),
    [
        ("https://api.replicate.com/v1/x", "https://api.replicate.com/v1", True),
        ("https://API.replicate.com.:443/other", "https://api.replicate.com", True),
        ("https://api.replicate.com.evil.example/", "https://api.replicate.com", False),
        ("https://replicate.com/", "https://api.replicate.com", False),
        ("http://api.replicate.com/", "https://api.replicate.com", False),
        ("https://user@api.replicate.com/", "https://api.replicate.com", False),
        ("http://127.0.0.1:8080/x", "http://127.0.0.1:8080/replicate/v1", True),
        ("https://127.0.0.1:8080/x", "http://127.0.0.1:8080/replicate/v1", False),
        ("http://[::1]:9000/x", "http://127.0.0.1:8080/replicate/v1", False),
        ("http://127.0.0.1:7000/", "http://127.0.0.1:7000/", False),
    ],
)
def test_credentials(url: str, origin: str, expected: bool) -> None:  # noqa: FBT001 - a column of the table
    """The key goes to the configured origin only."""
    assert GUARD.may_carry_credentials(url, origin) is expected


@pytest.mark.parametrize(
    "entry",
    [
        "example.com",
        "*.example.com:443",
        "http://a:80",
        "a:b",
        "u@a:80",
        "a:80/x",
        "",
        ":80",
        "a:",
        "a:0",
        "::1:80",
        "a:+80",
    ],
)
def test_trusted_entry_is_refused(entry: str) -> None:
    """Trust is granted to exact hosts and ports only."""
    with pytest.raises(ConfigurationError, match="host:port"):
        URLGuard(trusted=frozenset({entry}))


@pytest.mark.parametrize("pattern", ["*", "*.", "a.*.example", "https://a.example", "a.example/x", ""])
def test_delivery_host_is_refused(pattern: str) -> None:
    """A pattern is a name, or everything below a name."""
    with pytest.raises(ConfigurationError, match="delivery host"):
        URLGuard(delivery_hosts=(pattern,))


@given(
    st.text(max_size=40), st.sampled_from(["", "https://", "http://", "https://[", "https://a.example:", "https://1."])
)
def test_any_text_is_refused_or_normal(text: str, start: str) -> None:
    """Whatever the text, the answer is the documented error, or a URL that is its own normal form."""
    try:
        checked = GUARD.check(start + text)
    except UnsafeURLError:
        return
    assert GUARD.check(checked.url) == checked
    assert checked.scheme == "https"
    assert checked.port == 443


class Resolver:
    """A name server with scripted answers: one list of addresses for each look-up, the last one for ever."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(
        self, host: str, port: int, **_options: object
    ) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        """Answer as `anyio.getaddrinfo` does."""
        self.asked.append(host)
        addresses = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in addresses]


class Visitors:
    """A loopback server that greets and counts."""

    def __init__(self, listener: SocketListener) -> None:
        self.count = 0
        self.listener = listener
        self.port: int = listener.extra(anyio.abc.SocketAttribute.local_port)

    async def serve(self) -> None:
        """Greet everyone."""
        await self.listener.serve(self._greet)

    async def _greet(self, stream: SocketStream) -> None:
        self.count += 1
        async with stream:
            await stream.send(b"hello")


async def _loopback() -> Visitors:
    multi = await anyio.create_tcp_listener(local_host="127.0.0.1")
    return Visitors(multi.listeners[0])


async def test_trusted_host_is_connected() -> None:
    """A trusted loopback server is reached by its exact host and port."""
    visitors = await _loopback()
    backend = GuardedBackend(URLGuard(trusted=frozenset({f"127.0.0.1:{visitors.port}"})))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visitors.serve)
        stream = await backend.connect_tcp("127.0.0.1", visitors.port, timeout=5)
        assert await stream.read(100, timeout=5) == b"hello"
        await stream.aclose()
        tasks.cancel_scope.cancel()
    await visitors.listener.aclose()


async def test_loopback_is_refused_without_trust() -> None:
    """The same server is not even knocked at when it is not trusted, by address or by name."""
    visitors = await _loopback()
    backend = GuardedBackend(URLGuard(trusted=frozenset({"127.0.0.1:1"})))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visitors.serve)
        for host in ("127.0.0.1", "localhost"):
            with pytest.raises(UnsafeURLError, match="not a public address"):
                await backend.connect_tcp(host, visitors.port, timeout=5)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await visitors.listener.aclose()
    assert visitors.count == 0


async def test_one_private_address_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name with a public and a private address is refused as a whole."""
    visitors = await _loopback()
    monkeypatch.setattr(anyio, "getaddrinfo", Resolver(["8.8.8.8", "127.0.0.1"]))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visitors.serve)
        with pytest.raises(UnsafeURLError, match=r"127\.0\.0\.1"):
            await GuardedBackend(URLGuard()).connect_tcp("files.example.com", visitors.port, timeout=5)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await visitors.listener.aclose()
    assert visitors.count == 0


async def test_rebinding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name whose second answer is private never leads there: each connection resolves once and judges what it connects to."""
    visitors = await _loopback()
    # Port and host of the first look-up are trusted, so that it may reach a server here; the second name is not.
    guard = URLGuard(trusted=frozenset({f"own.example.com:{visitors.port}"}))
    resolver = Resolver(["127.0.0.1"])
    monkeypatch.setattr(anyio, "getaddrinfo", resolver)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visitors.serve)
        stream = await GuardedBackend(guard).connect_tcp("own.example.com", visitors.port, timeout=5)
        assert await stream.read(100, timeout=5) == b"hello"
        await stream.aclose()
        assert resolver.asked == ["own.example.com"]
        with pytest.raises(UnsafeURLError):
            await GuardedBackend(guard).connect_tcp("files.example.com", visitors.port, timeout=5)
        await anyio.wait_all_tasks_blocked()
        tasks.cancel_scope.cancel()
    await visitors.listener.aclose()
    assert visitors.count == 1


async def test_next_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the first address does not accept, the next one is tried."""
    visitors = await _loopback()
    guard = URLGuard(trusted=frozenset({f"own.example.com:{visitors.port}"}))
    monkeypatch.setattr(anyio, "getaddrinfo", Resolver(["127.0.0.9", "127.0.0.1"]))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visitors.serve)
        stream = await GuardedBackend(guard).connect_tcp("own.example.com", visitors.port, timeout=5)
        assert stream.get_extra_info("server_addr")[0] == "127.0.0.1"
        await stream.aclose()
        tasks.cancel_scope.cancel()
    await visitors.listener.aclose()


async def test_unreachable_and_unknown_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ordinary failures are the errors that the pool knows."""
    visitors = await _loopback()
    await visitors.listener.aclose()
    guard = URLGuard(trusted=frozenset({f"127.0.0.1:{visitors.port}"}))
    with pytest.raises(httpcore.ConnectError):
        await GuardedBackend(guard).connect_tcp("127.0.0.1", visitors.port, timeout=5)

    async def unknown(*_arguments: object, **_options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(anyio, "getaddrinfo", unknown)
    with pytest.raises(httpcore.ConnectError, match="cannot be resolved"):
        await GuardedBackend(guard).connect_tcp("nowhere.example.com", 443, timeout=5)

    async def silent(*_arguments: object, **_options: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(anyio, "getaddrinfo", silent)
    with pytest.raises(httpcore.ConnectTimeout, match="in time"):
        await GuardedBackend(guard).connect_tcp("slow.example.com", 443, timeout=0)


async def test_another_peer_is_refused() -> None:
    """A connection that ended up at another address than the one that was judged is closed."""

    class Bent(httpcore.AnyIOBackend):
        async def connect_tcp(self, host: str, *arguments: object, **options: object) -> httpcore.AsyncNetworkStream:
            assert host == "8.8.8.8"
            return await super().connect_tcp("127.0.0.1", *arguments, **options)  # type: ignore[arg-type]

    visitors = await _loopback()
    backend = GuardedBackend(URLGuard())
    backend._network = Bent()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(visitors.serve)
        with pytest.raises(UnsafeURLError, match="another address"):
            await backend.connect_tcp("8.8.8.8", visitors.port, timeout=5)
        tasks.cancel_scope.cancel()
    await visitors.listener.aclose()


async def test_a_peer_that_has_gone_is_no_other_peer() -> None:
    """A connection that is reset at once has no address at its other end; another try may get through."""

    class Gone(httpcore.AsyncNetworkStream):
        def get_extra_info(self, info: str) -> object:
            return None

        async def aclose(self) -> None:
            """Nothing is open any more."""

    class Resetting(httpcore.AnyIOBackend):
        async def connect_tcp(self, *arguments: object, **options: object) -> httpcore.AsyncNetworkStream:
            return Gone()

    backend = GuardedBackend(URLGuard())
    backend._network = Resetting()
    with pytest.raises(httpcore.ConnectError, match="ended at once"):
        await backend.connect_tcp("8.8.8.8", 443, timeout=5)


async def test_local_sockets_are_refused() -> None:
    """No URL leads to a local socket."""
    with pytest.raises(UnsafeURLError, match="local socket"):
        await GuardedBackend(URLGuard()).connect_unix_socket("/run/docker.sock")


async def test_in_a_real_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installed in httpcore's pool, the guard's error comes out and the pool stays usable."""
    monkeypatch.setattr(anyio, "getaddrinfo", Resolver(["10.0.0.1"]))
    async with httpcore.AsyncConnectionPool(network_backend=GuardedBackend(URLGuard())) as pool:
        for _ in range(2):
            with pytest.raises(UnsafeURLError, match=r"10\.0\.0\.1"):
                await pool.request("GET", "https://files.example.com/")
        assert pool.connections == []


@pytest.mark.parametrize(
    ("written", "fetched"),
    [
        ("https://replicate.delivery/füchse/a b.png?q=ä", "https://replicate.delivery/f%C3%BCchse/a%20b.png?q=%C3%A4"),
        ("https://replicate.delivery/f%C3%BC.png?sig=a%2Fb+c", "https://replicate.delivery/f%C3%BC.png?sig=a%2Fb+c"),
        ("https://replicate.delivery/a;b=1/(c)~d?e=f?g&h=/", "https://replicate.delivery/a;b=1/(c)~d?e=f?g&h=/"),
    ],
)
def test_what_cannot_be_sent_is_encoded_once(written: str, fetched: str) -> None:
    """Letters beyond ASCII and spaces are sent as UTF-8 in percent signs; what is encoded already, and a signature, stays."""
    assert URLGuard().check(written).url == fetched
