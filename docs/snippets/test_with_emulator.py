import pytest

from aifs_media import PaymentRequiredError, SyncMediaGenerator
from aifs_media.testing.emulator import Emulator


def test_what_happens_without_credit() -> None:
    with Emulator() as emulator:
        emulator.replicate_credit = 0
        media = SyncMediaGenerator.from_env({**emulator.settings(), "MEDIA_STORAGE": "memory"})
        with pytest.raises(PaymentRequiredError, match="add credits at"):
            media.image("A lighthouse in a storm")
        assert emulator.books().creates == 0


test_what_happens_without_credit()
