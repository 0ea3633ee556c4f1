"""One running emulator for each test, and clients that speak to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator whose generations take no time."""
    with Emulator() as running:
        yield running


@pytest.fixture
def replicate(emulator: Emulator) -> Iterator[httpx.Client]:
    """A client with the token of the emulated Replicate."""
    token = emulator.settings()["REPLICATE_API_KEY"]
    headers = {"authorization": f"Bearer {token}"}
    with httpx.Client(base_url=emulator.replicate_url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def poe(emulator: Emulator) -> Iterator[httpx.Client]:
    """A client with the key of the emulated Poe."""
    headers = {"authorization": f"Bearer {emulator.settings()['POE_API_KEY']}"}
    with httpx.Client(base_url=emulator.poe_url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


@pytest.fixture
def web() -> Iterator[httpx.Client]:
    """A client without any key."""
    with httpx.Client(timeout=10, trust_env=False) as client:
        yield client
