"""The moments around a create: what is recorded before it leaves, when it must not leave any more, and what is not adopted."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from aifs_media import LedgerError, MediaGenerator, Settings, StaleJobError, UnexpectedResponseError, _turns
from aifs_media._http import HttpClient
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.records import Found, Pending
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media.protocols import Ledger
    from aifs_media.records import Job
    from aifs_media.testing.emulator import Emulator

    from .conftest import EmulatedClock

pytestmark = pytest.mark.anyio

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


@pytest.fixture
def with_parts(emulator: Emulator, clock: EmulatedClock) -> Callable[..., MediaGenerator]:
    """Build a generator with a provider class, or a ledger, of the test's own."""

    def build(provider: type[ReplicateProvider] = ReplicateProvider, ledger: Ledger | None = None) -> MediaGenerator:
        settings = Settings.from_env(emulator.settings())
        return MediaGenerator(
            providers=[provider.from_settings(settings.environ())],
            settings=settings,
            storage=MemoryStorage(),
            ledger=ledger,
            clock=clock,
        )

    return build


async def test_the_intent_is_recorded_before_the_create_leaves(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock, tmp_path: Path
) -> None:
    """While the create is on its way, another process already reads what it needs to find it again."""
    path, seen = tmp_path / "jobs.db", list[Any]()

    class Watching(ReplicateProvider):
        async def submit(self, request: Any, *, submit_key: str) -> Any:
            other = SqliteLedger(path, clock=clock)
            seen.append(await other.load("one"))
            await other.aclose()
            assert emulator.books().requested("replicate.create") == ()
            return await super().submit(request, submit_key=submit_key)

    await with_parts(Watching, SqliteLedger(path, clock=clock)).image("a fox", job_id="one")
    (row,) = seen
    assert (row.stage, row.attempts[-1].outcome) == ("intent", "sending")
    assert row.seed_is_ours
    assert row.request.inputs["seed"] is not None
    assert row.attempts[-1].send_by > clock.now() - timedelta(seconds=60)


async def test_whatever_an_adapter_raises_is_a_lost_answer(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """An adapter that stumbles after the create was accepted: the job is found, not made again."""

    class Stumbling(ReplicateProvider):
        async def submit(self, request: Any, *, submit_key: str) -> Any:
            await super().submit(request, submit_key=submit_key)
            raise KeyError("status")

    assert (await with_parts(Stumbling).image("a fox")).width == 1024
    assert emulator.books().creates == 1


async def test_an_adapter_that_calls_nonsense_free_is_not_believed(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """An answer that makes no sense is no refusal, whatever the adapter says of it."""

    class Hasty(ReplicateProvider):
        async def submit(self, request: Any, *, submit_key: str) -> Any:
            await super().submit(request, submit_key=submit_key)
            raise UnexpectedResponseError("That is no prediction.", retryable=True, maybe_billed=False)

    assert (await with_parts(Hasty).image("a fox")).width == 1024
    assert emulator.books().creates == 1


async def test_an_answer_without_sense_from_a_list_is_found(media: MediaGenerator, emulator: Emulator) -> None:
    """A create that was answered with nonsense is looked for, and nothing is sent twice."""
    emulator.fault("replicate.create", "truncated")
    assert (await media.image("a fox")).width == 1024
    assert len(emulator.books().requested("replicate.create")) == 1


class SlowToReturn(MemoryLedger):
    """A ledger whose first intent is on record long before its caller goes on: the machine slept."""

    def __init__(self, clock: EmulatedClock) -> None:
        super().__init__(clock=clock)
        self.clock = clock
        self.slept = False

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Let a minute pass after the first intent."""
        written = await super().update(job, expected_version=expected_version, fence=fence)
        if job.stage == "intent" and not self.slept:
            self.slept = True
            self.clock.emulator.advance(60)
        return written


async def test_an_intent_that_is_too_old_is_not_sent(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """Whoever took the job over waited for `send_by` only; a create after it could be a second one. A new attempt may follow."""
    ledger = SlowToReturn(clock)
    await with_parts(ledger=ledger).image("a fox", job_id="one", timeout=600)
    job = await ledger.load("one")
    assert job is not None
    assert [attempt.outcome for attempt in job.attempts] == ["not_accepted", "accepted"]
    assert len(emulator.books().requested("replicate.create")) == 1


class Robbed(SqliteLedger):
    """A ledger in which somebody else can take over a job whose lease was held; no time passes for that."""

    lease: Any = None

    async def acquire(self, job_id: str, *, namespace: str = "", owner: str, seconds: float) -> Any:
        """Note the lease."""
        self.lease = await super().acquire(job_id, namespace=namespace, owner=owner, seconds=seconds)
        return self.lease

    async def rob(self) -> None:
        """Take the job over."""
        await self.release(self.lease)
        assert await super().acquire("one", owner="another", seconds=10_000) is not None


async def test_a_worker_whose_lease_is_lost_sends_nothing(
    with_parts: Callable[..., MediaGenerator],
    emulator: Emulator,
    clock: EmulatedClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Another process took the job over between the intent and the send: the create stays here, shield or not."""
    monkeypatch.setattr(_turns, "RENEW_EVERY", 0.01)
    refused = anyio.Event()

    class Stolen(Robbed):
        async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
            written = await super().update(job, expected_version=expected_version, fence=fence)
            if job.stage == "intent":
                with anyio.CancelScope(shield=True):
                    await self.rob()
                    await refused.wait()
            return written

        async def renew(self, lease: Any, *, seconds: float) -> Any:
            try:
                return await super().renew(lease, seconds=seconds)
            except StaleJobError:
                refused.set()
                raise

    with anyio.fail_after(20), pytest.raises(StaleJobError):
        await with_parts(ledger=Stolen(tmp_path / "jobs.db", clock=clock)).image("a fox", job_id="one", timeout=500)
    assert emulator.books().requested("replicate.create") == ()


async def test_a_lost_lease_ends_the_work(
    with_parts: Callable[..., MediaGenerator],
    emulator: Emulator,
    clock: EmulatedClock,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who lost the job stops with it, even in a long wait for the provider, and leaves provider and row to the other."""
    monkeypatch.setattr(_turns, "RENEW_EVERY", 0.01)
    ledger = Robbed(tmp_path / "jobs.db", clock=clock)
    waiting = anyio.Event()

    class Waiting(ReplicateProvider):
        async def poll(self, ref: Any) -> Any:
            waiting.set()
            await anyio.sleep(5)
            return Pending(ref=ref)

    async def steal() -> None:
        await waiting.wait()
        await ledger.rob()

    emulator.switches.latency = 10_000
    with anyio.fail_after(4):
        async with anyio.create_task_group() as group:
            group.start_soon(steal)
            with pytest.raises(StaleJobError, match="taken the job over"):
                await with_parts(Waiting, ledger).video("a fox", model=FILM, duration=1, job_id="one", timeout=500)
    assert emulator.books().cancels == 0
    await ledger.aclose()


async def test_what_another_row_holds_is_not_adopted(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """A list that shows an older job with the same inputs: the one that a row holds already is left alone, also by cancels."""
    others: list[Job] = []

    class Crowded(ReplicateProvider):
        async def find(self, request: Any, *, since: Any, until: Any) -> Any:
            mine = await super().find(request, since=since, until=until)
            held = [
                Found(ref=job.ref, created_at=since, inputs=request.inputs, state=await self.poll(job.ref))
                for job in others
            ]
            return [*held, *mine]

    media = with_parts(Crowded)
    others.append(await media.start("image", "a fox", job_id="first"))
    emulator.fault("replicate.create", "drop_after")
    asset = await media.image("another fox", job_id="second")
    assert asset.job_id == "second"
    refs = {job.job_id: job.ref for job in await media.jobs()}
    assert len(set(refs.values())) == 2
    assert (emulator.books().creates, emulator.books().cancels) == (2, 0)


async def test_creates_go_out_on_fresh_connections() -> None:
    """A kept connection that the server just closed looks exactly like a lost answer: no create is sent on one."""
    connections: list[object] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self) -> None:
            """Count the connection."""
            connections.append(self.client_address)
            super().setup()

        def do_POST(self) -> None:
            """Answer, and keep the connection open."""
            self.rfile.read(int(self.headers["content-length"]))
            body = json.dumps({"id": "one"}).encode()
            self.send_response(201)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    client = HttpClient(provider="one", base_url=f"http://127.0.0.1:{server.server_port}", headers={})
    try:
        for _ in range(3):
            assert (await client.create("/jobs", json={})).status == 201
    finally:
        await client.aclose()
        server.shutdown()
        thread.join()
        server.server_close()
    assert len(set(connections)) == 3


class Busy(MemoryLedger):
    """A ledger that somebody else holds locked, as often as `times` says, when a create has been answered."""

    times = 0

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Refuse what tells of an accepted create."""
        if self.times and job.attempts and job.attempts[-1].outcome == "accepted":
            self.times -= 1
            raise LedgerError("The ledger was locked by another process.", retryable=True)
        return await super().update(job, expected_version=expected_version, fence=fence)


class Forgetful(MemoryLedger):
    """A ledger whose answer to the record of an accepted create is lost once, when it has been written."""

    forgets = True

    async def update(self, job: Job, *, expected_version: int, fence: int | None = None) -> Job:
        """Write, and lose the answer."""
        changed = await super().update(job, expected_version=expected_version, fence=fence)
        if self.forgets and job.attempts and job.attempts[-1].outcome == "accepted":
            self.forgets = False
            raise LedgerError("The connection to the ledger ended.", retryable=True)
        return changed


@pytest.mark.parametrize("busy", [1, 2])
async def test_a_ledger_that_is_busy_for_a_moment(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock, busy: int
) -> None:
    """The record of an accepted create is tried again, and the create is not."""
    ledger = Busy(clock=clock)
    ledger.times = busy
    await with_parts(ledger=ledger).image("a fox", job_id="one")
    assert emulator.books().creates == 1


async def test_a_ledger_that_stays_busy_when_a_create_was_accepted(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """It is said that the create may be billed; whoever resumes finds it instead of sending another."""
    ledger = Busy(clock=clock)
    ledger.times = 3
    media = with_parts(ledger=ledger)
    with pytest.raises(LedgerError, match="resume") as caught:
        await media.image("a fox", job_id="one")
    assert caught.value.maybe_billed
    assert caught.value.job_id == "one"
    assert (await media.resume("one"))[0].width
    assert emulator.books().creates == 1


async def test_a_record_whose_answer_was_lost_is_ours(
    with_parts: Callable[..., MediaGenerator], emulator: Emulator, clock: EmulatedClock
) -> None:
    """The row has changed, and by nobody else."""
    await with_parts(ledger=Forgetful(clock=clock)).image("a fox", job_id="one")
    assert emulator.books().creates == 1
