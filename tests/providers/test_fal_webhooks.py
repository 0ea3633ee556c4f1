"""fal's webhooks: what is signed with its published keys is taken, and everything else is refused without harm."""

from __future__ import annotations

import base64
import hashlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.servers.inbox import Inbox

from aifs_media._webhooks import BODY_LIMIT
from aifs_media.errors import (
    ConfigurationError,
    ProviderUnavailableError,
    UnexpectedResponseError,
    WebhookRefusedError,
)
from aifs_media.providers._fal_webhooks import FETCH_AGAIN, KEYS_LIFE, FalWebhooks, keys_in
from aifs_media.providers.fal import FalProvider
from aifs_media.records import MediaRequest, WebhookNote
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

FIXTURES = Path(__file__).parents[1] / "fixtures" / "fal"
OK = (FIXTURES / "webhook-ok.json").read_bytes()
ID = "764cabcf-b745-4b3e-ae38-1200304cf45b"
KEY = Ed25519PrivateKey.generate()
OTHER = Ed25519PrivateKey.generate()


def published(*keys: Ed25519PrivateKey) -> dict[str, Any]:
    texts = [base64.urlsafe_b64encode(key.public_key().public_bytes_raw()).rstrip(b"=").decode() for key in keys]
    return {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": text} for text in texts]}


def signed(body: bytes = OK, *, key: Ed25519PrivateKey = KEY, age: float = 0, **headers: str) -> dict[str, str]:
    """Return the headers of a webhook as fal signs it; `headers` replaces some afterwards."""
    sent = str(int(time.time() - age))
    content = f"{ID}\nuser\n{sent}\n{hashlib.sha256(body).hexdigest()}"
    return {
        "X-Fal-Webhook-Request-Id": ID,
        "X-Fal-Webhook-User-Id": "user",
        "X-Fal-Webhook-Timestamp": sent,
        "X-Fal-Webhook-Signature": key.sign(content.encode()).hex(),
        **{f"X-Fal-Webhook-{name.replace('_', '-')}": value for name, value in headers.items()},
    }


class Hands:
    """Seconds that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as running:
        yield running


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
async def webhooks(emulator: Emulator, hands: Hands) -> AsyncIterator[FalWebhooks]:
    """Keys are fetched from the emulator, which answers what a test scripts."""
    url = emulator.settings()["FAL_WEBHOOK_KEYS_URL"]
    checker = FalWebhooks(keys_url=url, base_url=emulator.fal_url, now=hands)
    yield checker
    await checker.aclose()


@pytest.fixture
def publish(emulator: Emulator) -> Callable[..., None]:
    def script(*keys: Ed25519PrivateKey, times: int = 1) -> None:
        emulator.fault("fal.keys", "status", status=200, body=published(*keys), times=times)

    return script


def fetches(emulator: Emulator) -> int:
    return len(emulator.books().requested("fal.keys"))


# -- what is taken -----------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["webhook-ok", "webhook-error", "webhook-payload-error"])
async def test_every_form_of_note_says_which_job(
    webhooks: FalWebhooks, publish: Callable[..., None], name: str
) -> None:
    """What became of it is asked, not believed. Header names come in any case."""
    publish(OTHER, KEY)
    body = (FIXTURES / f"{name}.json").read_bytes()
    headers = {key.lower(): value for key, value in signed(body).items()}
    assert await webhooks.verify(headers, body) == WebhookNote(delivery_id=ID, ref=ID)


@pytest.mark.anyio
@pytest.mark.parametrize("fault", [None, "moderated", "aborted"])
async def test_the_provider_takes_what_the_emulator_sends(emulator: Emulator, fault: Any) -> None:
    """For a create with a webhook; the note leads to the job. The keys are fetched without the API key."""
    inbox = Inbox(refusals=1)
    provider = FalProvider.from_settings(emulator.settings())
    if fault:
        emulator.fault("fal.create", fault)
    request = MediaRequest(
        kind="image", prompt="x", model="fal-ai/flux/schnell", inputs={"prompt": "x"}, webhook=inbox.url
    )
    try:
        job = await provider.submit(request, submit_key="k")
        first, again = await anyio.to_thread.run_sync(inbox.wait_for, 2)
        note = await provider.verify_webhook(first.headers, first.body)
        assert isinstance(job.ref, dict)
        assert (note.ref, note.delivery_id, again.body) == (job.ref["id"], job.ref["id"], first.body)
        with pytest.raises(WebhookRefusedError):
            await provider.verify_webhook(first.headers, first.body + b" ")
    finally:
        await provider.aclose()
        await anyio.to_thread.run_sync(inbox.close)
    assert "authorization" not in emulator.last_request("fal.keys").header_names
    assert fetches(emulator) == 1


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "body", "says"),
    [
        (signed, OK + b" ", "signature is wrong"),
        (lambda: signed(key=OTHER), OK, "signature is wrong"),
        (lambda: signed(User_Id="somebody"), OK, "signature is wrong"),
        (lambda: signed(Request_Id="other"), OK, "signature is wrong"),
        (lambda: signed(Timestamp=str(int(time.time()) + 1)), OK, "signature is wrong"),
        (lambda: signed(Signature="ab" * 64), OK, "signature is wrong"),
        (lambda: signed(age=301), OK, "more than 300 s"),
        (lambda: signed(age=-310), OK, "more than 300 s"),
        (lambda: signed(Timestamp="now"), OK, "malformed"),
        (lambda: signed(Timestamp="-1"), OK, "malformed"),
        (lambda: signed(Timestamp="1" * 40), OK, "malformed"),
        (lambda: signed(Signature=""), OK, "malformed"),
        (lambda: signed(Signature="zz" * 64), OK, "malformed"),
        (lambda: signed(Signature="ab" * 63), OK, "malformed"),
        (lambda: signed(Request_Id="a\nb"), OK, "malformed"),
        (lambda: signed(User_Id=""), OK, "malformed"),
        (lambda: signed(User_Id="é"), OK, "malformed"),
        (lambda: {**signed(), "x-fal-webhook-user-id": "user"}, OK, "2 headers"),
        (lambda: {name: value for name, value in signed().items() if "User" not in name}, OK, "0 headers"),
        (dict[str, str], OK, "0 headers"),
        (lambda: signed(b"x" * (BODY_LIMIT + 1)), b"x" * (BODY_LIMIT + 1), "bytes"),
        (lambda: signed(b"[]"), b"[]", "names no request"),
        (lambda: signed(b"{}"), b"{}", "names no request"),
        (lambda: signed(b"\xff"), b"\xff", "names no request"),
        (lambda: signed(b'{"request_id": 3}'), b'{"request_id": 3}', "names no request"),
        (lambda: signed(b"[" * 100_000), b"[" * 100_000, "names no request"),
    ],
)
async def test_refused(
    webhooks: FalWebhooks, publish: Callable[..., None], headers: Callable[[], dict[str, str]], body: bytes, says: str
) -> None:
    """Cleanly, whatever is wrong with it. The headers are made in the test: they are good for five minutes only."""
    publish(KEY, times=2)
    with pytest.raises(WebhookRefusedError, match=says):
        await webhooks.verify(headers(), body)


@settings(deadline=None)
@given(names=st.dictionaries(st.sampled_from(list(signed())), st.text()), body=st.binary(max_size=100))
def test_nonsense_is_refused_before_anybody_is_asked(names: dict[str, str], body: bytes) -> None:
    """There is no server behind this address: malformed headers never lead there."""
    webhooks = FalWebhooks(keys_url="https://127.0.0.1:9/jwks.json")
    with pytest.raises(WebhookRefusedError):
        anyio.run(webhooks.verify, names, body)


# -- the keys ----------------------------------------------------------------------------------------------------------


@pytest.mark.anyio
async def test_keys_are_fetched_once_and_kept_for_a_day(
    emulator: Emulator, webhooks: FalWebhooks, publish: Callable[..., None], hands: Hands
) -> None:
    """And not a second longer."""
    publish(KEY, times=2)
    for _ in range(3):
        await webhooks.verify(signed(), OK)
    hands.now += KEYS_LIFE - 1
    await webhooks.verify(signed(), OK)
    assert fetches(emulator) == 1
    hands.now += 2
    await webhooks.verify(signed(), OK)
    assert fetches(emulator) == 2


@pytest.mark.anyio
async def test_many_at_once_fetch_once(emulator: Emulator, webhooks: FalWebhooks, publish: Callable[..., None]) -> None:
    """A burst after the start asks fal a single time."""
    publish(KEY)
    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(webhooks.verify, signed(), OK)
    assert fetches(emulator) == 1


@pytest.mark.anyio
async def test_changed_keys_are_fetched_again_and_nonsense_is_not_worth_it(
    emulator: Emulator, webhooks: FalWebhooks, publish: Callable[..., None], hands: Hands
) -> None:
    """Wrong signatures make us ask at most once in five minutes."""
    publish(KEY)
    await webhooks.verify(signed(), OK)
    for _ in range(5):
        with pytest.raises(WebhookRefusedError):
            await webhooks.verify(signed(key=OTHER), OK)
    assert fetches(emulator) == 1
    hands.now += FETCH_AGAIN
    publish(OTHER)
    await webhooks.verify(signed(key=OTHER), OK)
    for _ in range(5):
        with pytest.raises(WebhookRefusedError):
            await webhooks.verify(signed(), OK)
    assert fetches(emulator) == 2


@pytest.mark.anyio
@pytest.mark.parametrize(
    "fields",
    [
        {"status": 500},
        {"status": 200, "body": "<html>"},
        {"status": 200, "body": {"keys": []}},
        {"status": 302, "body": ""},
    ],
)
async def test_keys_that_cannot_be_had(
    emulator: Emulator, webhooks: FalWebhooks, publish: Callable[..., None], hands: Hands, fields: dict[str, Any]
) -> None:
    """Not the sender's fault: it should send again. A failed fetch is not repeated for every webhook."""
    emulator.fault("fal.keys", "status", **fields)
    with pytest.raises(UnexpectedResponseError) as failed:
        await webhooks.verify(signed(), OK)
    assert failed.value.retryable
    with pytest.raises(ProviderUnavailableError, match="a moment ago"):
        await webhooks.verify(signed(), OK)
    assert fetches(emulator) == 1
    hands.now += 5
    publish(KEY)
    assert (await webhooks.verify(signed(), OK)).ref == ID


@pytest.mark.anyio
async def test_old_keys_do_not_outlive_a_failed_fetch(
    emulator: Emulator, webhooks: FalWebhooks, publish: Callable[..., None], hands: Hands
) -> None:
    """After a day they are worth nothing, though no newer ones can be had."""
    publish(KEY)
    await webhooks.verify(signed(), OK)
    hands.now += KEYS_LIFE
    emulator.fault("fal.keys", "drop_before")
    with pytest.raises(ProviderUnavailableError):
        await webhooks.verify(signed(), OK)


def test_keys_of_other_kinds_are_left_out() -> None:
    """What cannot be an Ed25519 key is for other readers; nothing raises."""
    good = published(KEY)["keys"][0]
    odd = [
        {"kty": "RSA", "n": "x"},
        {**good, "kty": "EC"},
        {**good, "x": "!!"},
        {**good, "x": "AAAA"},
        {**good, "x": 3},
        4,
    ]
    assert keys_in({"keys": [*odd, good]}) == (KEY.public_key().public_bytes_raw(),)
    for document in (None, [], {}, {"keys": {}}, {"keys": odd}):
        assert keys_in(document) == ()


def test_the_keys_address_must_be_safe() -> None:
    """Whoever could change the keys on their way could sign everything."""
    with pytest.raises(ConfigurationError):
        FalWebhooks(keys_url="http://rest.fal.ai/.well-known/jwks.json")
    for malformed in ("http://[", "https://x:abc/keys", "https://ex\x00ample.com", ""):
        with pytest.raises(ConfigurationError, match="not an address"):
            FalWebhooks(keys_url=malformed)


@pytest.mark.anyio
async def test_without_cryptography(
    webhooks: FalWebhooks, publish: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the extra."""
    publish(KEY)
    for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cryptography", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'aifs-media\[fal\]'"):
        await webhooks.verify(signed(), OK)
