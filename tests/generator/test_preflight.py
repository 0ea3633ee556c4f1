"""What a job would fail for want of is found before it is recorded and paid for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.canaries import KEY

from aifs_media import ConfigurationError, MediaGenerator, MissingCredentialError, Settings, StorageError
from aifs_media.storage.local import LocalStorage
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from pathlib import Path

    from aifs_media.testing.emulator import Emulator

pytestmark = pytest.mark.anyio


async def test_a_folder_that_cannot_be_written_costs_nothing(emulator: Emulator, tmp_path: Path) -> None:
    """The storage's own error comes first: nothing is sent, and nothing stays in the record of jobs."""
    (tmp_path / "media").touch()
    settings = Settings.from_env(emulator.settings(), media_local_dir=str(tmp_path / "media"))
    media = MediaGenerator(settings=settings)
    async with media:
        with pytest.raises(StorageError, match="A file is in the way") as caught:
            await media.image("a fox")
        assert not caught.value.maybe_billed
        with pytest.raises(StorageError, match="A file is in the way"):
            await media.start("image", "a fox")
        with pytest.raises(StorageError, match="A file is in the way"):
            await media.images("a fox", n=9)
        assert await media.jobs() == []
    assert emulator.books().requests == ()


async def test_a_missing_key_leaves_no_job(emulator: Emulator) -> None:
    """Nothing is recorded that no recovery could ever send; also where only the second of two models lacks its key."""
    own = {**emulator.settings(), "REPLICATE_API_KEY": ""}
    media = MediaGenerator(settings=Settings.from_env(own), storage=MemoryStorage())
    async with media:
        with pytest.raises(MissingCredentialError):
            await media.image("a fox")
        with pytest.raises(MissingCredentialError):
            await media.image(
                "a fox", models=["openai:gpt-image-2.5-flare", "replicate:black-forest-labs/flux-schnell"]
            )
        assert await media.jobs() == []
    assert emulator.books().creates == 0


async def test_a_key_that_no_header_takes_leaves_no_job(emulator: Emulator) -> None:
    """The same for a key that was copied wrong."""
    own = {**emulator.settings(), "REPLICATE_API_KEY": f"{KEY} {KEY}"}
    media = MediaGenerator(settings=Settings.from_env(own), storage=MemoryStorage())
    async with media:
        with pytest.raises(ConfigurationError, match="characters that no key has"):
            await media.image("a fox")
        assert await media.jobs() == []


async def test_a_stored_job_needs_neither(emulator: Emulator, tmp_path: Path) -> None:
    """Who asks again for what is stored gets it, also where nothing could be made any more."""
    storage = LocalStorage(tmp_path / "media")
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=storage)
    async with media:
        first = await media.image("a fox", job_id="one")
        storage.folder.rename(tmp_path / "moved")
        storage.folder.touch()
        assert await media.image("a fox", job_id="one") == first
    assert emulator.books().creates == 1
