"""Fixtures for users' tests, loaded by pytest wherever the library is installed. Nothing is imported before one is used.

`aifs_emulator`, `aifs_storage` and `aifs_generator` belong together: the generator makes media with the emulator, on the emulator's
clock, into the storage. `aifs_forbid_spending` lets no test buy anything; name it in the setting `usefixtures` of pytest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aifs_media.generator import MediaGenerator
    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing.emulator import Emulator


@pytest.fixture
def aifs_emulator() -> Iterator[Emulator]:
    """A running emulator of the built-in providers, with books and scripted faults. Needs the extra `emulator`."""
    from aifs_media.testing.emulator import Emulator

    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def aifs_storage() -> MemoryStorage:
    """A storage in memory; `objects` holds what was stored."""
    from aifs_media.storage.memory import MemoryStorage

    return MemoryStorage()


@pytest.fixture
def aifs_generator(aifs_emulator: Emulator, aifs_storage: MemoryStorage) -> MediaGenerator:
    """A generator with the emulator's settings and clock, so that nobody waits. The environment is not read."""
    from aifs_media.generator import MediaGenerator
    from aifs_media.settings import Settings
    from aifs_media.testing.clock import EmulatedClock

    return MediaGenerator(
        settings=Settings.from_env(aifs_emulator.settings()), storage=aifs_storage, clock=EmulatedClock(aifs_emulator)
    )


@pytest.fixture
def aifs_forbid_spending() -> Iterator[None]:
    """Nothing can be bought while a test runs; see aifs_media.testing.forbid_spending."""
    from aifs_media.testing.spending import forbid_spending

    with forbid_spending():
        yield
