"""Which object keys a storage accepts."""

from __future__ import annotations

from aifs_media._keys import MAX_KEY_BYTES
from aifs_media.errors import StorageError


def check_object_key(object_key: str, *, prefix: str = "") -> str:
    """Return the object key below the prefix.

    Raises:
        StorageError: the key is empty, absolute, too long, or has empty, dotted or unprintable segments. Such keys would leave a
            local folder, and browsers resolve `..` in a URL before they ask for it.
    """
    key = f"{prefix}/{object_key}" if prefix else object_key
    reason = _fault(object_key) or (
        f"it is longer than {MAX_KEY_BYTES} bytes" if len(key.encode(errors="replace")) > MAX_KEY_BYTES else ""
    )
    if reason:
        raise StorageError(
            f"{object_key!r} cannot be an object key: {reason}.",
            hint="Use a relative key of plain segments with '/' between them, such as 'images/2026/picture.png'.",
        )
    return key


def _fault(object_key: str) -> str:
    if not object_key.isprintable():
        return "it has characters that cannot be printed"
    if "\\" in object_key:
        return "it has a backslash, which some systems take for a separator"
    if any(segment in {"", ".", ".."} for segment in object_key.split("/")):
        return "it has an empty segment, '.' or '..'"
    return ""
