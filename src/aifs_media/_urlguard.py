"""May this URL be fetched: pure decisions about addresses, URLs and who may receive a key.

URLs of outputs come from providers and from redirects, and are not trusted. `URLGuard.check` decides by the text of the URL;
`_guarded_network` decides again by the addresses the host name resolves to, at the moment of connecting.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

import idna

from aifs_media.errors import ConfigurationError, UnsafeURLError

# The tables of the interpreter's ipaddress module differ between patch releases, so the networks are listed here. Sources: the
# IANA special-purpose address registries for IPv4 and IPv6 and the multicast registries, read in November 2026.
SPECIAL_IPV4 = tuple(
    ipaddress.IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared by carriers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link local, cloud metadata
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # multicast tunnelling
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
SPECIAL_IPV6 = tuple(
    ipaddress.IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2620:4f:8000::/48",  # AS112
        "3ffe::/16",  # the 6bone, withdrawn
        "3fff::/20",  # documentation
    )
)
# IPv6 addresses that carry an IPv4 address: the network, and the bits to the right of the carried address.
CARRIERS = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 0),  # mapped
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),  # NAT64
    (ipaddress.IPv6Network("2002::/16"), 80),  # 6to4
)

DEFAULT_PORTS = {"https": 443, "http": 80}
MAX_HOST_LENGTH = 253
MAX_URL_LENGTH = 16_384
LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
IPV4_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.ASCII)
PATH_CHARACTERS = "/%:@!$&'()*+,;=[]|^~"
"""Characters that stay as they are in a path; a percent sign, since what is encoded already must not be encoded twice."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def is_public_address(address: str) -> bool:
    """Return whether an IP address belongs to the public internet.

    An IPv6 address that carries an IPv4 address (mapped, NAT64, 6to4) is as public as that one. What is not an IP address is not
    public. The answer does not depend on the interpreter's version.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        # A zone names an interface of this machine.
        if parsed.scope_id is not None:
            return False
        for network, shift in CARRIERS:
            if parsed in network:
                return is_public_address(str(ipaddress.IPv4Address(int(parsed) >> shift & 0xFFFFFFFF)))
        return parsed in GLOBAL_IPV6 and not any(parsed in network for network in SPECIAL_IPV6)
    return not any(parsed in network for network in SPECIAL_IPV4)


@dataclass(frozen=True)
class CheckedURL:
    """A URL that may be fetched.

    Attributes:
        url: the URL to fetch, with the host in its normal form and without a fragment. Its query may be a signature, so it is not
            part of the representation.
        scheme: `https`, or `http` for a trusted host.
        host: lower case, ASCII, no trailing dot, no brackets.
        port: the port, also where the URL does not name it.
        trusted: whether host and port are listed as trusted.
    """

    url: str = field(repr=False)
    scheme: str
    host: str
    port: int
    trusted: bool

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what has to agree before a key may be sent along."""
        return self.scheme, self.host, self.port


@dataclass(frozen=True)
class URLGuard:
    """Which URLs of one provider may be fetched.

    Args:
        trusted: exact `host:port` entries that may be http, private, and on any port; for example `127.0.0.1:8080`.
        delivery_hosts: where the provider delivers, as `replicate.delivery` or, for every name below it, `*.replicate.delivery`.
        strict_hosts: refuse every host that is neither trusted nor a delivery host.

    Raises:
        ConfigurationError: an entry is not of that form.
    """

    trusted: frozenset[str] = frozenset()
    delivery_hosts: tuple[str, ...] = ()
    strict_hosts: bool = False

    def __post_init__(self) -> None:
        """Bring the entries to the form that hosts are compared in."""
        object.__setattr__(self, "trusted", frozenset(_trusted_entry(entry) for entry in self.trusted))
        object.__setattr__(self, "delivery_hosts", tuple(_host_pattern(pattern) for pattern in self.delivery_hosts))

    def is_trusted(self, host: str, port: int) -> bool:
        """Return whether that host, in its normal form, is trusted on that port."""
        return f"{_bracketed(host)}:{port}" in self.trusted

    def is_delivery_host(self, host: str) -> bool:
        """Return whether the provider is known to deliver from that host, in its normal form."""
        return any(
            host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
            for pattern in self.delivery_hosts
        )

    def check(self, url: str, *, redirected_from: CheckedURL | None = None) -> CheckedURL:
        """Return the URL in the form to fetch.

        Args:
            url: an absolute URL.
            redirected_from: where a redirect to `url` came from. Trust does not reach over a redirect from another origin.

        Raises:
            UnsafeURLError: the URL must not be fetched. The message names scheme and host only.
        """
        if CONTROL.search(url) or "\\" in url or len(url) > MAX_URL_LENGTH:
            raise _unsafe(
                "A URL", f"contains control characters or backslashes, or is longer than {MAX_URL_LENGTH} characters"
            )
        try:
            parts = urlsplit(url.strip(" "))
            port = parts.port
        except ValueError as error:
            raise _unsafe("A URL", "cannot be read: its host or port is malformed") from error
        scheme = parts.scheme.lower()
        if scheme not in DEFAULT_PORTS:
            raise _unsafe("A URL", f"has the scheme {scheme[:20]!r} and not https")
        if "@" in parts.netloc:
            raise _unsafe("A URL", "carries a user name or password")
        try:
            host = _normal_host(parts.netloc, parts.hostname or "")
        except ValueError as error:
            raise _unsafe(f"A URL with the scheme {scheme!r}", str(error)) from error
        port = DEFAULT_PORTS[scheme] if port is None else port
        checked = CheckedURL(
            _rebuilt(scheme, host, port, parts.path, parts.query), scheme, host, port, self.is_trusted(host, port)
        )
        self._refuse(checked, redirected_from)
        return checked

    def may_carry_credentials(self, url: str, origin: str) -> bool:
        """Return whether the API key may be sent to a URL: only where it lies at the configured base URL's own origin.

        Args:
            url: where a request would go.
            origin: the provider's configured base URL.
        """
        try:
            return self.check(url).origin == self.check(origin).origin
        except UnsafeURLError:
            return False

    def _refuse(self, checked: CheckedURL, redirected_from: CheckedURL | None) -> None:
        subject = f"The URL {checked.scheme}://{_bracketed(checked.host)}:{checked.port}/..."
        if checked.trusted:
            if redirected_from is not None and redirected_from.origin != checked.origin:
                raise _unsafe(
                    subject, f"is a trusted host, reached by a redirect from another origin ({redirected_from.host!r})"
                )
            return
        if checked.scheme != "https":
            raise _unsafe(subject, "is not https", trust=True)
        if checked.port != DEFAULT_PORTS["https"]:
            raise _unsafe(subject, "names a port other than 443", trust=True)
        if _is_address(checked.host):
            if not is_public_address(checked.host):
                raise _unsafe(subject, "names an address that is not public", trust=True)
        elif "." not in checked.host or checked.host.endswith(".localhost"):
            raise _unsafe(subject, "names a host of the local network", trust=True)
        if self.strict_hosts and not self.is_delivery_host(checked.host):
            known = ", ".join(self.delivery_hosts) or "none"
            raise UnsafeURLError(
                f"{subject} must not be fetched: it is not one of the provider's delivery hosts.",
                hint=f"strict_hosts is on; delivery hosts are: {known}.",
            )


def _unsafe(subject: str, reason: str, *, trust: bool = False) -> UnsafeURLError:
    hint = "If it is a server of your own, list it as host:port in MEDIA_TRUSTED_HOSTS." if trust else ""
    return UnsafeURLError(f"{subject} must not be fetched: it {reason}.", hint=hint)


def is_address(url: str) -> bool:
    """Say whether a server can be asked at a configured URL. Asking at one that cannot be read looks like an answer that was lost."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _normal_host(parts.netloc, host)
        # Unlike browsers, an HTTP client maps no letter of a name to a usual one.
        return url.isprintable() and parts.port != 0 and (host.isascii() or bool(idna.encode(host)))
    except ValueError:
        return False


def _normal_host(netloc: str, hostname: str) -> str:
    """Return the host in lower case, ASCII and without brackets or trailing dot; numbers in any form as the address they mean.

    Raises:
        ValueError: it is not a host; the message completes a sentence that starts with "it".
    """
    if netloc.startswith("["):
        try:
            address = ipaddress.IPv6Address(hostname)
        except ValueError:
            raise ValueError("has a malformed IPv6 address as host") from None
        return str(address.ipv4_mapped or address)
    host = hostname.lower()
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii").lower()
        except UnicodeError:
            raise ValueError("has a host that is no valid international domain name") from None
    host = host.removesuffix(".")
    labels = host.split(".")
    if len(host) > MAX_HOST_LENGTH or not all(LABEL.fullmatch(label) for label in labels):
        raise ValueError("has no valid host")
    return _ipv4_of_numbers(labels) if IPV4_NUMBER.fullmatch(labels[-1]) else host


def _ipv4_of_numbers(labels: list[str]) -> str:
    """Return the address that resolvers read from one to four decimal, octal or hexadecimal numbers, the last one filling the rest."""
    problem = "has a host that ends in a number and is no IPv4 address"
    try:
        *leading, last = [_c_number(label) for label in labels]
    except ValueError:
        raise ValueError(problem) from None
    if len(leading) > 3 or any(number > 0xFF for number in leading) or last >= 256 ** (4 - len(leading)):
        raise ValueError(problem)
    return str(ipaddress.IPv4Address(last + sum(number << 8 * (3 - place) for place, number in enumerate(leading))))


def _c_number(text: str) -> int:
    if not IPV4_NUMBER.fullmatch(text):
        raise ValueError(text)
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if len(text) > 1 and text.startswith("0") else int(text)


def _is_address(host: str) -> bool:
    return ":" in host or bool(IPV4_NUMBER.fullmatch(host.rpartition(".")[2]))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _rebuilt(scheme: str, host: str, port: int, path: str, query: str) -> str:
    shown_port = "" if port == DEFAULT_PORTS[scheme] else f":{port}"
    sent = quote(path or "/", safe=PATH_CHARACTERS)
    return f"{scheme}://{_bracketed(host)}{shown_port}{sent}{'?' + quote(query, safe=PATH_CHARACTERS + '?') if query else ''}"


def _trusted_entry(entry: str) -> str:
    host, _, port = entry.rpartition(":")
    try:
        normal = _normal_host(host, host.strip("[]"))
    except ValueError:
        normal = ""
    if not normal or not re.fullmatch(r"[1-9][0-9]{0,4}", port, re.ASCII):
        raise ConfigurationError(
            f"The trusted host {entry!r} is not of the form host:port.",
            hint="List exact entries in MEDIA_TRUSTED_HOSTS, for example 127.0.0.1:8080; wildcards are not taken.",
        )
    return f"{_bracketed(normal)}:{port}"


def _host_pattern(pattern: str) -> str:
    wildcard, name = ("*.", pattern[2:]) if pattern.startswith("*.") else ("", pattern)
    try:
        return wildcard + _normal_host(name, name)
    except ValueError:
        raise ConfigurationError(
            f"The delivery host {pattern!r} is neither a host name nor a pattern like '*.example.com'."
        ) from None
