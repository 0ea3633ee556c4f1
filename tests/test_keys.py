"""Keys never leave their allowed form, and no two outputs meet in one key."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from aifs_media._keys import KeyTemplate, decode_labels, encode_labels, public_url, with_extension
from aifs_media.errors import ConfigurationError, RequestRejectedError

if TYPE_CHECKING:
    from collections.abc import Mapping

CREATED = datetime(2026, 3, 7, 12, 0, tzinfo=UTC)

VALUES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,20}\Z")
TEMPLATES = st.sampled_from(
    [
        "{year}/{month}/{job_id}-{index}.{extension}",
        "{tenant}/{year}/{month}/{day}/{job_id}-{index}.{extension}",
        "{tenant}/{campaign}/{kind}_{job_id}_{index}.{extension}",
        "{namespace}/{provider}/{job_id}/{index}.{extension}",
        "{index}-{job_id}.{extension}",
        "media/{year}-{job_id}.v0{index}-{month}.{extension}",
    ]
)


def stem(
    template: KeyTemplate,
    *,
    job_id: str = "job",
    index: int = 0,
    namespace: str = "",
    tags: Mapping[str, str] | None = None,
    created_at: datetime = CREATED,
) -> str:
    """Render with values that most tests do not care about."""
    return template.render_stem(
        created_at=created_at,
        job_id=job_id,
        index=index,
        kind="image",
        provider="acme",
        namespace=namespace,
        tags=tags or {},
    )


def test_default() -> None:
    """Without settings a key is dated, unique, and ends with its extension."""
    assert with_extension(stem(KeyTemplate(), job_id="01ABC", index=2), "png") == "2026/03/01ABC-2.png"


def test_tags_and_prefix() -> None:
    """Tags are placeholders by their own name, and the prefix comes first."""
    template = KeyTemplate("{tenant}/{kind}/{day}/{job_id}-{index}.{extension}", prefix="/media/live/")
    assert template.tag_names == ("tenant",)
    assert stem(template, tags={"tenant": "acme", "note": "any ünsafe text"}) == "media/live/acme/image/07/job-0"


def test_date_is_utc() -> None:
    """The date is that of the job's creation in UTC, wherever the caller lives."""
    late = datetime(2026, 12, 31, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert stem(KeyTemplate(), created_at=late).startswith("2027/01/")


def test_namespace_that_the_template_does_not_place() -> None:
    """Two namespaces may use one job id, so the namespace goes in front."""
    assert stem(KeyTemplate(prefix="p"), namespace="tenant-a") == "p/tenant-a/2026/03/job-0"


def test_empty_namespace_that_the_template_places() -> None:
    """A placed namespace has to be given."""
    with pytest.raises(RequestRejectedError, match="namespace ''"):
        stem(KeyTemplate("{namespace}/{job_id}-{index}.{extension}"))


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{year}/{job_id}-{index}", "does not end with"),
        ("{year}/{job_id}-{index}{extension}", "does not end with"),
        ("{extension}/{job_id}-{index}.{extension}", "end only"),
        ("{year}/{job_id}.{extension}", "{index}"),
        ("{year}/{index}.{extension}", "{job_id}"),
        ("{job_id}/{job_id}-{index}.{extension}", "{job_id}"),
        ("/{job_id}-{index}.{extension}", "segment ''"),
        ("a//{job_id}-{index}.{extension}", "segment ''"),
        ("../{job_id}-{index}.{extension}", "segment '..'"),
        ("a..b/{job_id}-{index}.{extension}", "segment 'a..b'"),
        (".hidden/{job_id}-{index}.{extension}", "segment '.hidden'"),
        ("a b/{job_id}-{index}.{extension}", "segment 'a b'"),
        ("a%2e/{job_id}-{index}.{extension}", "segment"),
        ("{tenant/{job_id}-{index}.{extension}", "segment"),
        ("tenant}/{job_id}-{index}.{extension}", "segment"),
        ("{}/{job_id}-{index}.{extension}", "segment"),
        ("{year!r}/{job_id}-{index}.{extension}", "segment"),
        ("{index:04}/{job_id}-{index}.{extension}", "segment"),
        ("{tag.name}/{job_id}-{index}.{extension}", "segment"),
        ("{job_id}{index}.{extension}", "touch"),
        ("{job_id}0{index}.{extension}", "touch"),
        ("{tenant}-{job_id}-{index}.{extension}", "{tenant} and {job_id} share"),
        ("{namespace}-{tenant}/{job_id}-{index}.{extension}", "{namespace} and {tenant} share"),
    ],
)
def test_template_is_refused(template: str, says: str) -> None:
    """What could make a broken or a shared key is refused when the template is read, with the reason."""
    with pytest.raises(ConfigurationError, match=re.escape(says)):
        KeyTemplate(template)


@pytest.mark.parametrize("prefix", ["..", "a//b", "a/../b", "a b", "ä", ".a", "a\0b", "a\n"])
def test_prefix_is_refused(prefix: str) -> None:
    """A prefix follows the same rules."""
    with pytest.raises(ConfigurationError, match="prefix"):
        KeyTemplate(prefix=prefix)


HOSTILE = [
    "",
    ".",
    "..",
    "a/b",
    "/a",
    "a\\b",
    "%2e%2e",
    "a\0",
    "a\n",
    " a",
    "-a",
    "ä",
    "a\u202eb",
    "e\u0301",
    "\uff11",
    "x" * 65,
]


@pytest.mark.parametrize("value", [*HOSTILE, "a.b"])
def test_tag_value_is_rejected(value: str) -> None:
    """A tag that becomes a segment is rejected by name, and not cleaned."""
    template = KeyTemplate("{tenant}/{job_id}-{index}.{extension}")
    with pytest.raises(RequestRejectedError, match="tag 'tenant'"):
        stem(template, tags={"tenant": value})


@pytest.mark.parametrize("value", [*HOSTILE[:-1], "a..b", "x" * 129])
def test_job_id_and_namespace_are_rejected(value: str) -> None:
    """Job ids come from callers and follow the allow-list too."""
    with pytest.raises(RequestRejectedError, match="job id"):
        stem(KeyTemplate(), job_id=value)
    if value:
        with pytest.raises(RequestRejectedError, match="namespace"):
            stem(KeyTemplate(), namespace=value)


def test_job_id_with_a_last_dot() -> None:
    """Two dots do not arise from a value and its surroundings either."""
    with pytest.raises(RequestRejectedError, match="two dots"):
        stem(KeyTemplate("{index}/{job_id}.{extension}"), job_id="a.")


def test_missing_tag() -> None:
    """A tag that the template needs is missed by name."""
    with pytest.raises(RequestRejectedError, match="tag 'tenant' is missing"):
        stem(KeyTemplate("{tenant}/{job_id}-{index}.{extension}"), tags={"campaign": "x"})


def test_too_long() -> None:
    """A key longer than the storage takes is refused."""
    template = KeyTemplate("/".join(["{tenant}"] * 16) + "/{job_id}-{index}.{extension}")
    with pytest.raises(RequestRejectedError, match="too long"):
        stem(template, tags={"tenant": "x" * 64})


@given(
    TEMPLATES,
    st.tuples(VALUES, VALUES, st.integers(0, 1000), VALUES),
    st.tuples(VALUES, VALUES, st.integers(0, 1000), VALUES),
)
def test_two_outputs_never_share_a_key(
    text: str, first: tuple[str, str, int, str], second: tuple[str, str, int, str]
) -> None:
    """Another namespace, job id or index is another key, whatever the tags are."""
    assume(first[:3] != second[:3])
    template = KeyTemplate(text)
    stems = [
        stem(template, namespace=namespace, job_id=job_id, index=index, tags={"tenant": tag, "campaign": "c"})
        for namespace, job_id, index, tag in (first, second)
    ]
    assert stems[0] != stems[1]


@given(
    st.text(alphabet="a1-_.", min_size=1, max_size=4),
    st.text(alphabet="a1-_.", min_size=1, max_size=4),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_close_job_ids_never_share_a_key(first: str, second: str, first_index: int, second_index: int) -> None:
    """Job ids made of the separators themselves stay apart."""
    assume((first, first_index) != (second, second_index))
    for text in (
        "{job_id}-{index}.{extension}",
        "{index}.{job_id}.{extension}",
        "{job_id}.v0{index}-{month}.{extension}",
    ):
        template = KeyTemplate(text)
        try:
            stems = {stem(template, job_id=first, index=first_index), stem(template, job_id=second, index=second_index)}
        except RequestRejectedError:
            continue
        assert len(stems) == 2


@given(TEMPLATES, st.text(max_size=12), st.text(max_size=12), st.text(max_size=12))
def test_any_text_is_rejected_or_safe(text: str, job_id: str, namespace: str, tenant: str) -> None:
    """Whatever the values are, a key that comes out is a plain path."""
    try:
        key = stem(KeyTemplate(text), job_id=job_id, namespace=namespace, tags={"tenant": tenant, "campaign": "c"})
    except RequestRejectedError:
        return
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*", key)
    assert ".." not in key
    assert len(key) <= 1024


@pytest.mark.parametrize("extension", ["", ".png", "PNG", "p/g", "html\0", "x" * 9])
def test_extension_is_refused(extension: str) -> None:
    """An extension comes from the sniffed type and is never more than that."""
    with pytest.raises(ValueError, match="extension"):
        with_extension("a", extension)


@pytest.mark.parametrize(
    "base", ["https://media.example.com", "https://media.example.com/", "https://media.example.com/sub"]
)
@given(
    st.lists(st.text(min_size=1).filter(lambda text: "/" not in text and text.isprintable()), min_size=1, max_size=4)
)
def test_public_url(base: str, segments: list[str]) -> None:
    """The URL leads to the key and to nothing else."""
    key = "/".join(segments)
    url = public_url(base, key)
    assert url.isascii()
    assert not urlsplit(url).query
    assert not urlsplit(url).fragment
    assert unquote(url.removeprefix(base.rstrip("/") + "/")) == key


@given(st.dictionaries(st.from_regex(r"\A[a-z0-9][a-z0-9_-]{0,20}\Z"), st.text(max_size=30), max_size=4))
def test_labels_round_trip(tags: dict[str, str]) -> None:
    """Any text comes back from object metadata, which is plain ASCII without spaces."""
    try:
        encoded = encode_labels(tags)
    except RequestRejectedError:
        assert any("\ud800" <= mark <= "\udfff" for value in tags.values() for mark in value) or len(str(tags)) > 150
        return
    assert decode_labels(encoded) == tags
    assert all(re.fullmatch(r"[!-~]*", value) for value in encoded.values())


def test_labels_above_the_limit() -> None:
    """Labels that do not fit are refused with their size."""
    assert encode_labels({"k": "x" * 2047})
    with pytest.raises(RequestRejectedError, match="2049 bytes"):
        encode_labels({"k": "x" * 2048})


@pytest.mark.parametrize("name", ["", "Tenant", "a b", "ä", "a:b", "_a", "x" * 65])
def test_label_name_is_rejected(name: str) -> None:
    """A name that a header would change or refuse is rejected."""
    with pytest.raises(RequestRejectedError, match="tag name"):
        encode_labels({name: "x"})


def test_label_that_is_no_text() -> None:
    """Half a surrogate pair is no text."""
    with pytest.raises(RequestRejectedError, match="valid Unicode"):
        encode_labels({"k": "\ud800"})
