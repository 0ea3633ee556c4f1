"""API keys that cannot leak by accident, and text without them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote, urlsplit, urlunsplit

if TYPE_CHECKING:
    from pydantic import JsonValue

# In JSON the slashes of a URL may be escaped.
_USER = re.compile(r"\b([a-z][a-z0-9+.-]*:(?:\\?/){2})[^\s/\\?#\"'<>]*@", re.IGNORECASE)
_QUERY = re.compile(r"\b(https?:(?:\\?/){2}[^\s\"'<>?#]+)[?#][^\s\"'<>]*", re.IGNORECASE)
_PAIR = re.compile(r"([?&](?:amp;)?[\w.\[\]-]+=)[^\s&\"'<>]+")


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
    """Return the URL without user, query and fragment, which may sign or authorise; of one that makes no sense, nothing."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def redact(text: str, *secrets: Secret) -> str:
    """Return text from outside without the given secrets, users and queries of URLs, and control characters."""
    # First, since a character that is not shown could stand inside what is looked for.
    text = "".join(character for character in text if character.isprintable() or character in "\n ")
    for secret in secrets:
        if secret:
            for form in {secret.reveal(), quote(secret.reveal(), safe="")}:
                text = text.replace(form, "***")
    return _PAIR.sub(r"\1***", _QUERY.sub(r"\1", _USER.sub(r"\1", text)))


def shown(value: JsonValue) -> JsonValue:
    """Return what a `repr` may show of JSON that may hold signed URLs: the same, with each text in it redacted."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {name: shown(one) for name, one in value.items()}
    return [shown(one) for one in value] if isinstance(value, list) else value
