"""An emulator for the vendors' own clients. They know asyncio only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def anyio_backend() -> str:
    """Run async tests where these clients can run."""
    return "asyncio"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """An emulator whose generations take no time."""
    with Emulator() as running:
        yield running
