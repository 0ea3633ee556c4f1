from pathlib import Path

import pytest

from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.testing import LedgerContract


class TestMyLedger(LedgerContract):
    @pytest.fixture
    def ledger(self, tmp_path: Path) -> SqliteLedger:
        return SqliteLedger(tmp_path / "jobs.db")  # yours in place of it
