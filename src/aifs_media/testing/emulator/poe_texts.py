"""What the emulated text bots say: sentences made of the words of the prompt, or JSON when the prompt asks for it."""

from __future__ import annotations

import json
import re

_WORD = re.compile(r"[^\W\d_][\w'-]*")
_COUNT = re.compile(r"(\d+)\s+(?:\w+\s+)?hashtags?", re.IGNORECASE)
_QUOTED_NAME = re.compile(r'["\'`](\w+)["\'`]')
_KNOWN_KEYS = ("text", "hashtags", "hook", "body", "outro")
_MOST_TOPIC_WORDS = 12
_SHORTEST_TAG = 4
_USUAL_TAGS = 5
# Words of the order itself, which say nothing about its subject.
_ORDER_WORDS = frozenset(
    {"about", "an", "and", "are", "audience", "answer", "as", "at", "be", "body", "by", "caption", "captions", "for"}
    | {"from", "hashtag", "hashtags", "hook", "in", "into", "is", "it", "json", "key", "keys", "of", "on", "only", "or"}
    | {"outro", "platform", "please", "post", "prompt", "return", "script", "short", "social", "style", "text", "that"}
    | {"the", "this", "to", "tone", "topic", "video", "with", "write", "you", "your"}
)


def compose_text(request: str, topic: str) -> str:
    """Answer a prompt.

    Args:
        request: Everything the bot was told, system messages included.
        topic: The last thing the user said.

    Returns:
        Plain text, or a JSON object with the keys the request names if it contains the word JSON.
    """
    subject = _subject(topic)
    if "json" not in request.lower():
        return (
            f"Emulated answer. {subject[:1].upper()}{subject[1:]}: seen up close, in soft light, with room to breathe."
        )
    quoted = set(_QUOTED_NAME.findall(request))
    keys = [key for key in _KNOWN_KEYS if key in quoted] or [key for key in _KNOWN_KEYS if key in _words(request)]
    return json.dumps({key: _value(key, subject, request) for key in keys or ["text"]}, ensure_ascii=False)


def _value(key: str, subject: str, request: str) -> object:
    match key:
        case "hashtags":
            tags = [word for word in dict.fromkeys(_words(subject)) if len(word) >= _SHORTEST_TAG]
            count = _COUNT.search(request)
            wanted = int(count[1]) if count else _USUAL_TAGS
            tags += [f"emulated{number}" for number in range(1, wanted + 1)]
            return [f"#{tag}" for tag in tags[:wanted]]
        case "hook":
            return f"What if {subject} could speak?"
        case "body":
            return f"Here is the story of {subject}, told in one breath and three pictures."
        case "outro":
            return f"Stay for more of {subject}."
        case _:
            return f"Emulated caption: {subject}, and nothing else matters."


def _subject(topic: str) -> str:
    chosen = [word for word in _WORD.findall(topic) if word.lower() not in _ORDER_WORDS]
    return " ".join(chosen[:_MOST_TOPIC_WORDS]) or "a quiet moment"


def _words(text: str) -> list[str]:
    return [word.lower() for word in _WORD.findall(text)]
