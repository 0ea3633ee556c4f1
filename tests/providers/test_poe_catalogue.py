"""What Poe's bots publish becomes the common options, for every bot of the recorded catalogue."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from aifs_media._options import model_inputs
from aifs_media.errors import UnsupportedOptionError
from aifs_media.providers._poe_catalogue import capability, closest, entries, has_videos_endpoint, makes
from aifs_media.providers._poe_points import CallsInFlight, balance, cost_from_history
from aifs_media.providers._poe_requests import chat_body, videos_body
from aifs_media.providers.poe import PoeProvider
from aifs_media.records import Capability, InputFile, MediaRequest

FIXTURES = Path(__file__).parents[1] / "fixtures" / "poe"
CATALOGUE = json.loads((FIXTURES / "models-media-only-2026-03-27.json").read_text("utf-8"))
ENTRIES = {str(entry["id"]): entry for entry in entries(CATALOGUE)}
DATE = "2026-03-27"


def of(bot: str) -> Capability:
    return capability(ENTRIES[bot], kind="video" if makes(ENTRIES[bot], "video") else "image", as_of=DATE)


def built_in(bot: str) -> Capability:
    return next(one for one in PoeProvider.capabilities if one.model == bot)


def wish(bot: str, **options: object) -> MediaRequest:
    found = of(bot)
    request = MediaRequest(kind=found.kind, prompt="a cat", provider="poe", model=bot, **options)  # type: ignore[arg-type]
    return request.model_copy(update={"inputs": model_inputs(request, found).values})


# -- capabilities ------------------------------------------------------------------------------------------------------


def test_every_entry_is_understood() -> None:
    """All 140 recorded entries have a name, and all but the shapeless ones make something."""
    assert len(ENTRIES) == 140
    for bot, entry in ENTRIES.items():
        found = of(bot)
        assert found.model == bot
        assert found.inputs is not None
        own = {parameter["name"] for parameter in entry["parameters"]}
        assert set(found.names.values()) - {"prompt", "image"} <= own
        assert Capability.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("bot", "expected"),
    [
        (
            "veo-3.1",
            {
                "aspect_ratio": "aspect_ratio",
                "duration": "duration",
                "seed": "seed",
                "negative_prompt": "no",
                "image": "image",
            },
        ),
        (
            "kling-v3-pro",
            {"aspect_ratio": "aspect", "duration": "duration", "negative_prompt": "negative_prompt", "image": "image"},
        ),
        ("runway-gen-4.5", {"aspect_ratio": "aspect_ratio", "duration": "duration"}),
        ("amazon-nova-reel-1.1", {"size": "dimension", "duration": "duration", "fps": "fps", "seed": "seed"}),
        (
            "amazon-nova-canvas",
            {
                "n": "number_of_images",
                "seed": "seed",
                "aspect_ratio": "aspect_ratio",
                "negative_prompt": "negative_prompt",
            },
        ),
        ("hunyuan-image-3", {"n": "num_images", "size": "size", "seed": "seed"}),
        ("svi-2.0-pro", {"size": "resolution", "duration": "duration"}),
        ("flux-dev-di", {"width": "width", "height": "height", "seed": "seed"}),
        ("hailuo-02", {}),
    ],
)
def test_names(bot: str, expected: dict[str, str]) -> None:
    """One vocabulary for the many names that bots have."""
    names = dict(of(bot).names)
    assert names.pop("prompt") == "prompt"
    assert {option: names.get(option) for option in expected} == expected
    assert "size" in expected or "size" not in names


def test_counts_and_custom_sizes() -> None:
    """How many images at once, and the switch that goes with a size of one's own."""
    found = of("qwen-image-2.0")
    assert found.maximum_outputs == 6
    assert found.custom_size == {"use_custom_size": True}
    assert (found.names["width"], found.names["height"]) == ("custom_width", "custom_height")
    # A parameter named like a member of the chat completion cannot be sent.
    assert "model" not in (found.inputs or {})
    assert of("amazon-nova-canvas").maximum_outputs == 5
    assert of("imagen-4").maximum_outputs == 1


def test_image_only_is_always_asked_for() -> None:
    """Bots that may answer text instead of an image are told not to."""
    assert of("nano-banana").defaults == {"image_only": True}
    assert wish("nano-banana-pro").inputs["image_only"] is True
    assert of("imagen-4").defaults == {}


def test_prices() -> None:
    """A published price is a price per image, and its source says what is not sure about it."""
    price = of("imagen-4").price
    assert price is not None
    assert (price.amount, price.currency, price.per, price.as_of) == (Decimal("0.028"), "USD", "image", DATE)
    assert "does not state" in price.source
    assert of("veo-3.1").price is None
    assert of("nano-banana").price is None


def test_published_members_stay_as_they_are() -> None:
    """Seconds are spelled as the bot spells them, and others are refused with the ones there are."""
    assert wish("veo-3.1", duration=8).inputs["duration"] == "8"
    assert wish("veo-v3.1", duration=8).inputs["duration"] == "8s"
    assert wish("grok-imagine-video", duration=6).inputs["duration"] == 6
    assert wish("veo-3.1", seed=7).inputs["seed"] == "7"
    with pytest.raises(UnsupportedOptionError, match="4, 6, 8"):
        wish("veo-3.1", duration=15)


def test_built_in_data_is_what_was_recorded() -> None:
    """The built-in capabilities say what the recorded catalogue says."""
    for found in PoeProvider.capabilities:
        if found.model == "Video-Generator-PRO":
            continue
        fresh = of(found.model)
        assert (found.kind, found.names, found.inputs, found.defaults, found.price) == (
            fresh.kind, fresh.names, fresh.inputs, fresh.defaults, fresh.price,
        )  # fmt: skip
        assert (found.model in PoeProvider._listed_for_videos) == has_videos_endpoint(ENTRIES[found.model])


def test_unlisted_default_bot() -> None:
    """The default video bot comes first, with its 15 s, and no longer video can be asked of it."""
    first = next(one for one in PoeProvider.capabilities if one.kind == "video")
    assert first.model == "Video-Generator-PRO"
    assert "video-generator-pro" not in ENTRIES
    request = MediaRequest(kind="video", prompt="a cat", provider="poe", model=first.model)
    assert model_inputs(request, first).values == {"prompt": "a cat", "duration": 15}
    with pytest.raises(UnsupportedOptionError, match="15"):
        model_inputs(request.model_copy(update={"duration": 20.0}), first)


def test_catalogue_in_other_shapes() -> None:
    """A catalogue that is none is empty, and an entry may lack everything but its name."""
    for body in (None, [], {}, {"data": None}, {"data": [None, {}, {"id": 7}]}):
        assert entries(body) == []
    bare = capability(
        {"id": "x", "parameters": [None, {"name": 1}, {"name": "y"}], "pricing": {"request": "?"}},
        kind="image",
        as_of=DATE,
    )
    assert bare.inputs == {"y": {}}
    assert bare.price is None


def test_closest_names() -> None:
    """Case does not matter, and the most alike comes first."""
    assert closest("Veo-3", ENTRIES)[0] == "veo-3"
    assert closest("kling-v3-pr", ENTRIES)[0] == "kling-v3-pro"
    assert closest("zzzzzz", ENTRIES) == []


# -- requests ----------------------------------------------------------------------------------------------------------


def test_chat_body() -> None:
    """The prompt is the message, the bot's parameters are members of the body, nothing is streamed."""
    assert chat_body(wish("kling-v3-pro", duration=10, aspect_ratio="9:16")) == {
        "model": "kling-v3-pro",
        "messages": [{"role": "user", "content": "a cat"}],
        "stream": False,
        "duration": "10",
        "aspect": "9:16",
    }


def test_chat_body_with_a_start_frame() -> None:
    """A start frame is a part of the message."""
    request = wish("kling-v3-pro")
    request = request.model_copy(update={"inputs": {**request.inputs, "image": "data:image/png;base64,AAAA"}})
    body = chat_body(request)
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a cat"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        }
    ]
    assert "image" not in body


def test_chat_body_cannot_be_taken_over() -> None:
    """An unchecked option must not replace the bot, the message or the form of the answer."""
    request = wish("imagen-4")
    for name in ("model", "messages", "stream"):
        with pytest.raises(UnsupportedOptionError, match=name):
            chat_body(request.model_copy(update={"inputs": {**request.inputs, name: "x"}}))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"seconds": 8, "size": "1280x720"}),
        ({"duration": 4, "aspect_ratio": "9:16"}, {"seconds": 4, "size": "720x1280"}),
        ({"options": {"resolution": "1080p"}}, {"seconds": 8, "size": "1920x1080"}),
    ],
)
def test_videos_body(options: dict[str, object], expected: dict[str, object]) -> None:
    """What the bot's own defaults mean is always said, since those of the endpoint are others."""
    body = videos_body(wish("veo-3.1", **options), of("veo-3.1"))
    assert body == {"model": "veo-3.1", "prompt": "a cat", **expected}


@pytest.mark.parametrize(
    "options",
    [{"seed": 7}, {"negative_prompt": "dogs"}, {"options": {"silent": True}}, {"options": {"reference_mode": True}}],
)
def test_videos_body_cannot_say_everything(options: dict[str, object]) -> None:
    """What the endpoint has no member for goes through a chat completion."""
    assert videos_body(wish("veo-3.1", **options), of("veo-3.1")) is None


def test_videos_body_with_a_start_frame() -> None:
    """Bytes can be sent, an address cannot."""
    request = wish("veo-3.1", image=InputFile(path="cat.png"))
    inline = request.model_copy(update={"inputs": {**request.inputs, "image": "data:image/png;base64,AAAA"}})
    assert (videos_body(inline, of("veo-3.1")) or {})["input_image"] == "AAAA"
    linked = request.model_copy(update={"inputs": {**request.inputs, "image": "https://example.com/cat.png"}})
    assert videos_body(linked, of("veo-3.1")) is None


def test_videos_body_of_a_bot_with_sizes() -> None:
    """A size in pixels goes out as it is."""
    assert videos_body(wish("sora-2", size=None, aspect_ratio="16:9", duration=4), of("sora-2")) == {
        "model": "sora-2", "prompt": "a cat", "seconds": 4, "size": "1280x720",
    }  # fmt: skip


# -- points ------------------------------------------------------------------------------------------------------------

STARTED = datetime(2026, 4, 1, 12, 0, 0, 500_000, tzinfo=UTC)


def history(*rows: tuple[str, float, float], form: str = "guide", more: bool = False) -> dict[str, object]:
    """Rows are bot, seconds after the start, points; newest first."""
    begin = int(STARTED.timestamp())
    if form == "guide":
        data = [
            {"app_name": bot, "creation_time": int(begin + at), "query_id": "q", "cost_points": cost}
            for bot, at, cost in rows
        ]
    else:
        data = [
            {
                "bot_name": bot,
                "creation_time": int((begin + at) * 1e6),
                "query_id": "q",
                "cost_points": cost,
                "usage_type": "API",
            }
            for bot, at, cost in rows
        ]
    return {"has_more": more, "length": len(data), "data": data}


@pytest.mark.parametrize("form", ["guide", "reference"])
def test_cost_of_the_only_call(form: str) -> None:
    """One entry of this bot since the start is ours, in both documented forms; case does not matter."""
    body = history(("Other", 9, 1), ("Veo-3.1", 1, 9000), ("Veo-3.1", -60, 1), form=form, more=True)
    cost = cost_from_history(body, bot="veo-3.1", since=STARTED)
    assert cost is not None
    assert (cost.amount, cost.currency, cost.basis, cost.status, cost.source) == (
        Decimal(9000), "points", "points", "reported", "Poe points history",
    )  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        history(("veo-3.1", 5, 1), ("veo-3.1", 1, 2)),
        history(("other", 5, 1)),
        history(("veo-3.1", -5, 1)),
        history(("veo-3.1", 5, 1), more=True),
        history(),
        {"data": [{"bot_name": "veo-3.1", "cost_points": 1}]},
        {"data": [{"bot_name": "veo-3.1", "cost_points": None, "creation_time": STARTED.timestamp() + 1}]},
        None,
        [],
    ],
)
def test_cost_that_cannot_be_told(body: object) -> None:
    """None, two, an incomplete page, or entries that cannot be read: the cost stays unknown."""
    assert cost_from_history(body, bot="veo-3.1", since=STARTED) is None  # type: ignore[arg-type]


def test_documented_history_and_balance() -> None:
    """The documented samples are read."""
    body = json.loads((FIXTURES / "doc-usage-points-history.json").read_text("utf-8"))["response"]["body"]
    # The sample says that there is more, so nothing older may be ruled out.
    since = datetime.fromtimestamp(1704825600, UTC)
    assert cost_from_history(body, bot="Claude-3.5-Sonnet", since=since) is None
    cost = cost_from_history({**body, "has_more": False}, bot="Claude-3.5-Sonnet", since=since)
    assert cost is not None
    assert cost.amount == 25
    assert (
        cost_from_history({**body, "has_more": False}, bot="Claude-3.5-Sonnet", since=since + timedelta(seconds=1))
        is None
    )
    assert (
        balance(json.loads((FIXTURES / "doc-usage-current-balance.json").read_text("utf-8"))["response"]["body"])
        == 1500
    )
    assert balance({}) is None
    assert balance({"current_point_balance": "many"}) is None


def test_calls_side_by_side_cannot_be_told_apart() -> None:
    """Only a call that ran alone on its bot has entries of its own."""
    calls = CallsInFlight()
    calls.begin("Veo-3.1", "a")
    calls.begin("kling", "b")
    calls.begin("veo-3.1", "c")
    calls.end("Veo-3.1", "a")
    calls.end("veo-3.1", "c")
    calls.begin("veo-3.1", "d")
    calls.end("veo-3.1", "d")
    assert [calls.told_apart(key) for key in "abcd"] == [False, True, False, True]


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 10**400, True, "5", None, {}])
def test_odd_numbers_are_not_known(odd: object) -> None:
    """Neither a cost, nor a balance, nor how many outputs a bot makes."""
    entry = {"bot_name": "veo-3.1", "creation_time": STARTED.timestamp() + 1, "cost_points": odd}
    assert cost_from_history({"has_more": False, "data": [entry]}, bot="veo-3.1", since=STARTED) is None  # type: ignore[dict-item]
    assert balance({"current_point_balance": odd}) is None  # type: ignore[dict-item]
    bot = {"id": "b", "parameters": [{"name": "num_images", "schema": {"maximum": odd}}]}
    assert capability(bot, kind="image", as_of="2026-11-22").maximum_outputs == 1  # type: ignore[arg-type]
