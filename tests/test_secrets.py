"""What must not be told is not told, whoever asks: texts from outside, settings, and errors with all that hangs on them."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from importlib.metadata import EntryPoint
from typing import TYPE_CHECKING

import pytest

from aifs_media import _registry
from aifs_media._registry import make_ledger, make_plugin_storage
from aifs_media._secrets import Secret, redact, without_query
from aifs_media.errors import ConfigurationError, PluginError
from aifs_media.records import (
    Attempt,
    Failed,
    Found,
    Job,
    MediaRequest,
    Pending,
    Record,
    RemoteFile,
    Succeeded,
    WebhookNote,
)
from aifs_media.settings import Settings
from aifs_media.storage.s3 import S3Storage
from aifs_media.toolkit import HttpProvider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import JsonValue

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


NOW = datetime(2026, 11, 22, tzinfo=UTC)
HANDLE: JsonValue = {"id": "one", "urls": ["https://queue.test/one/status?sig=canary"], "number": 3, "none": None}
REQUEST = MediaRequest(
    kind="image",
    prompt="a fox",
    inputs={"image_url": "https://store.test/frame.png?sig=canary"},
    options={"mask": "https://store.test/mask.png?sig=canary"},
)
ATTEMPT = Attempt(submit_key="k", provider="queue", model="m", started_at=NOW, send_by=NOW, ref=HANDLE)
RECORDS = (
    REQUEST,
    ATTEMPT,
    Pending(ref=HANDLE),
    Succeeded(outputs=(RemoteFile(url="https://a.test/b?canary"),), ref=HANDLE),
    Failed(reason="canceled", message="stopped", ref="https://queue.test/one/status?sig=canary"),
    Found(ref=HANDLE, created_at=NOW, inputs=REQUEST.inputs, state=Pending(ref=HANDLE)),
    WebhookNote(delivery_id="d", ref=HANDLE),
    Job(
        job_id="j", request=REQUEST, created_at=NOW, timeout=1, lifetime=1, on_cancel="detach", attempts=(ATTEMPT,)
    ),
)  # fmt: skip


@pytest.mark.parametrize("record", RECORDS, ids=[type(record).__name__ for record in RECORDS])
def test_records_are_shown_without_queries(record: Record) -> None:
    """A handle may be or hold a signed URL, and so may what a model is given; the record itself keeps it."""
    told = f"{record!r} {record}"
    assert "canary" not in told
    assert "https://store.test/frame.png" in told or "https://queue.test/one/status" in told
    assert "canary" in record.model_dump_json()


class Vendor(HttpProvider):
    """Any provider."""

    name = "vendor"


@pytest.mark.parametrize(
    "url", ["https://me:canary@a.test/v1", "https://a.test/v1?key=canary", "http://me:canary@a.test"]
)
def test_a_base_url_with_a_key_in_it_is_refused(url: str) -> None:
    """It would be in every error and log record; the refusal does not repeat it."""
    with pytest.raises(ConfigurationError, match="a user, a query or a fragment") as refused:
        Vendor(base_url=url)
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://x:abc/v1", "https://x:99999/v1", "https://x:0", "https://x: 80/", "http://[", "https://[v1.a]/", "https://",
        "https:///v1", "https://a b/v1", "https://ex\x00ample.com", "https://ex\u200bample.com", "https://\u2100.com/v1",
        "https://\u2603.com", "https://a..b/", "https://999.1.1.1/", f"https://{'a' * 300}.com", "https://x/\ud800", "x",
    ],
    ids=ascii,
)  # fmt: skip
def test_a_base_url_that_is_none_is_refused(url: str) -> None:
    """Further down it would pass for a lost answer, and a create that never left for one that may be billed."""
    with pytest.raises(ConfigurationError, match="is not an address"):
        Vendor(base_url=url)


@pytest.mark.parametrize(
    "url", ["https://a.test", "https://a_b:8443/v1/", "https://m\u00fcnchen.test", "https://[::1]:80/x"]
)
def test_a_base_url_that_is_one(url: str) -> None:
    """Whatever can be asked."""
    assert Vendor(base_url=url).base_url == url.rstrip("/")


def test_a_malformed_base_url_keeps_its_password() -> None:
    """The refusal shows none of it."""
    with pytest.raises(ConfigurationError, match="a malformed URL") as refused:
        Vendor(base_url="https://me:canary@[/v1")
    assert "canary" not in str(refused.value)


def test_settings_are_shown_without_users_of_addresses() -> None:
    """Nor is any key shown."""
    shown = repr(Settings.from_env({"POE_API_URL": "https://me:canary@a.test/v1", "POE_API_KEY": KEY}))
    assert "canary" not in shown
    assert "https://a.test/v1" in shown


def test_addresses_that_make_no_sense_are_refused_without_their_passwords() -> None:
    """A slip in an address must not bring its password into a log."""
    for name in ("me:canary@db.test/media", "postgresql:/me:canary@db.test/media"):
        with pytest.raises(ConfigurationError) as refused:
            make_ledger(Settings.from_env({"MEDIA_LEDGER": name}))
        assert "canary" not in str(refused.value)
    for fields in ({"endpoint": "https://me:canary@s3.test"}, {"public_url": "ftp://me:canary@a.test"}):
        with pytest.raises(ConfigurationError) as refused:
            S3Storage(bucket="b", region="eu-west-1", access_key_id="k", secret_access_key=KEY, **fields)
        assert "canary" not in str(refused.value)


def build(environ: Mapping[str, str]) -> object:
    """Be a plugin that repeats what it was given, as errors of a validation do."""
    raise ValueError(f"input_value={environ['ACME_API_KEY']!r}")


def test_a_plugin_that_repeats_its_key_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is passed on without it."""
    point = EntryPoint("acme", f"{__name__}:build", _registry.STORAGES_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda _: build)
    monkeypatch.setattr(_registry, "entry_points", lambda _: {"acme": point})
    with pytest.raises(PluginError, match=r"ValueError: input_value='\*\*\*'") as broken:
        make_plugin_storage("acme", Settings.from_env({"ACME_API_KEY": KEY}))
    assert KEY not in str(broken.value)
