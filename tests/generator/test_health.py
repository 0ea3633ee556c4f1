"""Whether everything is set up: what calls would fail with is found, and what nobody needs is no failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.canaries import KEY

from aifs_media import MediaGenerator, Settings
from aifs_media.storage.memory import MemoryStorage
from aifs_media.testing import FakeProvider
from aifs_media.toolkit import HttpProvider

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aifs_media.records import Check, HealthReport
    from aifs_media.testing.emulator import Emulator

pytestmark = pytest.mark.anyio

SECRET = "whsec_" + "A" * 32
KEYS = ("REPLICATE_API_KEY", "POE_API_KEY", "RUNWAYML_API_SECRET", "STABILITY_API_KEY", "OPENAI_API_KEY", "FAL_KEY")


async def found(settings: Mapping[str, str]) -> HealthReport:
    return await MediaGenerator(settings=Settings.from_env(settings), storage=MemoryStorage()).check()


def wrong(report: HealthReport) -> Sequence[Check]:
    return [check for check in report.checks if not check.ok]


async def test_all_is_well(emulator: Emulator) -> None:
    """With keys that count and nothing misspelt there is no finding."""
    assert wrong(await found(emulator.settings())) == []


@pytest.mark.parametrize(
    ("given", "name", "says"),
    [
        ({"MEDIA_IMAGE_TIMEOUT": "sixty"}, "setting MEDIA_IMAGE_TIMEOUT", "'sixty' cannot be used"),
        ({"MEDIA_VIDEO_TIMEOUT": "-1"}, "setting MEDIA_VIDEO_TIMEOUT", "'-1' cannot be used"),
        ({"MEDIA_STRICT_HOSTS": "maybe"}, "setting MEDIA_STRICT_HOSTS", "'maybe' cannot be used"),
        ({"MEDIA_NOTIFY_URL": "http://x", "MEDIA_NOTIFY_SECRET": SECRET}, "setting MEDIA_NOTIFY_URL", "is not https"),
        ({"MEDIA_NOTIFY_URL": "https://example.com/ended"}, "setting MEDIA_NOTIFY_URL", "MEDIA_NOTIFY_SECRET"),
        ({"MEDIA_NOTIFY_SECRET": KEY}, "setting MEDIA_NOTIFY_SECRET", "whsec_"),
        ({"REPLICATE_WEBHOOK_SECRET": KEY}, "setting REPLICATE_WEBHOOK_SECRET", "whsec_"),
        ({"MEDIA_WEBHOOK_URL": "nonsense"}, "setting MEDIA_WEBHOOK_URL", "is not an address"),
        ({"MEDIA_TRUSTED_HOSTS": "nonsense"}, "setting MEDIA_TRUSTED_HOSTS", "not of the form host:port"),
        ({"REPLICATE_DELIVERY_HOSTS": "no host"}, "replicate", "neither a host name nor a pattern"),
        ({"VIDEO_MODEL": "nope:x"}, "VIDEO_MODEL", "no provider named 'nope'"),
        ({"VIDEO_PROVIDER": "nope"}, "VIDEO_PROVIDER", "no provider named 'nope'"),
        ({"VIDEO_PROVIDER": "openai"}, "VIDEO_PROVIDER", "no video model"),
        ({"IMAGE_MODEL": "nope"}, "IMAGE_MODEL", "not the name of a model"),
        ({"IMAGE_MODEL": "nobody/nothing"}, "IMAGE_MODEL", "nobody/nothing"),
        ({"TEXT_PROVIDER": "replicate"}, "TEXT_PROVIDER", "writes no text"),
        ({"TEXT_MODEL": "replicate:any/model"}, "TEXT_MODEL", "writes no text"),
        ({"MEDIA_LEDGER": "postgresql://user:canary-key-5d1e8c0f@127.0.0.1:1/db"}, "ledger", "did not answer"),
        ({"MEDIA_LEDGER": "sqlite:////proc/x/y.db"}, "ledger", "does not exist"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
async def test_what_every_call_would_fail_with(emulator: Emulator, given: dict[str, str], name: str, says: str) -> None:
    """Each value is read as its user would read it, and what is chosen is looked for."""
    report = await found({**emulator.settings(), **given})
    (check,) = [check for check in wrong(report) if check.name == name]
    assert says in f"{check.message} {check.hint}"
    assert check.hint or name == "replicate"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("REPLICATE_API_KEE", "REPLICATE_API_KEY"),
        ("MEDIA_STORAG", "MEDIA_STORAGE"),
        ("VIDEO_PROVIDR", "VIDEO_PROVIDER"),
        ("STABILITY_KEY", "STABILITY_API_KEY"),
        ("media_local_dir", "MEDIA_LOCAL_DIR"),
    ],
)
async def test_names_that_are_nearly_right(emulator: Emulator, name: str, meant: str) -> None:
    """A misspelt name is told with the one that was probably meant."""
    settings = emulator.settings()
    settings.pop(meant, None)
    told = [check.hint for check in wrong(await found({**settings, name: KEY})) if check.name == f"setting {name}"]
    assert told == [f"Did you mean {meant}?"]


async def test_names_of_other_programs(emulator: Emulator) -> None:
    """What else an environment holds is not ours to judge, nor a second key beside the one that is read."""
    others = ("MEDIA_ROOT", "MEDIA_URL", "OPENAI_API_BASE", "IMAGE_NAME", "S3_BUCKETS_TO_SYNC", "ACME_API_KEY", "PATH")
    report = await found({**emulator.settings(), **dict.fromkeys(others, KEY), "OPENAI_API_KEY_2": KEY})
    assert wrong(report) == []


async def test_one_provider_is_enough(emulator: Emulator) -> None:
    """Who makes images only needs one key: what is left to a default and not set up is told, and is no failure."""
    settings = {name: value for name, value in emulator.settings().items() if name not in KEYS[1:]}
    report = await found(settings)
    assert report.ok
    (poe,) = [check for check in report.checks if check.name == "poe"]
    assert "no video and no text" in poe.message
    assert "POE_API_KEY" in poe.hint


@pytest.mark.parametrize(
    "chosen", [{"VIDEO_PROVIDER": "poe"}, {"VIDEO_MODEL": "poe:veo-3.1"}], ids=["by name", "by model"]
)
async def test_what_is_chosen_has_to_be_set_up(emulator: Emulator, chosen: dict[str, str]) -> None:
    """Who names a provider without a key for it is told."""
    settings = {name: value for name, value in emulator.settings().items() if name not in KEYS[1:]}
    assert [check.name for check in wrong(await found({**settings, **chosen}))] == ["poe"]


async def test_no_provider_at_all() -> None:
    """Without any key nothing can be made, and that is a failure; with a provider that was passed in it is none."""
    assert [check.name for check in wrong(await found({}))] == ["poe", "replicate"]
    own = MediaGenerator(providers=[FakeProvider()], settings=Settings.from_env({}), storage=MemoryStorage())
    assert (await own.check()).ok


@pytest.mark.parametrize("key", [KEY, ""], ids=["key", "no key"])
async def test_an_address_that_is_refused_is_a_finding(emulator: Emulator, key: str) -> None:
    """A provider that cannot be made does not take the report with it."""
    own = {**emulator.settings(), "REPLICATE_API_KEY": key, "REPLICATE_BASE_URL": "http://localhost:8000/v1"}
    (check,) = wrong(await found(own))
    assert (check.name, "is not https" in check.message) == ("replicate", True)


class Keyless(HttpProvider):
    """A stranger's provider without a check of its own, whose key is not set."""

    name = "keyless"
    label = "Keyless"
    base_url = "https://keyless.test"


async def test_a_chosen_provider_without_its_key_is_no_good_sign(emulator: Emulator) -> None:
    """Every call would fail with it."""
    settings = Settings.from_env({**emulator.settings(), "IMAGE_PROVIDER": "keyless"})
    media = MediaGenerator(providers=[Keyless()], settings=settings, storage=MemoryStorage())
    found = {check.name: check for check in (await media.check()).checks}
    assert not found["keyless"].ok
    assert "KEYLESS_API_KEY" in found["keyless"].message
