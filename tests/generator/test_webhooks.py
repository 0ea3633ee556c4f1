"""Webhooks: they wake whoever waits, and are never believed; polling goes on as a backstop."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from tests.servers.inbox import Delivery, Inbox

from aifs_media import (
    ConfigurationError,
    MediaGenerator,
    Settings,
    SubmissionUncertainError,
    UnsafeURLError,
    WebhookRefusedError,
)
from aifs_media._webhooks import sign
from aifs_media.contrib.web import webhook_app
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.notification import JobEnded, read_notification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing import EmulatedClock
    from aifs_media.testing.emulator import Emulator


pytestmark = pytest.mark.anyio

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
SECRET = "whsec_" + base64.b64encode(b"a secret of the host's own").decode()


class PatientClock:
    """Real time, except that a sleep ends only when somebody ends it: without a webhook a job would wait for ever."""

    def __init__(self, clock: EmulatedClock) -> None:
        self._clock = clock
        self.asleep = anyio.Event()

    def now(self) -> datetime:
        """Return the emulator's present."""
        return self._clock.now()

    def monotonic(self) -> float:
        """Return the emulator's present in seconds."""
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        """Never return by itself, unless there is nothing to wait for."""
        if not seconds:
            await anyio.lowlevel.checkpoint()
            return
        self.asleep.set()
        await anyio.sleep_forever()


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    """Where the emulator sends its webhooks."""
    running = Inbox()
    yield running
    running.close()


@pytest.fixture
def settings(emulator: Emulator, inbox: Inbox) -> Settings:
    """The emulator's settings, with webhooks to the inbox."""
    own = emulator.settings()
    trusted = f"{own.pop('MEDIA_TRUSTED_HOSTS')},{inbox.host}"
    return Settings.from_env({**own, "MEDIA_TRUSTED_HOSTS": trusted, "MEDIA_WEBHOOK_URL": f"http://{inbox.host}/hooks"})


async def delivery(inbox: Inbox, number: int = 1) -> Delivery:
    """Return a delivery once it has come."""
    deliveries = await anyio.to_thread.run_sync(inbox.wait_for, number)
    return deliveries[number - 1]


async def hand_over(media: MediaGenerator, sent: Delivery) -> int:
    """Give a delivery to the app as the network would, under the path that the provider was given."""
    transport = httpx.ASGITransport(webhook_app(media))
    async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
        path = sent.path.removeprefix("/hooks")
        # Of this body, which a test may have changed.
        headers = {name: value for name, value in sent.headers.items() if name != "content-length"}
        return (await client.post(path, headers=headers, content=sent.body)).status_code


async def test_a_webhook_wakes_the_waiting_job(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox
) -> None:
    """The job asks the provider once, when it is told to, and not before."""
    emulator.switches.latency = 5
    patient = PatientClock(clock)
    async with MediaGenerator(settings=settings, storage=storage, clock=patient) as media:
        async with anyio.create_task_group() as group:
            assets = []

            async def make() -> None:
                assets.append(await media.video("a fox", model=FILM, duration=1))

            group.start_soon(make)
            await patient.asleep.wait()
            reads = len(emulator.books().requested("replicate.get"))
            emulator.advance(10)
            assert await hand_over(media, await delivery(inbox)) == 204
        assert [asset.media_type for asset in assets] == ["video/mp4"]
        assert len(emulator.books().requested("replicate.get")) == reads + 1
    create = emulator.last_request("replicate.create").json
    assert isinstance(create, dict)
    assert create["webhook_events_filter"] == ["completed"]
    assert create["webhook"] == f"http://{inbox.host}/hooks/replicate?job=%2F{assets[0].job_id}"


async def test_a_webhook_before_the_answer_tells_the_ref(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox
) -> None:
    """The create's answer is lost and the list cannot be read: the webhook says which job it was."""
    emulator.fault("replicate.create", "drop_after")
    emulator.fault("replicate.list", "status", status=500, times=1000)
    patient = PatientClock(clock)
    async with MediaGenerator(settings=settings, storage=storage, clock=patient) as media:
        async with anyio.create_task_group() as group:
            group.start_soon(media.image, "a fox")
            await patient.asleep.wait()
            assert await hand_over(media, await delivery(inbox)) == 204
        (job,) = await media.jobs()
    assert job.stage == "stored"
    assert emulator.books().creates == 1


async def test_a_webhook_overtakes_the_answer(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox
) -> None:
    """It comes while the create is still being answered; the answer then finds the ref recorded."""
    emulator.fault("replicate.create", "slow_drip", seconds=0.05)
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as media:
        async with anyio.create_task_group() as group:
            group.start_soon(media.image, "a fox")
            assert await hand_over(media, await delivery(inbox)) == 204
            (job,) = await media.jobs()
            assert job.stage == "submitted"
        (job,) = await media.jobs()
    assert job.stage == "stored"
    assert emulator.books().creates == 1


async def test_an_uncertain_job_is_rescued(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox, tmp_path: Path
) -> None:
    """The webhook proves that a create which was given up had been accepted; its media are stored after all."""
    emulator.fault("replicate.create", "drop_after")
    emulator.fault("replicate.list", "status", status=500, times=1000)
    async with MediaGenerator(
        settings=settings, storage=storage, clock=clock, ledger=SqliteLedger(tmp_path / "jobs.db", clock=clock)
    ) as media:
        with pytest.raises(SubmissionUncertainError):
            await media.image("a fox")
        assert await hand_over(media, await delivery(inbox)) == 204
        (job,) = await media.jobs()
    assert job.stage == "stored"
    assert emulator.books().creates == 1


async def test_nobody_waits(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox
) -> None:
    """A job that was only started is brought to its end by the app."""
    emulator.switches.latency = 5
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as media:
        job = await media.start("video", "a fox", model=FILM, duration=1)
        emulator.advance(10)
        assert await hand_over(media, await delivery(inbox)) == 204
        (ended,) = await media.jobs()
    assert (ended.job_id, ended.stage) == (job.job_id, "stored")


async def test_duplicates_and_disorder_change_nothing(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox
) -> None:
    """The same delivery again, or one about a job that has ended, is taken and has no effect."""
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as media:
        await media.image("a fox")
        (before,) = await media.jobs()
        sent = await delivery(inbox)
        assert await media.receive_webhook("replicate", sent.headers, sent.body) is None
        assert await media.receive_webhook("replicate", sent.headers, sent.body) is None
        assert await media.jobs() == [before]
        reads = len(emulator.books().requested("replicate.secret"))
    # The secret was asked for once.
    assert reads == 1


async def test_a_delivery_counts_once(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox
) -> None:
    """Of a job that nobody waits for, the first delivery says that it should be gone on with; its repetition says nothing."""
    emulator.switches.latency = 5
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as media:
        job = await media.start("video", "a fox", model=FILM, duration=1)
        emulator.advance(10)
        sent = await delivery(inbox)
        told = await media.receive_webhook("replicate", sent.headers, sent.body)
        assert told is not None
        assert told.job_id == job.job_id
        assert await media.receive_webhook("replicate", sent.headers, sent.body) is None


async def test_strangers_are_refused(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox
) -> None:
    """Neither a forged signature nor another body, nor a provider without webhooks, gets further than 401."""
    emulator.switches.latency = 5
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as media:
        await media.start("video", "a fox", model=FILM, duration=1)
        emulator.advance(10)
        sent = await delivery(inbox)
        forged = sign(SECRET, sent.body, delivery_id="msg_1", now=datetime.now(UTC))
        assert await hand_over(media, sent._replace(headers={**sent.headers, **forged})) == 401
        assert await hand_over(media, sent._replace(body=sent.body + b" ")) == 401
        assert await hand_over(media, sent._replace(path="/hooks/poe?job=%2Fx")) == 401
        assert await hand_over(media, sent._replace(path="/hooks/nobody?job=%2Fx")) == 404
        assert await hand_over(media, sent._replace(body=bytes(1024 * 1024 + 1))) == 413
        with pytest.raises(WebhookRefusedError):
            await media.receive_webhook("replicate", {}, sent.body)
        (job,) = await media.jobs()
        assert job.stage == "submitted"
        # None of them used the delivery up.
        assert await hand_over(media, sent) == 204
        (job,) = await media.jobs()
        assert job.stage == "stored"


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
async def test_a_repeated_header_is_refused(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, inbox: Inbox, name: str
) -> None:
    """Also where both are the same; what a proxy in front repeats is no matter."""
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as media:
        await media.image("a fox")
        sent = await delivery(inbox)
        transport = httpx.ASGITransport(webhook_app(media))
        async with httpx.AsyncClient(transport=transport, base_url="http://host") as client:
            for repeated, status in ((name, 401), ("via", 204)):
                headers = [*sent.headers.items(), (repeated, sent.headers.get(repeated, "1.1 a")), ("via", "1.1 b")]
                answer = await client.post("/replicate", headers=headers, content=sent.body)
                assert answer.status_code == status


@pytest.mark.parametrize(
    "body",
    [
        b'{"id": "p", "webhook": "https://host.test/?job=/\\ud800"}',
        b'{"id": "p", "webhook": "https://host.test/?job=/a%2500"}',
        b'{"id": "p\\udfff"}',
        b'{"id": "p\\u0000"}',
    ],
)
async def test_what_no_job_is_named_is_refused(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, tmp_path: Path, body: bytes
) -> None:
    """Half a character in a webhook that is signed is no error of the server's."""
    own = Settings.from_env({**settings.environ(), "REPLICATE_WEBHOOK_SECRET": SECRET})
    ledger = SqliteLedger(tmp_path / "media.db")
    async with MediaGenerator(settings=own, storage=storage, clock=clock, ledger=ledger) as media:
        for sent, status in ((body, 401), (b'{"id": "p", "webhook": "https://host.test/?job=/%C3%A9"}', 204)):
            headers = sign(SECRET, sent, delivery_id="msg_1", now=datetime.now(UTC))
            assert await hand_over(media, Delivery("/hooks/replicate", headers, sent)) == status


async def test_another_ledgers_job(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, inbox: Inbox
) -> None:
    """A webhook about a job that this ledger does not know is taken and changes nothing."""
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as media:
        await media.image("a fox")
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as other:
        assert await hand_over(other, await delivery(inbox)) == 204
        assert await other.jobs() == []


async def test_the_secret_cannot_be_had(
    settings: Settings, clock: EmulatedClock, storage: MemoryStorage, emulator: Emulator, inbox: Inbox
) -> None:
    """503, so that the provider sends it again."""
    async with MediaGenerator(settings=settings, storage=storage, clock=clock) as media:
        await media.image("a fox")
        emulator.fault("replicate.secret", "status", status=500)
        assert await hand_over(media, await delivery(inbox)) == 503


async def test_a_webhook_address_must_be_https(emulator: Emulator, storage: MemoryStorage) -> None:
    """An address that the provider could be tricked on is refused before anything is paid."""
    settings = Settings.from_env(emulator.settings(), media_webhook_url="http://example.com/hooks")
    with pytest.raises(ConfigurationError, match="MEDIA_WEBHOOK_URL"):
        await MediaGenerator(settings=settings, storage=storage).image("a fox")
    assert emulator.books().creates == 0


# -- telling the host --------------------------------------------------------------------------------------------------


@pytest.fixture
def notifying(
    emulator: Emulator, inbox: Inbox, clock: EmulatedClock, storage: MemoryStorage
) -> Callable[[], MediaGenerator]:
    """Build generators that notify the inbox."""

    def build() -> MediaGenerator:
        own = emulator.settings()
        own["MEDIA_TRUSTED_HOSTS"] += f",{inbox.host}"
        own |= {"MEDIA_NOTIFY_URL": f"http://{inbox.host}/ended", "MEDIA_NOTIFY_SECRET": SECRET}
        return MediaGenerator(settings=Settings.from_env(own), storage=storage, clock=clock)

    return build


def read(sent: Delivery, clock: EmulatedClock) -> JobEnded:
    return read_notification(sent.headers, sent.body, secret=SECRET, now=clock.now())


async def test_the_host_is_told(notifying: Callable[[], MediaGenerator], inbox: Inbox, clock: EmulatedClock) -> None:
    """A signed, typed word about every end, once for each job."""
    asset = await notifying().image("a fox", tags={"tenant": "acme"})
    ended = read(await delivery(inbox), clock)
    assert (ended.job_id, ended.stage, ended.tags) == (asset.job_id, "stored", {"tenant": "acme"})
    assert ended.assets == (asset,)
    with pytest.raises(WebhookRefusedError):
        read_notification({**inbox.deliveries[0].headers}, b"{}", secret=SECRET, now=clock.now())


async def test_the_host_is_told_of_failures(
    notifying: Callable[[], MediaGenerator], emulator: Emulator, inbox: Inbox, clock: EmulatedClock
) -> None:
    """A job without media says why; joining it again tells nothing again."""
    emulator.fault("replicate.create", "moderated")
    media = notifying()
    for _ in range(2):
        with pytest.raises(Exception, match=r"(?i)nsfw|sensitive|moderat|refus"):
            await media.image("a fox", job_id="one")
    ended = read(await delivery(inbox), clock)
    assert (ended.stage, ended.assets) == ("failed", ())
    assert ended.failure is not None
    assert ended.failure.reason == "content_rejected"
    assert len(inbox.deliveries) == 1


async def test_a_host_that_does_not_answer_costs_no_asset(
    emulator: Emulator, clock: EmulatedClock, storage: MemoryStorage
) -> None:
    """The job is what it is; the host was told three times."""
    refusing = Inbox(refusals=10)
    try:
        own = emulator.settings()
        own["MEDIA_TRUSTED_HOSTS"] += f",{refusing.host}"
        own |= {"MEDIA_NOTIFY_URL": f"http://{refusing.host}/ended", "MEDIA_NOTIFY_SECRET": SECRET}
        media = MediaGenerator(settings=Settings.from_env(own), storage=storage, clock=clock)
        assert (await media.image("a fox")).width == 1024
        assert len(refusing.deliveries) == 3
        assert len({sent.headers["webhook-id"] for sent in refusing.deliveries}) == 1
    finally:
        refusing.close()


@pytest.mark.parametrize(
    "url", ["http://169.254.169.254/latest", "https://10.0.0.1/x", "file:///etc/passwd", "https://[::1]/"]
)
async def test_an_address_that_must_not_be_posted_to(
    notifying: Callable[[], MediaGenerator], emulator: Emulator, url: str
) -> None:
    """Refused before anything is paid."""
    with pytest.raises(UnsafeURLError):
        await notifying().image("a fox", notify_url=url)
    assert emulator.books().creates == 0


async def test_notifications_need_a_secret(emulator: Emulator, storage: MemoryStorage) -> None:
    """Unsigned ones are not sent; that is said before anything is paid."""
    media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=storage)
    with pytest.raises(ConfigurationError, match="MEDIA_NOTIFY_SECRET"):
        await media.image("a fox", notify_url="https://example.com/ended")
    assert emulator.books().creates == 0
