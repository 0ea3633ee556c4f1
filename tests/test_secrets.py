"""What must not be told is not told, whoever asks: texts from outside, settings, and errors with all that hangs on them."""

from __future__ import annotations

import copy
import pickle

import pytest

from aifs_media._secrets import Secret, redact, without_query

KEY = "canary-key-3f9a61"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see https://a.test/b?X-Amz-Signature=canary now", "see https://a.test/b now"),
        ("see HTTPS://a.test/b#canary.", "see HTTPS://a.test/b"),
        ('{"url": "https:\\/\\/a.test\\/b?sig=canary"}', '{"url": "https:\\/\\/a.test\\/b"}'),
        ("at https://user:canary@a.test/b", "at https://a.test/b"),
        ("at postgresql://user:can@ary@db.test/b", "at postgresql://db.test/b"),
        ("GET /b?a=canary&amp;sig=canary HTTP/1.1", "GET /b?a=***&amp;sig=*** HTTP/1.1"),
        (f"the key {KEY} is wrong", "the key *** is wrong"),
        (f"the key {KEY[:6]}\x00\u200b{KEY[6:]} is wrong", "the key *** is wrong"),
        ("\x1b[31mred\x07\u202e", "[31mred"),
        ("a line\nand 50 % of 3 & 4? yes = no", "a line\nand 50 % of 3 & 4? yes = no"),
    ],
)
def test_texts_from_outside_are_told_without_secrets(text: str, left: str) -> None:
    """Queries, users, keys and what a terminal would obey are left out; the rest stays as it is."""
    assert redact(text, Secret(KEY)) == left


def test_a_key_is_also_found_as_urls_write_it() -> None:
    """A vendor that repeats the key in a URL encodes it."""
    assert redact("no such page: /keys/canary%2Fkey%3D0", Secret("canary/key=0")) == "no such page: /keys/***"


def test_a_url_is_told_without_what_signs_it() -> None:
    """Of one that makes no sense nothing is told."""
    assert without_query("https://me:canary@a.test/b?canary#canary") == "https://a.test/b"
    assert "canary" not in without_query("https://[canary/b?canary")


def test_a_secret_shows_itself_to_nobody() -> None:
    """Neither as text nor as a copy that could be written somewhere."""
    secret = Secret(KEY)
    assert KEY not in f"{secret} {secret!r} {secret:} {[secret]}"
    for leave in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled"):
            leave(secret)
