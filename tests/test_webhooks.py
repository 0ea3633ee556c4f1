"""Signatures by the Standard Webhooks specification: what is taken, and what is refused without a stumble."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from aifs_media import ConfigurationError, WebhookRefusedError
from aifs_media._webhooks import BODY_LIMIT, sign, verify

VECTOR = json.loads(Path(__file__).with_name("fixtures").joinpath("replicate", "webhook_vector.json").read_text())
SENT = datetime.fromtimestamp(int(VECTOR["headers"]["webhook-timestamp"]), UTC)
BODY = VECTOR["body"].encode()
OTHER = "whsec_" + base64.b64encode(b"another key of 24 bytes!").decode()


def test_the_public_vector() -> None:
    """The vector that Replicate's own clients test with is taken, in any case of its headers."""
    shouted = {name.upper(): value for name, value in VECTOR["headers"].items()}
    assert verify(shouted, BODY, secrets=[VECTOR["secret"]], now=SENT) == "msg_p5jXN8AQM9LWM0D4loKWxJek"
    signed = sign(VECTOR["secret"], BODY, delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek", now=SENT)
    assert signed == VECTOR["headers"]


@pytest.mark.parametrize("seconds", [-300, 300])
def test_within_the_tolerance(seconds: int) -> None:
    """Clocks may differ by 300 s, in either direction."""
    assert verify(VECTOR["headers"], BODY, secrets=[VECTOR["secret"]], now=SENT + timedelta(seconds=seconds))
    with pytest.raises(WebhookRefusedError, match="300 s"):
        further = seconds + (1 if seconds > 0 else -1)
        verify(VECTOR["headers"], BODY, secrets=[VECTOR["secret"]], now=SENT + timedelta(seconds=further))


def test_rotation() -> None:
    """While a secret is replaced, either side may have two."""
    assert verify(VECTOR["headers"], BODY, secrets=[OTHER, VECTOR["secret"]], now=SENT)
    both = {**VECTOR["headers"], "webhook-signature": f"v1,AAAA v2,whatever {VECTOR['headers']['webhook-signature']}"}
    assert verify(both, BODY, secrets=[VECTOR["secret"]], now=SENT)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"webhook-id": ""},
        {"webhook-id": "msg.with.stops"},
        {"webhook-id": "x" * 257},
        {"webhook-id": "msg_\n"},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": "soon"},
        {"webhook-timestamp": "1e9"},
        {"webhook-timestamp": "١٦١٤٢٦٥٣٣٠"},
        {"webhook-timestamp": "9" * 400},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,*"},
        {"webhook-signature": "v1,ä"},
        {"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="},
        {"webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ2OE="},
        {"webhook-signature": "v1,AAAA " * 100_000},
        {"Webhook-Id": "msg_p5jXN8AQM9LWM0D4loKWxJek"},
    ],
)
def test_malformed_headers_are_a_refusal(headers: dict[str, str]) -> None:
    """Nothing that a stranger sends raises anything else."""
    sent = {**VECTOR["headers"], **headers} if headers else {}
    with pytest.raises(WebhookRefusedError):
        verify(sent, BODY, secrets=[VECTOR["secret"]], now=SENT)


def test_other_bodies_and_secrets_are_refused() -> None:
    """The signature covers the very bytes, and only the account's secret makes it."""
    with pytest.raises(WebhookRefusedError):
        verify(VECTOR["headers"], BODY + b" ", secrets=[VECTOR["secret"]], now=SENT)
    with pytest.raises(WebhookRefusedError):
        verify(VECTOR["headers"], BODY, secrets=[OTHER], now=SENT)
    with pytest.raises(WebhookRefusedError):
        verify(VECTOR["headers"], BODY, secrets=[], now=SENT)


def test_a_large_body_is_refused_before_it_is_hashed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte is the most; beyond it nothing is computed."""
    monkeypatch.setattr("aifs_media._webhooks._digest", lambda *_: pytest.fail("the body was hashed"))
    with pytest.raises(WebhookRefusedError, match="bytes"):
        verify(VECTOR["headers"], bytes(BODY_LIMIT + 1), secrets=[VECTOR["secret"]], now=SENT)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_*", "whsec_c2hvcnQ=", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_a_bad_secret_is_our_own_mistake(secret: str) -> None:
    """It is no refusal of the webhook, and the message does not show it."""
    with pytest.raises(ConfigurationError) as caught:
        verify(VECTOR["headers"], BODY, secrets=[secret], now=SENT)
    assert len(secret) < 8 or secret not in str(caught.value)
