"""Calls that no model could serve: a misspelt option, a value of another kind. Each is one typed sentence, and nothing is sent."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

import pytest

from aifs_media import (
    ConfigurationError,
    MediaError,
    MediaGenerator,
    RequestRejectedError,
    Settings,
    SyncMediaGenerator,
    UnsupportedOptionError,
)
from aifs_media.call_options import VideoOptions
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.records import Size
from aifs_media.storage.memory import MemoryStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from aifs_media.testing.emulator import Emulator

pytestmark = pytest.mark.anyio

FILM = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"
LONE = "a \ud800 fox"
NAN, INF = float("nan"), float("inf")
ENDLESS: list[Any] = []
ENDLESS.append(ENDLESS)


async def refusal(media: MediaGenerator, emulator: Emulator, method: str, *given: Any, **options: Any) -> MediaError:
    """The error of a call that must be refused as it is: nothing recorded, nothing asked, no words of another library."""
    with pytest.raises(RequestRejectedError) as refused:
        await getattr(media, method)(*given, **options)
    assert not refused.value.maybe_billed
    assert "pydantic" not in str(refused.value)
    str(refused.value).encode()
    assert await media.jobs() == []
    assert emulator.books().requests == ()
    return refused.value


MISSPELT = [
    ("image", ("a boat",), {"aspect_ration": "16:9"}, "Did you mean 'aspect_ratio'"),
    ("image", ("a boat",), {"job_ld": "order-1"}, "Did you mean 'job_id'"),
    ("image", ("a boat",), {"n": 3}, r"images\(prompt, n=...\)"),
    ("image", ("a boat",), {"zzz": None}, "There are: aspect_ratio, "),
    ("image", ("a boat",), {"duration": 6}, "no option 'duration' for an image"),
    ("images", ("a boat",), {"n": 2, "sise": "64x64"}, "Did you mean 'size'"),
    ("video", ("a boat",), {"durration": 6}, "Did you mean 'duration'"),
    ("video", ("a boat",), {"n": 2}, "One call makes one video"),
    ("start", ("image", "a boat"), {"jobid": "a"}, "Did you mean 'job_id'"),
    ("start", ("image", "a boat"), {"fps": 24}, "no option 'fps' for an image"),
]


@pytest.mark.parametrize(("method", "given", "options", "words"), MISSPELT, ids=str)
async def test_a_misspelt_option_is_not_dropped(
    media: MediaGenerator, emulator: Emulator, method: str, given: Any, options: Any, words: str
) -> None:
    """What it would have said is not what would have been paid for."""
    error = await refusal(media, emulator, method, *given, **options)
    assert isinstance(error, UnsupportedOptionError)
    assert error.option in options
    with pytest.raises(UnsupportedOptionError, match=words):
        raise error


@pytest.mark.parametrize(("method", "given", "options", "words"), MISSPELT, ids=str)
def test_nor_without_await(emulator: Emulator, method: str, given: Any, options: Any, words: str) -> None:
    """The same for SyncMediaGenerator."""
    media = SyncMediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage())
    with pytest.raises(UnsupportedOptionError, match=words):
        getattr(media, method)(*given, **options)
    assert emulator.books().requests == ()


async def test_none_means_not_given(media: MediaGenerator) -> None:
    """Code that passes every option on, most of them as None, asks for what the defaults make."""
    asset = await media.image("a fox", **dict.fromkeys(VideoOptions.__optional_keys__))
    assert asset.width == 1024


@pytest.mark.parametrize("model", [None, "fal:minimax/h3/text-to-video", FILM])
@pytest.mark.parametrize("name", ["duration", "fps", "timeout"])
@pytest.mark.parametrize("value", [-1, 0, NAN, INF, 10**5000, "6", True, [6]], ids=lambda value: str(type(value)))
async def test_numbers_of_no_film(
    media: MediaGenerator, emulator: Emulator, model: str | None, name: str, value: Any
) -> None:
    """Models without a schema would be sent -1 and NaN, and bill for what they make of it."""
    error = await refusal(media, emulator, "video", "a fox", model=model, **{name: value})
    assert error.message.startswith(f"{name}=")
    assert "above 0" in error.hint


WRONG = [
    ("aspect_ratio", "0:1", "two numbers above 0"), ("aspect_ratio", "-1:1", "two numbers above 0"), ("aspect_ratio", "nan:1", "two numbers"),
    ("aspect_ratio", "inf:1", "two numbers above 0"), ("aspect_ratio", "1e308:1e-308", "two numbers"), ("aspect_ratio", "1.5", "'16:9'"),
    ("aspect_ratio", 1.5, "text"), ("aspect_ratio", "", "two numbers"), ("aspect_ratio", "16:9:1", "two numbers"),
    ("seed", "abc", "whole number"), ("seed", 1.5, "whole number"), ("seed", True, "whole number"), ("seed", 2**64, "64 bits"),
    ("seed", 10**5000, "64 bits"), ("size", "0x0", "is not a size"), ("size", (1024, 768), "'1024x1024'"), ("size", "9" * 5000 + "x1", "is not a size"),
    ("on_cancel", "detatch", "Did you mean 'detach'"), ("on_cancel", 5, "'cancel' or 'detach'"), ("on_unknown", "x", "'find' or 'retry'"),
    ("tags", {"campaign": 7}, r"tags\['campaign'\]=7"), ("tags", ["a"], "mapping"), ("tags", {7: "a"}, "text"), ("model", 5, "text"),
    ("models", 5, "list of models"), ("models", [5], r"models\[0\]=5"), ("image", 5, "an https URL"), ("check_options", "no", "True or False"),
    ("negative_prompt", 5, "text"), ("output_format", 5, "text"), ("job_id", 5, "text"), ("namespace", 5, "text"), ("notify_url", 5, "text"),
    ("options", ["steps"], "mapping"), ("options", {5: 1}, "text"), ("options", {"a": [NAN]}, r"options\['a'\]\[0\]=nan"),
    ("options", {"a": object()}, "JSON can hold"), ("options", {"a": 10**5000}, "JSON can hold"), ("options", {"a": ENDLESS}, "100 levels"),
    ("timeout", "x", "seconds"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value", "words"), WRONG, ids=[f"{name}-{n}" for n, (name, *_) in enumerate(WRONG)])
async def test_values_of_another_kind(
    media: MediaGenerator, emulator: Emulator, name: str, value: Any, words: str
) -> None:
    """The sentence names the option and what it takes, and the option can be read from the error."""
    error = await refusal(media, emulator, "image", "a fox", **{"check_options": False, name: value})
    assert isinstance(error, UnsupportedOptionError)
    assert error.option == name
    with pytest.raises(UnsupportedOptionError, match=words):
        raise error


@pytest.mark.parametrize("n", [0, -1, 1.5, "2", True, None])
async def test_a_number_that_is_none(media: MediaGenerator, emulator: Emulator, n: Any) -> None:
    """For several images, and for a job."""
    assert "at least 1" in (await refusal(media, emulator, "images", "a fox", n=n)).hint
    assert "at least 1" in (await refusal(media, emulator, "start", "image", "a fox", n=n)).hint


@pytest.mark.parametrize("prompt", [None, 5, b"a fox", "  "])
async def test_a_prompt_that_is_none(media: MediaGenerator, emulator: Emulator, prompt: Any) -> None:
    """No film of the word 'None' is paid for."""
    for method in ("image", "video", "text", "improve_prompt"):
        await refusal(media, emulator, method, prompt)
    for method in ("caption", "script"):
        assert "topic" in (await refusal(media, emulator, method, prompt)).message


async def test_a_kind_that_is_none(media: MediaGenerator, emulator: Emulator) -> None:
    """Wherever a kind is asked for."""
    for method, given, options in (
        ("start", ("gif", "a fox"), {}),
        ("adopt", ("replicate:abc",), {"kind": "gif"}),
        ("improve_prompt", ("a fox",), {"kind": "gif"}),
    ):
        error = await refusal(media, emulator, method, *given, **options)
        assert (error.message, error.hint) == ("kind='gif' cannot be used.", "Give 'image' or 'video'.")


async def test_numbers_of_texts(media: MediaGenerator, emulator: Emulator) -> None:
    """Hashtags are counted from 0, and a script has a length."""
    assert "at least 0" in (await refusal(media, emulator, "caption", "tea", hashtag_count=-1)).hint
    assert "seconds above 0" in (await refusal(media, emulator, "script", "tea", duration=NAN)).hint
    assert (await media.caption("tea", hashtag_count=0)).hashtags == ()


LONE_OPTIONS: list[dict[str, Any]] = [
    {name: LONE}
    for name in ("negative_prompt", "job_id", "namespace", "model", "output_format", "aspect_ratio", "image", "notify_url")
]  # fmt: skip
LONE_OPTIONS += [
    {"options": {"a": LONE}}, {"options": {LONE: 1}}, {"options": {"a": [{"b": (1, LONE)}]}}, {"tags": {"note": LONE}}, {"models": [LONE]},
    {"tags": {LONE: "a"}},
]  # fmt: skip


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "sqlite"])
@pytest.mark.parametrize("options", LONE_OPTIONS, ids=[f"{next(iter(one))}-{n}" for n, one in enumerate(LONE_OPTIONS)])
async def test_text_that_is_no_unicode(
    emulator: Emulator, tmp_path: Path, options: dict[str, Any], *, durable: bool
) -> None:
    """It could be neither recorded nor sent, and a create that cannot leave would pass for a lost one."""
    media = generator(emulator, tmp_path, durable=durable)
    error = await refusal(media, emulator, "image", "a fox", **{"check_options": False, **options})
    assert error.hint == "Remove the lone surrogates."


@pytest.mark.parametrize("durable", [False, True], ids=["memory", "sqlite"])
async def test_a_prompt_that_is_no_unicode(emulator: Emulator, tmp_path: Path, *, durable: bool) -> None:
    """The same for every text that a call begins with."""
    media = generator(emulator, tmp_path, durable=durable)
    for method, given, options in (
        ("image", (LONE,), {}), ("video", (LONE,), {}), ("start", ("image", LONE), {}), ("text", (LONE,), {}),
        ("text", ("hello",), {"system": LONE}), ("text", ("hello",), {"model": LONE}), ("caption", (LONE,), {}),
        ("caption", ("tea",), {"tone": LONE}), ("script", (LONE,), {}), ("improve_prompt", (LONE,), {}), ("resume", (LONE,), {}),
        ("resume", ("one",), {"namespace": LONE}), ("cancel", (LONE,), {}), ("adopt", (LONE,), {"kind": "image"}),
        ("adopt", ("replicate:abc",), {"kind": "image", "prompt": LONE}),
    ):  # fmt: skip
        error = await refusal(media, emulator, method, *given, **options)
        assert error.hint == "Remove the lone surrogates.", (method, given, options)


def generator(emulator: Emulator, folder: Path, *, durable: bool) -> MediaGenerator:
    ledger = SqliteLedger(folder / "jobs.db") if durable else None
    return MediaGenerator(settings=Settings.from_env(emulator.settings()), storage=MemoryStorage(), ledger=ledger)


@pytest.mark.parametrize(
    "wanted",
    [
        {"duration": NAN}, {"duration": 0}, {"duration": "x"}, {"max_cost": "x"}, {"max_cost": NAN}, {"max_cost": -1}, {"aspect_ratio": "0:0"},
        {"aspect_ratio": 5}, {"size": "0x0"}, {"size": (1, 1)}, {"kind": "gif"},
    ],
    ids=str,
)  # fmt: skip
def test_models_that_nobody_can_want(make: Callable[..., MediaGenerator], wanted: dict[str, Any]) -> None:
    """A list of models would say that they can do it."""
    with pytest.raises(UnsupportedOptionError) as refused:
        make().models(**wanted)
    assert [refused.value.option] == list(wanted)
    assert "pydantic" not in str(refused.value)


async def test_a_provider_without_a_model(
    media: MediaGenerator, make: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """The default model would be paid for in place of the one that somebody meant to name."""
    for method in ("image", "video", "text"):
        error = await refusal(media, emulator, method, "a fox", model="replicate: ")
        assert "names a provider and no model" in error.message
        assert "after the colon" in error.hint
    await refusal(media, emulator, "image", "a fox", models=["replicate:", "poe:imagen-4"])
    with pytest.raises(ConfigurationError, match="IMAGE_MODEL='poe:' names a provider and no model"):
        await make(image_model="poe:").image("a fox")
    assert emulator.books().requests == ()


async def test_numbers_of_other_libraries(media: MediaGenerator) -> None:
    """What is a number without being Python's own is taken: numpy's, fractions, decimals."""
    from decimal import Decimal

    class Whole:
        def __index__(self) -> int:
            return 7

    film: Any = await media.video("a fox", model=FILM, duration=Decimal(1), seed=Whole())
    assert (film.duration, film.seed) == (1.0, 7)


class Label(str, Enum):  # noqa: UP042 - the other kind is what is tried
    """A host's own names; not a StrEnum, so that formatting one gives its other name."""

    ORDER = "order-1042"


async def test_a_member_of_an_enumeration_is_its_text(media: MediaGenerator, emulator: Emulator) -> None:
    """Under another name the job would not be found again, and the same order would be made and paid twice."""
    asset = await media.image("a fox", job_id=Label.ORDER, namespace=Label.ORDER)
    assert (asset.job_id, asset.namespace) == ("order-1042", "order-1042")
    await media.image("a fox", job_id="order-1042", namespace="order-1042")
    assert emulator.books().creates == 1


@pytest.mark.parametrize("size", ["9" * 400 + "x1", "1x" + "9" * 400, "9" * 5000 + "x1", Size(width=10**9, height=1)])
async def test_a_size_that_nobody_can_reckon_with(media: MediaGenerator, size: Any) -> None:
    with pytest.raises(UnsupportedOptionError):
        await media.image("a fox", size=size)
    with pytest.raises(UnsupportedOptionError):
        media.models("image", size=size)


@pytest.mark.parametrize(
    "asked",
    [
        {"limit": 0},
        {"limit": -1},
        {"limit": 1.0},
        {"namespace": "\ud800"},
        {"tags": {"a": "\ud800"}},
        {"stages": ["bogus"]},
    ],
    ids=str,
)
async def test_jobs_that_cannot_be_asked_for(media: MediaGenerator, asked: Any) -> None:
    """It is refused by name, whatever the ledger would make of it."""
    with pytest.raises(UnsupportedOptionError):
        await media.jobs(**asked)
    assert await media.jobs(limit=2**63) == []
