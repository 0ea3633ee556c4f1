"""What a Poe bot's text holds: every recorded form, the composed ones, and never a URL of the prompt."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aifs_media.providers._poe_content import find_media
from aifs_media.records import InlineFile, RemoteFile

FIXTURES = Path(__file__).parents[1] / "fixtures" / "poe"
LINK = "https://pfst.cf2.poecdn.net/base/image/" + "a1" * 32 + "?w=1024&h=1024"
OTHER = "https://pfst.cf2.poecdn.net/base/image/" + "b2" * 32 + "?w=1024&h=1024"
VIDEO = "https://pfst.cf2.poecdn.net/base/video/" + "c3" * 32
FAMILIES = {
    "gpt-image": lambda prompt, url: f"![{prompt}.png]({url})\n\n{url}",
    "imagen": lambda prompt, url: f"![{prompt}_image_1]({url})\n\n\n{url}",
    "dall-e": lambda prompt, url: f"![{prompt}]({url})\n\n{url}",
    "markdown only": lambda prompt, url: f"![{prompt}]({url})",
    "video": lambda _prompt, url: url,
    "after an echo": lambda prompt, url: f"You asked for: {prompt}\n\n{url}",
    "link": lambda prompt, url: f"[{prompt}]({url})",
}


def urls(content: str, prompt: str = "a prompt") -> list[str]:
    return [output.url for output in find_media(content, prompt=prompt) if isinstance(output, RemoteFile)]


def recorded(name: str) -> tuple[str, str]:
    record = json.loads((FIXTURES / name).read_text("utf-8"))
    prompt = record["request"]["body"]["messages"][0]["content"]
    return prompt, record["response"]["body"]["choices"][0]["message"]["content"]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("image-gpt-image-1.json", "https://pfst.cf2.poecdn.net/base/image/f8042b"),
        ("image-imagen-4.json", "https://pfst.cf2.poecdn.net/base/image/3c7167"),
        ("video-veo-3.1.json", "https://pfst.cf2.poecdn.net/base/video/97f33b"),
    ],
)
def test_recorded_media(name: str, start: str) -> None:
    """Each recorded answer holds one file, though an image's URL stands there twice."""
    prompt, content = recorded(name)
    (url,) = urls(content, prompt)
    assert url.startswith(start)
    assert content.endswith(url)


def test_recorded_text_holds_nothing() -> None:
    """A bot that only talks makes no media."""
    prompt, content = recorded("image-bot-answers-text-nano-banana.json")
    assert urls(content, prompt) == []


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "prompt",
    [
        "a cat",
        "a [cat] (grey) ] and ) more ](",
        "like https://example.com/cat.png please",
        "https://example.com/cat",
        "![x](https://example.com/a.png)",
        "![x](https://example.com/a.png",
        "[x](https://example.com/a) and ](https://example.com/b)",
        "two lines\nhttps://example.com/line\nand more",
        "two lines\nhttps://example.com/line",
        "https://example.com/line\nfirst",
        "see <https://example.com/x>, or (https://example.com/y).",
        '{"url": "https://example.com/z"}',
    ],
)
def test_prompt_is_not_the_answer(family: str, prompt: str) -> None:
    """Whatever the prompt holds, the media are found and the prompt's URLs are not."""
    assert urls(FAMILIES[family](prompt, LINK), prompt) == [LINK]


@pytest.mark.parametrize(
    "content",
    [
        "I cannot open https://example.com/cat.png.",
        "![https://example.com/cat.png.png](nothing)",
        "You said:\nhttps://example.com/cat.png\nIs that right?",
        "https://example.com/cat.png_image_1",
        "![make https://example.com/ca… ](nothing)\n\nhttps://example.com/ca",
        "See [it](https://example.com/cat.png) or <https://example.com/cat.png>!",
        json.dumps({"url": "https://example.com/cat.png", "mimeType": "image/png"}),
    ],
)
def test_repeated_prompt_is_no_media(content: str) -> None:
    """A bot that only repeats the prompt's URL, even with something glued to it, made nothing."""
    assert urls(content, "make https://example.com/cat.png better") == []


def test_several_images() -> None:
    """Each image counts once, in the order of the text, however they follow one another."""
    pairs = f"![p_image_1]({LINK})\n\n\n{LINK}\n\n![p_image_2]({OTHER})\n\n\n{OTHER}"
    assert urls(pairs) == [LINK, OTHER]
    assert urls(f"![p]({LINK})\n![p]({OTHER})") == [LINK, OTHER]
    assert urls(f"![p]({LINK}) ![p]({OTHER})\n\n{OTHER}") == [LINK, OTHER]
    assert urls(f"{LINK}\n{OTHER}\n") == [LINK, OTHER]


def test_links_in_prose() -> None:
    """A plain link counts where there is nothing better, without the sentence's punctuation."""
    assert urls(f"Here is your video: {VIDEO}.") == [VIDEO]
    assert urls(f"[video]({VIDEO})") == [VIDEO]
    assert urls(f"[terms](https://example.com/terms)\n\n{VIDEO}") == [VIDEO]
    assert urls(f'**Thinking**\n\nAbout light.\n\n![x](<{LINK}> "title")\nEnjoy!') == [LINK]
    assert urls(f"  <{VIDEO}>  \r\n") == [VIDEO]


def test_json_content() -> None:
    """Poe's own client accepts JSON with a URL or with data, so do we."""
    assert find_media(json.dumps({"url": LINK, "mimeType": "image/png"}), prompt="p") == (
        RemoteFile(url=LINK, media_type="image/png"),
    )
    data = base64.b64encode(b"picture").decode()
    inline = InlineFile(data=b"picture", media_type="image/png")
    assert find_media(json.dumps({"data": data, "mimeType": "image/png"}), prompt="p") == (inline,)
    assert find_media(json.dumps({"url": f"data:image/png;base64,{data}"}), prompt="p") == (inline,)
    assert urls("```json\n" + json.dumps([{"url": LINK}, {"url": OTHER}, {"url": LINK}]) + "\n```") == [LINK, OTHER]
    assert find_media(json.dumps({"data": "not base64!"}), prompt="p") == ()
    assert find_media('{"data":' * 100_000, prompt="p") == ()


def test_signed_link_says_when_it_ends() -> None:
    """DALL-E's links are another vendor's and end after an hour."""
    url = "https://oaidalleapiprodscus.blob.core.windows.net/private/x.png?st=2026-03-27T01%3A16%3A43Z&se=2026-03-27T03%3A16%3A43Z&sig=s"
    (output,) = find_media(f"![p]({url})\n\n{url}", prompt="p")
    assert isinstance(output, RemoteFile)
    assert output.expires_at == datetime(2026, 3, 27, 3, 16, 43, tzinfo=UTC)
    for end in ("never", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00%2B23:59", "99999999999-01-01"):
        assert find_media(f"{VIDEO}?se={end}", prompt="p") == (RemoteFile(url=f"{VIDEO}?se={end}"),)


@pytest.mark.parametrize("odd", ["https://\u2100x.com/a", "https://x:abc/a", "https://x.example/\ud800"])
def test_a_link_that_is_none_does_not_cost_the_one_beside_it(odd: str) -> None:
    """In markdown and in JSON."""
    good = RemoteFile(url=VIDEO)
    assert find_media(f"![a]({odd})\n\n![b]({VIDEO})\n\n{VIDEO}", prompt="p") == (good,)
    assert find_media(json.dumps([{"url": odd}, {"url": VIDEO}]), prompt="p") == (good,)
    assert find_media(odd, prompt="p") == ()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" + "9" * 5000 + "]"])
def test_json_that_cannot_be_read(text: str) -> None:
    """Then it is text."""
    assert find_media(text, prompt="p") == ()
    assert find_media(f"{text}\n{VIDEO}", prompt="p") == (RemoteFile(url=VIDEO),)


url_parts = st.text(alphabet="abcxyz019-._~/?=&%#", min_size=1, max_size=20)
prompt_urls = st.builds("https://{}.example/{}".format, st.text(alphabet="abc0", min_size=1, max_size=8), url_parts)
prompts = st.lists(
    st.one_of(
        st.text(max_size=12), prompt_urls, st.sampled_from(["](", ")", "![", "[", "]", "(", "\n", " ", "<", ">"])
    ),
    max_size=8,
).map("".join)


@given(prompt=prompts, family=st.sampled_from(sorted(FAMILIES)))
def test_any_prompt_in_any_form(prompt: str, family: str) -> None:
    """For any prompt and form of answer, the file is found and nothing else is."""
    assume(prompt not in LINK)
    assert urls(FAMILIES[family](prompt, LINK), prompt) == [LINK]


@given(
    prompt=prompts,
    before=st.sampled_from(["", "You said: ", "![", "\n"]),
    after=st.sampled_from(["", ".", ".png", "_image_1", "](x)", "\n"]),
)
def test_any_prompt_repeated(prompt: str, before: str, after: str) -> None:
    """A bot that only repeats the prompt never makes a file of its URLs."""
    assert urls(before + prompt + after, prompt) == []
