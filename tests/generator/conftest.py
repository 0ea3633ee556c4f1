"""A generator wired to a running emulator whose clock is the generator's clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aifs_media import MediaGenerator, Settings
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing import EmulatedClock
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aifs_media.events import Event


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A running emulator of its own for each test."""
    with Emulator() as running:
        yield running


@pytest.fixture
def clock(emulator: Emulator) -> EmulatedClock:
    """The emulator's clock as the generator's."""
    return EmulatedClock(emulator)


@pytest.fixture
def storage() -> MemoryStorage:
    """A storage to look into."""
    return MemoryStorage()


@pytest.fixture
def events() -> list[Event]:
    """Every event that was told."""
    return []


@pytest.fixture
def make(
    emulator: Emulator, clock: EmulatedClock, storage: MemoryStorage, events: list[Event]
) -> Callable[..., MediaGenerator]:
    """Build a generator with settings of the test's own."""

    def build(**settings: str | float | None) -> MediaGenerator:
        return MediaGenerator(
            settings=Settings.from_env(emulator.settings(), **settings),
            storage=storage,
            clock=clock,
            on_event=events.append,
        )

    return build


@pytest.fixture
def media(make: Callable[..., MediaGenerator]) -> MediaGenerator:
    """A generator with nothing but the emulator's settings."""
    return make()
