"""What every ledger derives from a job."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aifs_media.ledger._rows import EARLIEST, LATEST, outputs_expire_at, utc
from aifs_media.records import Part, RemoteFile
from aifs_media.testing.ledger_contract import job


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-01T14:00:00+02:00", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("2026-11-01T12:00:00", datetime(2026, 11, 1, 12, tzinfo=UTC)),
        ("9999-12-31T23:59:59-23:59", LATEST),
        ("0001-01-01T00:00:00+23:59", EARLIEST),
    ],
)
def test_every_moment_can_be_sorted(text: str, moment: datetime) -> None:
    """A provider may name any end of an output; a job that is paid for must be recorded whatever it is."""
    assert utc(datetime.fromisoformat(text)) == moment
    output = RemoteFile(url="https://a.example/b", expires_at=datetime.fromisoformat(text))
    assert outputs_expire_at(job(parts=(Part(index=0, output=output),))) == moment
