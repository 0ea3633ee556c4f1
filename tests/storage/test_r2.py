"""The R2 preset: addresses, pasted keys, and public URLs that cannot work."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from aifs_media.errors import ConfigurationError
from aifs_media.storage._s3_errors import Place
from aifs_media.storage.s3 import S3Storage

ACCOUNT = "0123456789abcdef0123456789abcdef"
HOST = f"https://{ACCOUNT}.r2.cloudflarestorage.com"


def _r2(**changes: Any) -> S3Storage:
    settings = {"bucket": "assets", "account_id": ACCOUNT, "access_key_id": "0a" * 16, "secret_access_key": "0b" * 32}
    return S3Storage.r2(**{**settings, **changes})


@pytest.mark.parametrize(
    ("changes", "endpoint"),
    [
        ({}, HOST),
        ({"jurisdiction": "eu"}, f"https://{ACCOUNT}.eu.r2.cloudflarestorage.com"),
        ({"endpoint": f"{HOST}/assets"}, HOST),
        ({"endpoint": f"{HOST}/assets/"}, HOST),
        ({"endpoint": f"{HOST}/"}, HOST),
        ({"endpoint": f"{HOST}/other"}, f"{HOST}/other"),
        ({"account_id": "", "endpoint": "https://127.0.0.1:9000"}, "https://127.0.0.1:9000"),
        ({"bucket": "s3.example.com", "endpoint": "https://s3.example.com"}, "https://s3.example.com"),
    ],
)
def test_address(changes: dict[str, Any], endpoint: str) -> None:
    """The address comes from the account, its jurisdiction, or the endpoint as the dashboard shows it."""
    storage = _r2(**changes)
    assert storage.endpoint == endpoint
    assert storage.name == "r2"


def test_address_is_needed() -> None:
    """Without account and endpoint there is nothing to talk to."""
    with pytest.raises(ConfigurationError, match="Set R2_ACCOUNT_ID"):
        _r2(account_id="")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"access_key_id": "v" * 40}, "has 40 characters; R2 makes ids of 32"),
        ({"secret_access_key": "canary-secret"}, "has 13 characters; R2 makes secrets of 64"),
    ],
)
def test_pasted_keys(changes: dict[str, Any], told: str) -> None:
    """A key of another form is warned about, at the caller's line and without showing it."""
    with pytest.warns(UserWarning, match=told) as caught:
        S3Storage.r2(
            **{
                "bucket": "b",
                "account_id": ACCOUNT,
                "access_key_id": "0a" * 16,
                "secret_access_key": "0b" * 32,
                **changes,
            }
        )
    assert caught[0].filename == __file__
    assert not [value for value in changes.values() if value in str(caught[0].message)]


def test_keys_of_other_servers_are_not_judged() -> None:
    """Another S3 server may hand out keys of any form."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _r2(endpoint="https://127.0.0.1:9000", access_key_id="k", secret_access_key="canary-secret-of-a-test")


@pytest.mark.parametrize("public_url", [HOST, f"{HOST}/assets", f"https://{ACCOUNT}.eu.r2.cloudflarestorage.com/"])
def test_public_url_that_nobody_can_open(public_url: str) -> None:
    """The S3 address is the public URL most often set by mistake."""
    with pytest.raises(ConfigurationError, match="answers signed requests only"):
        _r2(public_url=public_url)
    with pytest.raises(ConfigurationError, match="answers signed requests only"):
        S3Storage(
            bucket="b",
            endpoint=HOST,
            access_key_id="k",
            secret_access_key="canary-secret-of-a-test",
            public_url=public_url.upper().replace("HTTPS", "https"),
        )


def test_missing_settings_have_r2_names() -> None:
    """What is missing is named as the R2 settings are."""
    with pytest.raises(ConfigurationError, match="R2_ACCESS_KEY_ID, R2_SECRET_ACCESS_KEY"):
        _r2(access_key_id="", secret_access_key="")


@pytest.mark.parametrize(
    ("endpoint", "settings", "hint"),
    [
        (HOST, "R2", "set R2_JURISDICTION"),
        ("https://a.eu.r2.cloudflarestorage.com", "R2", "remove R2_JURISDICTION"),
        ("https://s3.example.com", "S3", ""),
    ],
)
def test_jurisdiction_hint(endpoint: str, settings: str, hint: str) -> None:
    """A bucket that is not found may be in a jurisdiction, or outside of the one in use."""
    text = Place(bucket="b", endpoint=endpoint, settings=settings).jurisdiction_hint
    assert hint in text
    assert bool(text) == bool(hint)
