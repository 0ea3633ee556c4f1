"""Nothing is left behind: sockets, warnings, keys; and nothing crosses from one generator to another."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import warnings
from typing import TYPE_CHECKING, Any

import anyio
import anyio.from_thread
import anyio.to_thread
import httpx
import pytest
from tests.canaries import KEY, SIGNATURE

from aifs_media import ConfigurationError, MediaError, MediaGenerator, Settings
from aifs_media._http import Answer
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.storage.local import LocalStorage
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from pathlib import Path

    from aifs_media.events import Event


def open_sockets() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
        if target.startswith("socket:"):
            found.add(target)
    return found


def test_one_run_after_another(emulator: Emulator, anyio_backend: str) -> None:
    """One generator, three event loops in turn, bare calls: no warnings, no open sockets."""
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())
    before = open_sockets()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(3):
            asset = anyio.run(lambda: media.image("a fox"), backend=anyio_backend)
            assert asset.width == 1024
            gc.collect()
    assert open_sockets() <= before | emulator_side(before)


def emulator_side(before: set[str]) -> set[str]:
    """The emulator runs in this process too; give it a moment to notice closed connections."""
    for _ in range(200):
        now = open_sockets()
        if now <= before:
            return now
        anyio.run(anyio.sleep, 0.01)
    return set()


@pytest.mark.anyio
async def test_a_second_loop_is_refused_while_the_first_holds(emulator: Emulator, anyio_backend_name: str) -> None:
    """Two loops at once are a clear error, not a hang."""
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())

    def other_thread() -> None:
        anyio.run(lambda: media.image("a fox"), backend=anyio_backend_name)

    async with media:
        with pytest.raises(ConfigurationError, match="another event loop"):
            await anyio.to_thread.run_sync(other_thread)
        assert (await media.image("a fox")).width == 1024


@pytest.mark.anyio
async def test_two_tenants_interleaved_share_nothing(tmp_path: Path) -> None:
    """Different keys, storages and ledgers in one process; canaries prove that nothing crosses over."""
    key_one, key_two = "r8_canary-one-5f1c", "r8_canary-two-9d27"
    with Emulator(replicate_token=key_one) as first, Emulator(replicate_token=key_two) as second:
        one, two = LocalStorage(tmp_path / "one"), LocalStorage(tmp_path / "two")
        ledger_one, ledger_two = MemoryLedger(), MemoryLedger()
        media_one = MediaGenerator(settings=Settings.from_env(first.settings()), storage=one, ledger=ledger_one)
        media_two = MediaGenerator(settings=Settings.from_env(second.settings()), storage=two, ledger=ledger_two)
        async with media_one, media_two, anyio.create_task_group() as group:
            for number in range(5):
                group.start_soon(lambda number=number: media_one.image(f"one {number}", namespace="one"))
                group.start_soon(lambda number=number: media_two.image(f"two {number}", namespace="two"))
        for emulator, own, other in ((first, "one", key_two), (second, "two", key_one)):
            books = emulator.books()
            assert books.creates == 5
            assert {str(record.input["prompt"]).split()[0] for record in books.predictions} == {own}
            assert other not in repr([request.headers for request in books.requests])
        assert len(list((tmp_path / "one").rglob("*.webp"))) == 5
        assert len(list((tmp_path / "two").rglob("*.webp"))) == 5
        assert {job.namespace for job in await ledger_one.search()} == {"one"}
        assert {job.namespace for job in await ledger_two.search()} == {"two"}


@pytest.mark.anyio
async def test_the_key_shows_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    """A canary key is looked for in every log record, event, row, error and repr."""
    canary = "r8_canary-c0ffee"
    seen: list[Event] = []
    caplog.set_level(logging.DEBUG)
    with Emulator(replicate_token=canary) as emulator:
        ledger = MemoryLedger()
        media = MediaGenerator(
            settings=Settings.from_env(emulator.settings()),
            storage=MemoryStorage(),
            ledger=ledger,
            on_event=seen.append,
        )
        await media.image("a fox")
        emulator.fault("replicate.create", "status", status=401, body='{"detail": "bad token ' + canary + '"}')
        with pytest.raises(MediaError) as refused:
            await media.image("a fox")
        texts = [record.getMessage() + repr(record.__dict__) for record in caplog.records]
        texts += [event.model_dump_json() for event in seen]
        texts += [job.model_dump_json() for job in await ledger.search()]
        texts += [
            repr(refused.value),
            str(refused.value),
            repr(pickle.dumps(refused.value)),
            repr(media),
            repr(media._jobs.parts._providers),
        ]
        assert not [text for text in texts if canary in text]


class SignedHandles(ReplicateProvider):
    """A provider whose handle is an address that anybody can ask."""

    async def submit(self, request: Any, *, submit_key: str) -> Any:
        """Return the handle as an address."""
        state = await super().submit(request, submit_key=submit_key)
        return state.model_copy(update={"ref": f"https://a.test/{state.ref}?sig={SIGNATURE}"})

    async def poll(self, ref: Any) -> Any:
        """Ask for the job that the address names."""
        state = await super().poll(str(ref).partition("?")[0].rpartition("/")[2])
        return state.model_copy(update={"ref": ref})


@pytest.mark.anyio
async def test_a_signed_handle_is_told_to_nobody(emulator: Emulator) -> None:
    """It is in the row while the job runs, and then only known to the ledger; the detector of every test looks elsewhere."""
    seen: list[Event] = []
    ledger, settings = MemoryLedger(), Settings.from_env(emulator.settings())
    media = MediaGenerator(
        providers=[SignedHandles.from_settings(settings.environ())], settings=settings, storage=MemoryStorage(),
        ledger=ledger, on_event=seen.append,
    )  # fmt: skip
    job = await media.start("image", "a fox", job_id="one")
    assert SIGNATURE in str(job.ref)
    await media.wait(job)
    kept = await ledger.load("one")
    assert kept is not None
    assert kept.ref is None
    assert await ledger.find_by_ref("replicate", job.ref) == kept
    assert SIGNATURE not in "".join(event.model_dump_json() for event in seen)


@pytest.mark.anyio
@pytest.mark.parametrize("key", ["r8_canary\nkey-in-lines", "r8_canary-k\u0435y-cyrillic", "r8 canary key with spaces"])
async def test_a_key_that_cannot_be_sent_is_no_lost_answer(emulator: Emulator, key: str) -> None:
    """The HTTP library's own error would repeat it, and the create would pass for one that may be billed."""
    media = MediaGenerator(
        settings=Settings.from_env({**emulator.settings(), "REPLICATE_API_KEY": key}), storage=MemoryStorage()
    )
    with pytest.raises(ConfigurationError, match="characters that no key has") as refused:
        await media.image("a fox")
    assert not refused.value.maybe_billed
    assert "canary" not in str(refused.value)
    assert emulator.books().requests == ()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["drop_before", "drop_after"])
async def test_the_cause_of_a_lost_answer_holds_no_key(emulator: Emulator, kind: Any) -> None:
    """The HTTP library's error carries the request, with its headers."""
    provider = ReplicateProvider.from_settings(emulator.settings())
    emulator.fault("replicate.account", kind)
    with pytest.raises(MediaError) as lost:
        await provider.call("GET", "/account")
    await provider.aclose()
    assert isinstance(lost.value.__cause__, httpx.RequestError)
    assert "authorization" not in lost.value.__cause__.request.headers


@pytest.mark.anyio
async def test_a_vendor_that_repeats_the_key_is_not_repeated(media: MediaGenerator, emulator: Emulator) -> None:
    """Neither in the failure of a generation nor as a request's id; the detector of every test knows the key."""
    key = emulator.settings()["REPLICATE_API_KEY"]
    emulator.fault("replicate.create", "failed", text=f"The token {key} was used at https://a.test/x?sig={SIGNATURE}")
    with pytest.raises(MediaError, match=r"used at https://a\.test/x"):
        await media.image("a fox", job_id="one")
    headers = {"x-request-id": f"{key}\x1b[31m"}
    error = ReplicateProvider(api_key=key).error(Answer(500, headers, b"", "replicate"))
    assert error.request_id == "***[31m"


@pytest.mark.anyio
async def test_a_callback_that_raises_costs_nothing(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """on_event is the host's; its mistakes are logged and the asset is made."""

    def broken(event: Event) -> None:
        raise RuntimeError(event.event)

    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage(), on_event=broken)
    assert (await media.image("a fox")).width == 1024
    assert "on_event raised" in caplog.text


@pytest.mark.anyio
async def test_every_provider_with_a_key_is_checked(emulator: Emulator) -> None:
    """Besides the default ones, each that was given a key is asked whether it is good; the others are left alone."""
    own = {**emulator.settings(), "RUNWAYML_API_SECRET": KEY}
    del own["STABILITY_API_KEY"]
    report = await MediaGenerator(settings=Settings.from_env(own), storage=MemoryStorage()).check()
    assert {
        check.name: check.ok for check in report.checks if check.name in {"replicate", "poe", "runway", "stability"}
    } == {
        "replicate": True,
        "poe": True,
        "runway": False,
    }


def test_the_storage_warning_points_at_the_caller(
    emulator: Emulator, anyio_backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the line that called the library, not one of the library's own."""
    monkeypatch.chdir(tmp_path)
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()))

    async def call() -> None:
        await media.image("a fox")

    with pytest.warns(UserWarning, match="No storage is configured") as told:
        anyio.run(call, backend=anyio_backend)
    assert [(warning.filename, warning.lineno) for warning in told] == [(__file__, call.__code__.co_firstlineno + 1)]
