"""What every ledger promises, as tests to subclass. Needs pytest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import pytest

from aifs_media.errors import StaleJobError
from aifs_media.records import Attempt, Failure, InlineFile, Job, MediaRequest, Part, RemoteFile
from aifs_media.testing._loops import on_both_loops

if TYPE_CHECKING:
    from pydantic import JsonValue

    from aifs_media.protocols import Ledger

BEGIN = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)


def job(job_id: str = "one", *, age: float = 0, **fields: object) -> Job:
    """Return a job with something in every field that is hard to keep."""
    request = MediaRequest(
        kind="image", prompt="a fox \x00 🦊", provider="replicate", model="m", tags={"tenant": "acme"}
    )
    values: dict[str, object] = {
        "job_id": job_id,
        "request": request,
        "created_at": BEGIN - timedelta(seconds=age),
        "timeout": 60.0,
        "lifetime": 70.0,
        "on_cancel": "detach",
        "object_stems": ("2026/11/one-0",),
        **fields,
    }
    return Job.model_validate(values)


def attempt(ref: object) -> Attempt:
    """Return an accepted attempt with this ref."""
    return Attempt.model_validate(
        {"submit_key": "k", "provider": "replicate", "model": "m", "started_at": BEGIN, "send_by": BEGIN, "ref": ref}
    )


class LedgerContract:
    """The promises of a ledger. Subclass it in a test module, with a fixture `ledger` that returns an empty one.

    For example:

        class TestMyLedger(LedgerContract):
            @pytest.fixture
            def ledger(self, tmp_path):
                return MyLedger(tmp_path / "jobs.db")

    Each check runs on asyncio and on trio and closes the ledger at its end.
    """

    @on_both_loops
    async def test_a_job_comes_back_as_it_was(self, ledger: Ledger) -> None:
        """Every field, inline bytes and odd characters included."""
        whole = job(
            parts=(Part(index=0, output=InlineFile(data=b"\xff\x00\xfe")),),
            attempts=(attempt({"id": "x"}),),
            failure=Failure(reason="canceled", message="é"),
        )
        assert await ledger.create_or_load(whole) == whole
        assert await ledger.load("one") == whole
        assert await ledger.load("two") is None

    @on_both_loops
    async def test_identity_is_namespace_and_id(self, ledger: Ledger) -> None:
        """The same id joins; another namespace never sees it."""
        first = await ledger.create_or_load(job())
        assert await ledger.create_or_load(job(timeout=5.0)) == first
        assert await ledger.load("one", namespace="other") is None
        other = job(namespace="other", timeout=5.0)
        assert await ledger.create_or_load(other) == other

    @on_both_loops
    async def test_updates_build_on_a_version(self, ledger: Ledger) -> None:
        """A stale writer is refused and changes nothing."""
        first = await ledger.create_or_load(job())
        second = await ledger.update(first.model_copy(update={"stage": "intent"}), expected_version=0)
        assert (second.version, second.stage) == (1, "intent")
        with pytest.raises(StaleJobError):
            await ledger.update(first.model_copy(update={"stage": "failed"}), expected_version=0)
        assert await ledger.load("one") == second

    @on_both_loops
    async def test_of_many_writers_one_wins(self, ledger: Ledger) -> None:
        """Twenty at once on one version: one update, nineteen refusals."""
        first = await ledger.create_or_load(job())
        won: list[Job] = []

        async def write(number: int) -> None:
            try:
                won.append(await ledger.update(first.model_copy(update={"timeout": 1.0 + number}), expected_version=0))
            except StaleJobError:
                return

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(write, number)
        assert len(won) == 1
        assert await ledger.load("one") == won[0]

    @on_both_loops
    async def test_leases_exclude_and_fences_grow(self, ledger: Ledger) -> None:
        """One owner at a time; who held it before cannot write any more."""
        first = await ledger.create_or_load(job())
        mine = await ledger.acquire("one", owner="me", seconds=60)
        assert mine is not None
        assert await ledger.acquire("one", owner="you", seconds=60) is None
        assert (await ledger.renew(mine, seconds=60)).fence == mine.fence
        await ledger.release(mine)
        yours = await ledger.acquire("one", owner="you", seconds=60)
        assert yours is not None
        assert yours.fence > mine.fence
        with pytest.raises(StaleJobError):
            await ledger.update(first, expected_version=0, fence=mine.fence)
        with pytest.raises(StaleJobError):
            await ledger.renew(mine, seconds=60)
        await ledger.release(mine)
        assert await ledger.acquire("one", owner="me", seconds=60) is None
        assert (await ledger.update(first, expected_version=0, fence=yours.fence)).version == 1

    @on_both_loops
    async def test_a_lease_runs_out(self, ledger: Ledger) -> None:
        """A dead owner's lease is free when its time is over."""
        await ledger.create_or_load(job())
        assert await ledger.acquire("one", owner="dead", seconds=0.05) is not None
        for _ in range(100):
            taken = await ledger.acquire("one", owner="me", seconds=60)
            if taken is not None:
                return
            await anyio.sleep(0.01)
        pytest.fail("the lease never ran out")

    @on_both_loops
    async def test_found_by_the_providers_ref(self, ledger: Ledger) -> None:
        """Whatever JSON the ref is."""
        kept = await ledger.create_or_load(job(attempts=(attempt(["a", 1, None]),)))
        assert await ledger.find_by_ref("replicate", ["a", 1, None]) == kept
        assert await ledger.find_by_ref("poe", ["a", 1, None]) is None
        assert await ledger.find_by_ref("replicate", "a") is None

    @on_both_loops
    async def test_one_row_holds_a_ref(self, ledger: Ledger) -> None:
        """A job at the provider is recorded once: who would hold its ref too is refused, and nothing changes."""
        await ledger.create_or_load(job(attempts=(attempt("x"),)))
        second = await ledger.create_or_load(job("two", attempts=(attempt(None),)))
        with pytest.raises(StaleJobError):
            await ledger.update(second.model_copy(update={"attempts": (attempt("x"),)}), expected_version=0)
        with pytest.raises(StaleJobError):
            await ledger.create_or_load(job("three", attempts=(attempt("x"),)))
        assert await ledger.load("two") == second
        assert await ledger.load("three") is None

    @on_both_loops
    async def test_found_by_the_id_in_a_ref(self, ledger: Ledger) -> None:
        """A webhook names nothing but the id of a handle that holds more."""
        ref: JsonValue = {"id": "r1", "status_url": "https://example.com/r1"}
        kept = await ledger.create_or_load(job(attempts=(attempt(ref),)))
        names: tuple[JsonValue, ...] = (ref, "r1", {"id": "r1"})
        others: tuple[JsonValue, ...] = ({"id": "r2"}, {"id": 1}, {"status_url": "https://example.com/r1"}, "r2")
        for known in names:
            assert await ledger.find_by_ref("replicate", known) == kept
        for other in others:
            assert await ledger.find_by_ref("replicate", other) is None

    @on_both_loops
    async def test_unfinished_jobs_by_urgency(self, ledger: Ledger) -> None:
        """Those that expire soonest, then the oldest, those never sent last; finished ones are not among them."""
        soon, later = BEGIN + timedelta(minutes=5), BEGIN + timedelta(minutes=50)
        for name, expires in (("later", later), ("soon", soon)):
            output = RemoteFile(url="https://x.test/a", expires_at=expires)
            await ledger.create_or_load(job(name, stage="succeeded", parts=(Part(index=0, output=output),)))
        await ledger.create_or_load(job("unsent", age=500))
        await ledger.create_or_load(job("old", age=100, stage="submitted"))
        await ledger.create_or_load(job("young", stage="unknown"))
        await ledger.create_or_load(job("done", stage="stored"))
        assert [found.job_id for found in await ledger.unfinished()] == ["soon", "later", "old", "young", "unsent"]
        assert [found.job_id for found in await ledger.unfinished(limit=1)] == ["soon"]

    @on_both_loops
    async def test_search(self, ledger: Ledger) -> None:
        """By namespace, tags and stage, newest first."""
        await ledger.create_or_load(job("a", age=10))
        await ledger.create_or_load(job("b", stage="failed"))
        await ledger.create_or_load(job("c", age=5, namespace="n"))
        assert [found.job_id for found in await ledger.search()] == ["b", "c", "a"]
        assert [found.job_id for found in await ledger.search(namespace="")] == ["b", "a"]
        assert [found.job_id for found in await ledger.search(stages={"failed"})] == ["b"]
        assert [found.job_id for found in await ledger.search(tags={"tenant": "acme"}, limit=2)] == ["b", "c"]
        assert await ledger.search(tags={"tenant": "other"}) == []

    @on_both_loops
    async def test_a_delivery_is_claimed_once_with_its_effect(self, ledger: Ledger) -> None:
        """In one transaction: a stale effect leaves the delivery free."""
        first = await ledger.create_or_load(job())
        changed = first.model_copy(update={"stage": "submitted"})
        with pytest.raises(StaleJobError):
            await ledger.claim_delivery("d", job=changed, expected_version=7)
        assert await ledger.claim_delivery("d", job=changed, expected_version=0)
        assert not await ledger.claim_delivery("d", job=changed, expected_version=1)
        kept = await ledger.load("one")
        assert kept is not None
        assert (kept.stage, kept.version) == ("submitted", 1)

    @on_both_loops
    async def test_prune_forgets_only_what_is_finished(self, ledger: Ledger) -> None:
        """An unfinished job is never forgotten."""
        await ledger.create_or_load(job("done", stage="stored"))
        await ledger.create_or_load(job("open"))
        assert await ledger.prune(before=datetime.now(UTC) + timedelta(days=1)) == 1
        assert await ledger.load("done") is None
        assert await ledger.load("open") is not None

    @on_both_loops
    async def test_usable_again_after_close(self, ledger: Ledger) -> None:
        """Closing lets go of files and connections, not of jobs."""
        kept = await ledger.create_or_load(job())
        await ledger.aclose()
        assert await ledger.load("one") == kept
