import pytest

from aifs_media import MediaGenerator
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing.emulator import Emulator


@pytest.mark.anyio
async def test_my_own_code(
    aifs_generator: MediaGenerator, aifs_emulator: Emulator, aifs_storage: MemoryStorage
) -> None:
    asset = await aifs_generator.image("A lighthouse in a storm")  # in place of it: your code, given the generator
    assert asset.object_key in aifs_storage.objects
    assert aifs_emulator.books().creates == 1


@pytest.mark.anyio
async def test_a_lost_answer(aifs_generator: MediaGenerator, aifs_emulator: Emulator) -> None:
    aifs_emulator.fault("replicate.create", "drop_after")
    assert (await aifs_generator.image("A lighthouse in a storm")).emulated
    assert aifs_emulator.books().creates == 1  # found and adopted, not paid for twice
