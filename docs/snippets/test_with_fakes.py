import pytest

from aifs_media import ContentRejectedError, MediaGenerator, Settings
from aifs_media.records import Failed, Pending
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing import FakeClock, FakeProvider

provider = FakeProvider(
    [
        Pending(ref=None),
        Failed(reason="content_rejected", message="No foxes."),
    ],  # the first job; others succeed at once
    name="replicate",  # stands in for it, whatever model is asked for
)
media = MediaGenerator(providers=[provider], storage=MemoryStorage(), settings=Settings.from_env({}), clock=FakeClock())

with pytest.raises(ContentRejectedError):
    await media.image("A red fox")
asset = await media.image("A lighthouse in a storm", size="640x480")
assert asset.emulated
assert [request.prompt for request in provider.creates] == ["A red fox", "A lighthouse in a storm"]
