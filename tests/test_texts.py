"""Captions, scripts and prompts are read from whatever a text model makes of the question, or the answer is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aifs_media._texts import (
    caption_prompt,
    improve_prompt_prompt,
    parse_caption,
    parse_prompt,
    parse_script,
    script_prompt,
)
from aifs_media.errors import UnexpectedResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

CAPTION = {"text": "Morning light over the hills.", "hashtags": ["#sunrise", "#hills"]}
SCRIPT = {"hook": "Stop scrolling.", "body": "This is how bread rises.", "outro": "Bake it tonight."}


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_caption_prompt_says_everything() -> None:
    """Topic, audience, tone, style, platform and count are all in the question."""
    prompt = caption_prompt(
        "bread", audience="bakers", tone="warm", style="short sentences", platform="Instagram", hashtag_count=3
    )
    for part in (
        "bread",
        "bakers",
        "warm",
        "short sentences",
        "Instagram",
        "exactly 3 hashtags",
        '"text"',
        '"hashtags"',
        "JSON",
    ):
        assert part in prompt


def test_caption_prompt_leaves_out_what_is_not_wished() -> None:
    """Nothing empty is asked for."""
    assert "Audience" not in caption_prompt("bread")
    assert "exactly 1 hashtag." in caption_prompt("bread", hashtag_count=1)


def test_script_prompt_says_everything() -> None:
    """Duration and platform are in the question, and the three parts by name."""
    prompt = script_prompt("bread", audience="bakers", tone="dry", style="noir", platform="TikTok", duration=15)
    for part in ("bread", "bakers", "dry", "noir", "TikTok", "15 seconds", '"hook"', '"body"', '"outro"', "JSON"):
        assert part in prompt


def test_improve_prompt_prompt_knows_the_kind() -> None:
    """A video's prompt is asked for movement; an image's is not."""
    assert "camera" in improve_prompt_prompt("a cat", kind="video")
    assert "camera" not in improve_prompt_prompt("a cat", kind="image", style="noir")
    assert "noir" in improve_prompt_prompt("a cat", kind="image", style="noir")


# -- captions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(CAPTION),
        f"```json\n{json.dumps(CAPTION, indent=2)}\n```",
        f"Sure {{here}} you go!\n\n{json.dumps(CAPTION)}\n\nAnything else?",
        f"Here it is:\n```\n{json.dumps(CAPTION)}\n```\nEnjoy!",
        json.dumps([CAPTION]),
        '{"text": "Morning light over the hills.", "hashtags": ["#sunrise", "#hills",],}',
        "{'text': 'Morning light over the hills.', 'hashtags': ['#sunrise', '#hills']}",
        '{"text": "Morning light over the hills.", "hashtags": ["#sunrise", "#hills"',
        '```json\n{"text": "Morning light over the hills.", "hashtags": ["#sunrise", "#hills"',
        '{text: "Morning light over the hills.", hashtags: ["sunrise", "hills"]}',
        '{"Caption": "Morning light over the hills.", "Hashtags": "#sunrise #hills"}',
        '{"text": "Morning light over the hills.", "hashtags": "sunrise, hills"}',
        '{"text": "Morning light over the hills.", "hashtags": "sunrise hills"}',
        '{"text": "Morning light over the hills.", "hashtags": "#sunrise, #hills,"}',
        '{"text": "Morning light over the hills. #sunrise #hills", "hashtags": []}',
        '{"text": "Morning light over the hills. #sunrise #hills"}',
        "Morning light over the hills. #sunrise #hills",
        "Morning light over the hills.\n\n#sunrise\n#hills",
        "Caption: Morning light over the hills.\nHashtags: #sunrise #hills",
        "**Caption:** Morning light over the hills.\n\n**Hashtags:** sunrise, hills",
        '**Caption:**\n"Morning light over the hills."\n\n**Hashtags:**\n#sunrise #hills',
        "Caption: Morning light over the hills.\n\nHashtags:\n- #sunrise\n- #hills",
    ],
)
def test_caption_in_every_form(text: str) -> None:
    """JSON whole, fenced, in prose or broken, and plain text, all say the same caption."""
    caption = parse_caption(text, hashtag_count=2)
    assert caption.text == CAPTION["text"]
    assert list(caption.hashtags) == CAPTION["hashtags"]


def test_caption_hashtags_are_made_whole() -> None:
    """Spaces go, repetitions go, and no more stay than were asked for."""
    answer = json.dumps({"text": "So it is.", "hashtags": ["golden hour", "#GoldenHour", " #sky ", "", "a-b", "sea"]})
    assert parse_caption(answer, hashtag_count=3).hashtags == ("#goldenhour", "#sky", "#ab")


def test_caption_hashtags_within_a_sentence_become_words() -> None:
    """The text has no hashtags, and its sentence stays whole."""
    caption = parse_caption(json.dumps({"text": "I love #sunset walks.", "hashtags": ["#walk"]}))
    assert caption.text == "I love sunset walks."
    assert caption.hashtags == ("#walk",)


def test_caption_without_hashtags_where_none_were_asked() -> None:
    """Zero hashtags are a wish like any other."""
    assert parse_caption('{"text": "Plain.", "hashtags": []}', hashtag_count=0).hashtags == ()


def test_caption_other_scripts() -> None:
    """Hashtags are words of any language."""
    caption = parse_caption('{"text": "夜明け", "hashtags": ["#朝", "сол_нце"]}')
    assert caption.hashtags == ("#朝", "#сол_нце")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "{}",
        "[]",
        "null",
        "{",
        '{"text": ""}',
        '{"error": "no"}',
        '{"text": "No tags here."}',
        "I cannot help with that.",
    ],
)
def test_caption_that_is_none_raises(text: str) -> None:
    """An answer without caption or hashtags is refused, with its beginning."""
    with pytest.raises(UnexpectedResponseError) as caught:
        parse_caption(text)
    assert caught.value.hint
    if text.strip():
        assert text.strip()[:10] in str(caught.value)


# -- scripts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(SCRIPT),
        f"```json\n{json.dumps(SCRIPT)}\n```",
        f"Of course.\n{json.dumps({'script': SCRIPT})}",
        json.dumps({**SCRIPT, "body": ["This is how", "bread rises."]})
        .replace('how", "bread', "how bread")
        .replace('["', '"')
        .replace('"]', '"'),
        "{'hook': 'Stop scrolling.', 'body': 'This is how bread rises.', 'outro': 'Bake it tonight.',}",
        '{"hook": "Stop scrolling.", "body": "This is how bread rises.", "outro": "Bake it tonight."',
        "Hook: Stop scrolling.\nBody: This is how bread rises.\nOutro: Bake it tonight.",
        "Hook: Stop scrolling. Body: This is how bread rises. Outro: Bake it tonight.",
        "**Hook:** Stop scrolling.\n\n**Body:** This is how bread rises.\n\n**Outro:** Bake it tonight.",
        "## Hook\nStop scrolling.\n\n## Body\nThis is how bread rises.\n\n## Outro\nBake it tonight.",
        "Hook (0-3s): Stop scrolling.\nBody (3-12s): This is how bread rises.\nOutro (12-15s): Bake it tonight.",
        "Here is your script!\n\n1. HOOK - Stop scrolling.\n2. BODY - This is how bread rises.\n3. OUTRO - Bake it tonight.",
        '```\nHook: "Stop scrolling."\nBody: "This is how bread rises."\nOutro: "Bake it tonight."\n```',
    ],
)
def test_script_in_every_form(text: str) -> None:
    """JSON whole, fenced, nested or broken, and sections with headings, all say the same script."""
    assert parse_script(text).model_dump() == SCRIPT


def test_script_body_as_a_list() -> None:
    """A list of lines is a text."""
    assert parse_script(json.dumps({**SCRIPT, "body": ["One.", "Two."]})).body == "One.\nTwo."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Once upon a time.",
        '{"hook": "a", "body": "b"}',
        '{"hook": "a", "body": {"x": 1}, "outro": "c"}',
        "Hook: a\nBody: b\nOutro:",
    ],
)
def test_script_that_is_none_raises(text: str) -> None:
    """A script lacks none of its three parts."""
    with pytest.raises(UnexpectedResponseError, match="hook, body and outro"):
        parse_script(text)


# -- prompts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "A cat asleep in amber light.",
        '"A cat asleep in amber light."',
        "“A cat asleep in amber light.”",
        "**Improved prompt:** A cat asleep in amber light.",
        "Prompt: A cat asleep in amber light.",
        "Here is an improved prompt:\n\nA cat asleep in amber light.",
        "```\nA cat asleep in amber light.\n```",
        "Sure!\n\n```text\nA cat asleep in amber light.\n```\n\nEnjoy.",
        '{"prompt": "A cat asleep in amber light."}',
    ],
)
def test_prompt_in_every_form(text: str) -> None:
    """Headings, quotes and fences around a prompt are not the prompt."""
    assert parse_prompt(text) == "A cat asleep in amber light."


@pytest.mark.parametrize("text", ["", " \n ", "{}", '{"prompt": ""}'])
def test_prompt_that_is_none_raises(text: str) -> None:
    """Nothing is no prompt."""
    with pytest.raises(UnexpectedResponseError, match="not a prompt"):
        parse_prompt(text)


# -- any text ----------------------------------------------------------------------------------------------------------


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=60) | st.text(alphabet='{}[]",:#\\ `ab\n', max_size=40))
def test_any_answer_is_read_or_refused(text: str) -> None:
    """No answer ends in anything but a result or the one error."""
    for parse in (parse_caption, parse_script, parse_prompt):
        try:
            parse(text)
        except UnexpectedResponseError as error:
            assert error.hint


@given(hook=st.text(min_size=1).filter(str.strip), body=st.text(min_size=1).filter(str.strip))
def test_json_scripts_come_through_whole(hook: str, body: str) -> None:
    """What stands in JSON is taken as it is, whatever its characters."""
    script = parse_script("Here:\n" + json.dumps({"hook": hook, "body": body, "outro": "End."}))
    assert (script.hook, script.body) == (hook.strip(), body.strip())


@pytest.mark.parametrize(
    "answer",
    [
        '{"a":' * 1500,
        "{" * 3000,
        '{"text":"' + "9" * 5000 + '","hashtags":' + "[1" * 2000 + "}",
        "{" + "9" * 5000,
        '```json\n{"text": ' + "[" * 5000,
        '{"' * 50_000,
    ],
    ids=["objects", "braces", "caption", "number", "fence", "long"],
)
@pytest.mark.parametrize("parse", [parse_caption, parse_script, parse_prompt])
def test_what_cannot_be_mended_is_refused(parse: Callable[[str], object], answer: str) -> None:
    """Too deep or too long to be mended; and the model was paid for it."""
    with pytest.raises(UnexpectedResponseError, match=r"begins '[`{]") as refused:
        parse(answer)
    assert refused.value.maybe_billed
    assert not refused.value.retryable
