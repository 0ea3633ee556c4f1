"""Captions, scripts and better prompts: what a text model is asked, and how its answer is read. Pure.

Models are asked for JSON and answer much else: fences and prose around it, JSON that breaks off or has single quotes, plain
sections with headings. All of that is read. What still says nothing raises; there are no texts of our own to fall back on.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, cast

from aifs_media._secrets import redact
from aifs_media._values import as_count, as_kind, as_prompt, as_seconds
from aifs_media.errors import UnexpectedResponseError
from aifs_media.records import Caption, Script

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue

    from aifs_media.records import Kind

EXCERPT = 200
LONGEST_TO_MEND = 8000
"""Characters: a script of five minutes, and a second of work."""

SECTIONS = ("hook", "body", "outro")

_HASHTAG = re.compile(r"#[^\s#.,;:!?'\"()\[\]{}]+")
_LAST_HASHTAGS = re.compile(r"(?:[\s,·|]*#[^\s#]+)+\s*$")
_FENCED = re.compile(r"```[\w-]*[ \t]*\n(.*?)(?:\n[ \t]*```|\Z)", re.DOTALL)
_DECORATION = r"[ \t>*_#\-\d.)]*"
_CAPTION_HEADING = re.compile(rf"^{_DECORATION}(?:caption|text)[*_ \t]*:[*_ \t]*", re.IGNORECASE | re.MULTILINE)
_HASHTAGS_HEADING = re.compile(
    rf"^{_DECORATION}hashtags?[*_ \t]*(?::[*_ \t]*|$)|(?<=\s)\**hashtags?[*_ \t]*:[*_ \t]*",
    re.IGNORECASE | re.MULTILINE,
)
_SECTION_LINE = re.compile(
    rf"^{_DECORATION}(hook|body|outro)\b[ \t]*(?:[(\[][^)\]\n]*[)\]])?[*_ \t]*(?:[:\u2014\u2013-][*_ \t]*|$)",
    re.IGNORECASE | re.MULTILINE,
)
_SECTION_INLINE = re.compile(r"\b(hook|body|outro)[ \t]*(?:\([^)\n]*\))?[*_]*:[*_ \t]*", re.IGNORECASE)
_PROMPT_HEADING = re.compile(
    rf"^{_DECORATION}(?:(?:improved|better|rewritten|final) )?prompt[*_ \t]*:[*_ \t]*", re.IGNORECASE
)
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "«": "»", "`": "`", "**": "**"}


# -- captions ----------------------------------------------------------------------------------------------------------


def caption_prompt(
    topic: str, *, audience: str = "", tone: str = "", style: str = "", platform: str = "", hashtag_count: int = 5
) -> str:
    """Return what a text model is asked for a caption. Raises RequestRejectedError."""
    topic = as_prompt(topic, name="topic", made="written about")
    hashtag_count = as_count("hashtag_count", hashtag_count, least=0)
    where = f"a post on {platform}" if platform else "a social media post"
    if hashtag_count == 0:
        wanted = 'an empty list "hashtags"'
    else:
        wanted = f'a list "hashtags" of exactly {hashtag_count} hashtag{"s" if hashtag_count > 1 else ""}'
    return _joined(
        f"Write the caption of {where} about this topic: {topic}",
        *_wishes(audience=audience, tone=tone, style=style),
        f'Answer with one JSON object and nothing else. It has "text", the caption without any hashtag, and {wanted}.',
    )


def parse_caption(text: str, *, hashtag_count: int = 5) -> Caption:
    """Read a caption from a model's answer. More hashtags than asked for are left out; fewer are taken as they are.

    Raises:
        UnexpectedResponseError: there is no caption in it, or no hashtag where some were asked for.
    """
    for found in _json_objects(text):
        words = _member(found, "text", "caption")
        if isinstance(words, str) and words.strip():
            return _caption(words, _hashtags(_member(found, "hashtags", "tags")), hashtag_count, text)
    # What looks like JSON and holds no caption is no caption either.
    plain = "" if _looks_like_json(text) else _without_fence(text)
    headings = list(_HASHTAGS_HEADING.finditer(plain))
    words, tags = plain, list[str]()
    if headings:
        words, tags = plain[: headings[-1].start()], _hashtags(plain[headings[-1].end() :].strip())
    heading = _CAPTION_HEADING.search(words)
    return _caption(words[heading.end() :] if heading else words, tags, hashtag_count, text)


def _caption(words: str, tags: list[str], hashtag_count: int, answer: str) -> Caption:
    """Build the caption; hashtags at the end of the text move to the others, and those within it become plain words."""
    words = words.strip()
    last = _LAST_HASHTAGS.search(words)
    if last is not None and last.start() > 0:
        tags = [*tags, *_HASHTAG.findall(last[0])]
        words = words[: last.start()]
    tags = tags or _HASHTAG.findall(words)
    words = _unquoted(_HASHTAG.sub(lambda match: match[0][1:], words).strip())
    unique = tuple({tag.lower(): tag for tag in reversed(tags)}.values())[::-1][: max(hashtag_count, 0)]
    if not words or (hashtag_count > 0 and not unique):
        raise _unreadable("a caption with hashtags" if hashtag_count > 0 else "a caption", answer)
    return Caption(text=words, hashtags=unique)


def _hashtags(value: JsonValue) -> list[str]:
    """Read hashtags from a list or a text, with or without their sign."""
    if isinstance(value, str):
        separator = r"[\s,;]*#|[\s,;]+$" if "#" in value else r"[,;\n]" if re.search(r"[,;\n]", value) else r"\s+"
        value = cast("list[JsonValue]", re.split(separator, value))
    if not isinstance(value, list):
        return []
    words = ("".join(re.findall(r"[^\W_]+|_", one)) for one in value if isinstance(one, str))
    return [f"#{word}" for word in words if word]


# -- scripts -----------------------------------------------------------------------------------------------------------


def script_prompt(
    topic: str,
    *,
    audience: str = "",
    tone: str = "",
    style: str = "",
    platform: str = "",
    duration: float | None = None,
) -> str:
    """Return what a text model is asked for a video script. `duration` is in seconds. Raises RequestRejectedError."""
    topic = as_prompt(topic, name="topic", made="written about")
    duration = duration if duration is None else as_seconds("duration", duration)
    where = f" for {platform}" if platform else ""
    length = f" of {duration:g} seconds" if duration is not None else ""
    return _joined(
        f"Write the script of a short video{length}{where} about this topic: {topic}",
        *_wishes(audience=audience, tone=tone, style=style),
        'Answer with one JSON object and nothing else. It has three texts: "hook", the first words, which win attention; '
        '"body", what is told and shown; and "outro", how it ends.',
    )


def parse_script(text: str) -> Script:
    """Read a script from a model's answer.

    Raises:
        UnexpectedResponseError: hook, body or outro is missing.
    """
    for found in _json_objects(text):
        nested = _member(found, "script")
        for one in (found, nested):
            if isinstance(one, dict) and (script := _script({name: _lines(_member(one, name)) for name in SECTIONS})):
                return script
    plain = "" if _looks_like_json(text) else _without_fence(text)
    for heading in (_SECTION_LINE, _SECTION_INLINE):
        if script := _script(_sections(plain, heading)):
            return script
    raise _unreadable("a script with hook, body and outro", text)


def _script(sections: Mapping[str, str]) -> Script | None:
    hook, body, outro = (sections.get(name, "").strip() for name in SECTIONS)
    return Script(hook=hook, body=body, outro=outro) if hook and body and outro else None


def _sections(text: str, heading: re.Pattern[str]) -> dict[str, str]:
    matches = list(heading.finditer(text))
    ends = [match.start() for match in matches[1:]] + [len(text)]
    return {
        match[1].lower(): _unquoted(text[match.end() : end].strip()) for match, end in zip(matches, ends, strict=False)
    }


def _lines(value: JsonValue) -> str:
    """Return a text, or a list of texts as lines."""
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return "\n".join(cast("list[str]", value))
    return value if isinstance(value, str) else ""


# -- prompts -----------------------------------------------------------------------------------------------------------


def improve_prompt_prompt(prompt: str, *, kind: Kind = "image", style: str = "") -> str:
    """Return what a text model is asked for a better prompt. Raises RequestRejectedError."""
    prompt, kind = as_prompt(prompt), as_kind(kind)
    seen = "subject, composition, light, colours and mood"
    shown = seen if kind == "image" else f"{seen}, movement and camera"
    return _joined(
        f"Rewrite this prompt for a model that makes {'an image' if kind == 'image' else 'a video'}. Keep what it asks for, "
        f"and say in one paragraph what there is to see: {shown}.",
        *_wishes(style=style),
        "Answer with the new prompt and nothing else.",
        f"The prompt: {prompt}",
    )


def parse_prompt(text: str) -> str:
    """Read a prompt from a model's answer.

    Raises:
        UnexpectedResponseError: there is none in it.
    """
    for found in _json_objects(text):
        words = _member(found, "prompt", "text")
        if isinstance(words, str) and words.strip():
            return words.strip()
    plain = "" if _looks_like_json(text) else _without_fence(text).strip()
    first, _, rest = plain.partition("\n")
    if first.rstrip(" *_").endswith(":") and rest.strip():
        plain = rest.strip()
    words = _unquoted(_PROMPT_HEADING.sub("", plain).strip())
    if not words:
        raise _unreadable("a prompt", text)
    return words


# -- reading -----------------------------------------------------------------------------------------------------------


def _json_objects(text: str) -> Iterator[dict[str, JsonValue]]:
    """Yield the JSON objects in a text: whole ones wherever they stand, then what broken ones can be mended to."""
    decoder = json.JSONDecoder(strict=False)
    place = text.find("{")
    while place >= 0:
        try:
            value, end = cast("tuple[JsonValue, int]", decoder.raw_decode(text, place))
        except (ValueError, RecursionError):
            end = place + 1
        else:
            if isinstance(value, dict):
                yield value
        place = text.find("{", end)
    if "{" not in text:
        return
    for broken in (*_FENCED.findall(text), text[text.index("{") :]):
        mended = _mended(broken)
        for value in mended if isinstance(mended, list) else [mended]:
            if isinstance(value, dict):
                yield value


def _mended(broken: str) -> JsonValue:
    """Return what broken JSON can be mended to, or None."""
    # Loaded for broken answers only: it costs as much as our own start.
    import json_repair

    # Mending takes time by the square of the length.
    if len(broken) > LONGEST_TO_MEND:
        return None
    try:
        return cast("JsonValue", json_repair.loads(broken))
    except (ValueError, RecursionError):
        return None


def _looks_like_json(text: str) -> bool:
    return _without_fence(text).lstrip().startswith(("{", "["))


def _member(found: Mapping[str, JsonValue], *names: str) -> JsonValue:
    lowered = {name.strip().lower(): value for name, value in found.items()}
    return next((lowered[name] for name in names if lowered.get(name) is not None), None)


def _without_fence(text: str) -> str:
    fenced = _FENCED.search(text)
    return fenced[1] if fenced else text


def _unquoted(text: str) -> str:
    """Return a text without the quotes or asterisks around all of it."""
    for opening, closing in _QUOTES.items():
        inner = text[len(opening) : -len(closing)]
        if text.startswith(opening) and text.endswith(closing) and inner and opening not in inner:
            return inner.strip()
    return text


def _wishes(**wishes: str) -> list[str]:
    return [f"{name.capitalize()}: {wish}." for name, wish in wishes.items() if wish]


def _joined(*lines: str) -> str:
    return "\n".join(lines)


def _unreadable(wanted: str, answer: str) -> UnexpectedResponseError:
    words = " ".join(redact(answer).split())
    said = f"it begins {words[:EXCERPT]!r}" if words else "it is empty"
    return UnexpectedResponseError(
        f"The model's answer is not {wanted}: {said}.",
        hint="Try again, or name another text model.",
        maybe_billed=True,
    )
