"""The media in the text that a Poe bot answers. Pure.

Poe's bots answer media as text. Recorded forms: a video bot's whole answer is one bare URL; an image bot writes a markdown
image whose alternative text repeats the prompt, and below it the same URL again. Accepted as well, since Poe's own client
accepts them: a markdown link, and JSON with `url` or `data` and `mimeType`. Links carry no file extension.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs, urlsplit

from aifs_media.providers._reading import link, moment
from aifs_media.toolkit import InlineFile, JsonValue, Output, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

_URL_CHARACTER = r"[^\s<>()\[\]{}\"'`|\\^]"
_URL = re.compile(rf"https?://{_URL_CHARACTER}+", re.IGNORECASE)
_WHOLE_LINE = re.compile(rf"^[ \t]*<?(https?://{_URL_CHARACTER}+?)>?[ \t\r]*$", re.IGNORECASE | re.MULTILINE)
_TARGET = re.compile(rf"\]\([ \t]*<?(https?://{_URL_CHARACTER}+?)>?(?:[ \t]+\"[^\"\n]*\")?[ \t]*\)", re.IGNORECASE)
_FENCE = re.compile(r"^```\w*\s*\n(.*)\n\s*```$", re.DOTALL)
_AFTER_A_URL = ".,;:!?*_~…"


def find_media(content: str, *, prompt: str) -> tuple[Output, ...]:
    """Return the media that a bot's text holds, each once, in order; empty where there is none.

    URLs of the prompt never count, wherever the bot repeats them.
    """
    objects = list(_json_objects(content))
    if objects:
        found = [output for one in objects if (output := _from_json(one, prompt)) is not None]
        return tuple(dict.fromkeys(found))
    return tuple(_remote(url) for url in dict.fromkeys(_urls(content, prompt)) if link(url))


def _urls(content: str, prompt: str) -> list[str]:
    images, links = _targets(content, prompt)
    lines = [(match.start(1), match[1]) for match in _WHOLE_LINE.finditer(content) if not _repeats(match[1], prompt)]
    if media := sorted(lines + images):
        return [url for _, url in media]
    if links:
        return links
    loose = (match[0].rstrip(_AFTER_A_URL) for match in _URL.finditer(content))
    return [url for url in loose if not _repeats(url, prompt)]


def _targets(content: str, prompt: str) -> tuple[list[tuple[int, str]], list[str]]:
    """Return the targets of markdown images, with their places, and those of markdown links.

    Only where a target ends is certain: the alternative text may hold brackets and whole targets of its own. So an image is
    whatever has an image's opening mark anywhere between the target before and its own.
    """
    images: list[tuple[int, str]] = []
    links: list[str] = []
    end = 0
    for match in _TARGET.finditer(content):
        if _repeats(match[1], prompt):
            continue
        if "![" in content[end : match.start()]:
            images.append((match.start(1), match[1]))
        else:
            links.append(match[1])
        end = match.end()
    return images, links


def _repeats(url: str, prompt: str) -> bool:
    """Say whether a URL is one of the prompt's, with or without something that the bot glued to it, such as `.png`."""
    if url in prompt:
        return True
    asked = (match[0].rstrip(_AFTER_A_URL) for match in _URL.finditer(prompt))
    return any(url.startswith(one) and "/" not in url[len(one) :] for one in asked)


def _remote(url: str, media_type: str = "") -> RemoteFile:
    return RemoteFile(url=url, media_type=media_type, expires_at=_signed_until(url))


def _signed_until(url: str) -> datetime | None:
    """Read the end of a signed link of Azure's blob storage, which DALL-E's are (recorded: one hour)."""
    named = parse_qs(urlsplit(url).query).get("se", [])
    return next((end for value in named if (end := moment(value)) is not None), None)


# -- JSON --------------------------------------------------------------------------------------------------------------


def _json_objects(content: str) -> Iterator[dict[str, JsonValue]]:
    text = content.strip()
    if fenced := _FENCE.match(text):
        text = fenced[1].strip()
    if not text.startswith(("{", "[")):
        return
    try:
        value = cast("JsonValue", json.loads(text))
    except (ValueError, RecursionError):
        return
    values: Iterable[JsonValue] = value if isinstance(value, list) else [value]
    for one in values:
        if isinstance(one, dict) and ({"url", "data"} & one.keys()):
            yield one


def _from_json(one: dict[str, JsonValue], prompt: str) -> Output | None:
    stated = one.get("mimeType")
    media_type = stated if isinstance(stated, str) else ""
    url, data = one.get("url"), one.get("data")
    if isinstance(url, str) and _URL.fullmatch(url) and link(url):
        return None if _repeats(url, prompt) else _remote(url, media_type)
    for text in (data, url):
        if isinstance(text, str) and text and (inline := _inline(text, media_type)) is not None:
            return inline
    return None


def _inline(text: str, media_type: str) -> InlineFile | None:
    """Read base64, bare or in a data URI."""
    if text.startswith("data:"):
        head, _, text = text[5:].partition(",")
        media_type = media_type or head.partition(";")[0]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return InlineFile(data=data, media_type=media_type) if data else None
