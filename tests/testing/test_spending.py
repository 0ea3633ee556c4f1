"""While the guard holds, no create leaves this machine; what goes to this machine is left alone."""

from __future__ import annotations

import pickle
import socket
import threading

import pytest
from tests.canaries import KEY

from aifs_media import MediaGenerator, Settings, SyncMediaGenerator
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing import FakeClock, FakeProvider, SpendingForbiddenError, forbid_spending
from aifs_media.testing.emulator import Emulator

KEYS = {"REPLICATE_API_KEY": KEY, "POE_API_KEY": KEY, "RUNWAYML_API_SECRET": KEY}
MODELS = ["replicate:black-forest-labs/flux-schnell", "poe:gpt-image-1", "runway:gen4_image"]


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Note every name that is looked up and every connection that is tried."""
    tried: list[object] = []
    look_up = socket.getaddrinfo

    def noting(*arguments: object, **options: object) -> object:
        tried.append(arguments)
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", noting)
    return tried


def real() -> MediaGenerator:
    return MediaGenerator(settings=Settings.from_env(KEYS), storage=MemoryStorage(), clock=FakeClock())


@pytest.mark.anyio
@pytest.mark.parametrize("model", MODELS)
async def test_no_create_of_a_real_provider_leaves(model: str, no_network: list[object]) -> None:
    """It is refused before a name is looked up, and counts as not sent."""
    options = {"aspect_ratio": "1:1"} if model.startswith("runway") else {}
    with forbid_spending():
        with pytest.raises(SpendingForbiddenError, match="Nothing was sent") as refused:
            await real().image("a fox", model=model, check_options=False, **options)
    assert not refused.value.maybe_billed
    assert no_network == []


@pytest.mark.anyio
async def test_no_text_is_bought(no_network: list[object]) -> None:
    """Texts cost as well."""
    with forbid_spending():
        with pytest.raises(SpendingForbiddenError):
            await real().text("hello")
    assert no_network == []


def test_threads_that_run_already_are_guarded(no_network: list[object]) -> None:
    """The synchronous generator's thread was there before the guard."""
    with SyncMediaGenerator(settings=Settings.from_env(KEYS), storage=MemoryStorage()) as media:
        before = threading.active_count()
        with forbid_spending():
            with pytest.raises(SpendingForbiddenError):
                media.image("a fox")
        assert threading.active_count() >= before
    assert no_network == []


@pytest.mark.anyio
async def test_this_machine_and_fakes_are_free() -> None:
    """The emulator and a fake go on working."""
    with Emulator() as emulator, forbid_spending():
        media = MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())
        assert (await media.image("a fox")).emulated
        fake = MediaGenerator(
            providers=[FakeProvider(name="replicate")], settings=Settings.from_env({}), storage=MemoryStorage()
        )
        assert (await fake.image("a fox")).emulated


@pytest.mark.anyio
async def test_the_guard_ends_with_its_block() -> None:
    """Also where one stands in another, and after an error."""
    from aifs_media._http import HttpClient

    create = HttpClient.create
    with pytest.raises(KeyError), forbid_spending():
        with forbid_spending():
            assert HttpClient.create is not create
        assert HttpClient.create is not create
        raise KeyError
    assert HttpClient.create is create


def test_the_error_can_be_pickled() -> None:
    """As all errors can."""
    error = SpendingForbiddenError("no", hint="use a fake")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
