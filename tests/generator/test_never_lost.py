"""What is paid for is kept: through a full disk, a crash between two writes, a ledger that is away, a wait that runs out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from aifs_media import LedgerError, MediaGenerator, Settings, UploadError
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media.protocols import Ledger, Storage
    from aifs_media.records import Job
    from aifs_media.testing.emulator import Emulator

    from .conftest import EmulatedClock

pytestmark = pytest.mark.anyio

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


@pytest.fixture
def with_parts(emulator: Emulator, clock: EmulatedClock) -> Callable[..., MediaGenerator]:
    """Build a generator with a storage, or a ledger, of the test's own."""

    def build(storage: Storage | None = None, ledger: Ledger | None = None) -> MediaGenerator:
        return MediaGenerator(
            settings=Settings.from_env(emulator.settings()),
            storage=storage or MemoryStorage(),
            ledger=ledger or MemoryLedger(clock=clock),
            clock=clock,
        )

    return build


class Unsteady(MemoryStorage):
    """A storage that writes down what it is asked, and fails the first time."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.keys_on_record: list[str | None] = []
        self._ledger = ledger

    async def put(self, object_key: str, source: Any, *, media_type: str, labels: Any) -> Any:
        """Look at the row, and fail the first time."""
        self.asked.append(f"put {object_key}")
        job = await self._ledger.load("one")
        assert job is not None
        self.keys_on_record.append(job.parts[0].object_key)
        if len(self.keys_on_record) == 1:
            raise UploadError("The disk is full.")
        return await super().put(object_key, source, media_type=media_type, labels=labels)

    async def discard_partial(self, object_key: str) -> None:
        """Write it down."""
        self.asked.append(f"discard {object_key}")


async def test_a_second_try_discards_what_the_first_left_open(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """The key is on record before the object is written, so that whoever goes on knows what may lie open under it."""
    ledger = MemoryLedger()
    storage = Unsteady(ledger)
    media = with_parts(storage, ledger)
    with pytest.raises(UploadError):
        await media.image("a fox", job_id="one")
    (asset,) = await media.resume("one")
    key = asset.object_key
    assert storage.keys_on_record == [key, key]
    assert storage.asked == [f"put {key}", f"discard {key}", f"put {key}"]
    assert emulator.books().creates == 1


class Away(MemoryLedger):
    """A ledger that cannot be reached when the second output is to be recorded as stored."""

    away = True

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Fail for that one."""
        if self.away and len(job.parts) > 1 and job.parts[1].asset is not None:
            raise LedgerError("The disk of the ledger is full.")
        return await super().update(job, expected_version=expected_version, fence=fence)


async def test_a_ledger_that_is_away_stops_no_other_transfer(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """Its own error is raised when the others have ended, and the rest is stored later."""
    ledger = Away()
    media = with_parts(ledger=ledger)
    with pytest.raises(LedgerError, match="is full"):
        await media.images("a fox", n=4, job_id="four")
    job = await ledger.load("four")
    assert job is not None
    assert [part.asset is not None for part in job.parts] == [True, False, True, True]
    ledger.away = False
    assert len(await media.resume("four")) == 4
    assert emulator.books().creates == 1


class EndsMeanwhile(MemoryLedger):
    """A ledger that takes so long to note the cancellation that the job ends at the provider meanwhile."""

    def __init__(self, clock: EmulatedClock) -> None:
        super().__init__(clock=clock)
        self.clock = clock

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Let the job end."""
        if job.cancel_requested:
            self.clock.emulator.advance(100)
        return await super().update(job, expected_version=expected_version, fence=fence)


async def test_a_success_that_comes_before_the_cancellation_is_kept(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """The wait ran out, and the paid result came first all the same: it is the answer."""
    emulator.switches.latency = 50
    asset = await with_parts(ledger=EndsMeanwhile(clock)).video(
        "a fox", model=FILM, duration=1, timeout=40, on_cancel="cancel"
    )
    assert asset.duration == 1.0
    assert emulator.books().creates == 1


async def test_not_found_after_a_cancellation_is_no_end_where_jobs_are_kept(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """The result came first, and the server then does not know the job for a moment: it is looked at again, not written off."""
    emulator.switches.latency = 50
    ledger = EndsMeanwhile(clock)
    job = await with_parts(ledger=ledger).start("video", "a fox", model=FILM, duration=1, on_cancel="cancel")
    emulator.fault("replicate.get", "not_found_grace")
    another_process = with_parts(ledger=ledger)
    assert (await another_process.cancel(job)).stage == "submitted"
    (asset,) = await another_process.resume(job.job_id)
    assert asset.duration == 1.0
    assert emulator.books().creates == 1
