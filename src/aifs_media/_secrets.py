"""API keys that cannot leak by accident, and text without them."""

from __future__ import annotations

import re
from typing import NoReturn
from urllib.parse import urlsplit, urlunsplit

_QUERY = re.compile(r"(https?://[^\s\"'<>?#]+)[?#][^\s\"'<>]*")


class Secret:
    """A key or password: shows itself only to `reveal()`, and cannot be pickled."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the secret itself."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)

    def __repr__(self) -> str:
        return "Secret('***')" if self._value else "Secret('')"

    def __reduce__(self) -> NoReturn:
        message = "A secret cannot be pickled. Build the object again from its settings where it is needed."
        raise TypeError(message)


def without_query(url: str) -> str:
    """Return the URL without user, query and fragment, which may sign or authorise."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def redact(text: str, *secrets: Secret) -> str:
    """Return text from outside without the given secrets, without queries of URLs and without control characters."""
    for secret in secrets:
        if secret:
            text = text.replace(secret.reveal(), "***")
    text = _QUERY.sub(r"\1", text)
    return "".join(character for character in text if character.isprintable() or character in "\n ")
