import pytest

from aifs_media import SyncMediaGenerator
from aifs_media.testing import SpendingForbiddenError, forbid_spending

media = SyncMediaGenerator.from_env({"REPLICATE_API_KEY": "a-real-key", "MEDIA_STORAGE": "memory"})
with forbid_spending(), pytest.raises(SpendingForbiddenError):
    media.image("A lighthouse in a storm")
