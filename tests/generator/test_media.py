"""From a prompt to an asset, over real HTTP."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from aifs_media import Asset, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media import MediaGenerator
    from aifs_media.events import Event
    from aifs_media.storage.memory import MemoryStorage
    from aifs_media.testing.emulator import Emulator

pytestmark = pytest.mark.anyio

ZEROSCOPE = "replicate:anotherjesse/zeroscope-v2-xl:9f747673945c62801b13b84701c783929c0ee784e4748ec062204894dda1a351"


async def test_an_image_is_made_and_described(
    media: MediaGenerator, storage: MemoryStorage, emulator: Emulator
) -> None:
    """The asset says what was measured on the bytes that are stored, and what they cost."""
    asset = await media.image("a red fox", seed=7, tags={"tenant": "acme"}, output_format="png")
    stored = storage.objects[asset.object_key]
    assert (asset.provider, asset.model) == ("replicate", "black-forest-labs/flux-schnell")
    assert (asset.media_type, asset.width, asset.height, asset.kind) == ("image/png", 1024, 1024, "image")
    assert asset.sha256 == hashlib.sha256(stored.data).hexdigest()
    assert asset.size == len(stored.data)
    assert (asset.seed, asset.tags, asset.prompt, asset.emulated) == (7, {"tenant": "acme"}, "a red fox", True)
    assert (asset.cost.amount, asset.cost.currency, asset.cost.basis) == (Decimal("0.003"), "USD", "image")
    assert asset.cost.status == "estimated"
    assert asset.cost.source
    assert asset.cost.as_of
    assert asset.object_key.endswith(f"/{asset.job_id}-0.png")
    assert emulator.books().creates == 1
    assert emulator.books().leaks == 0
    assert {"submit", "transfer", "total"} <= set(asset.timings)


async def test_events_tell_the_story_in_order(media: MediaGenerator, events: list[Event]) -> None:
    """Each step is told once, numbered, with the job's names and never its prompt."""
    asset = await media.image("a secret prompt")
    assert [event.event for event in events if event.event not in {"progressed", "transferred"}] == [
        "selected",
        "submitted",
        "generated",
        "stored",
    ]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert {event.job_id for event in events} == {asset.job_id}
    assert "secret" not in "".join(event.model_dump_json() for event in events)


async def test_four_images_are_one_create(media: MediaGenerator, emulator: Emulator) -> None:
    """Where the model can, n outputs cost one create; each asset carries its share."""
    assets = await media.images("a fox", n=4)
    assert emulator.books().creates == 1
    assert len({asset.object_key for asset in assets}) == 4
    assert sum(asset.cost.amount or 0 for asset in assets) == Decimal("0.012")


async def test_more_images_than_the_model_makes_are_several_jobs(media: MediaGenerator, emulator: Emulator) -> None:
    """Six images of a model that makes four: two jobs with ids of one family."""
    assets = await media.images("a fox", n=6, job_id="batch")
    assert emulator.books().creates == 2
    assert sorted({asset.job_id for asset in assets}) == ["batch.0", "batch.1"]
    assert len(assets) == 6


async def test_a_film_of_frames(media: MediaGenerator) -> None:
    """Duration, fps and size as asked, measured on the file; the cost is GPU seconds times the rate."""
    asset = await media.video("a city at night", model=ZEROSCOPE, size="576x320", duration=2, fps=12)
    assert (asset.width, asset.height, asset.duration, asset.fps) == (576, 320, 2.0, 12.0)
    assert asset.media_type == "video/mp4"
    assert asset.warnings == ()
    assert asset.cost.basis == "gpu_second"
    assert asset.cost.amount == pytest.approx(
        Decimal(str(asset.cost.quantity)) * Decimal("0.0014"), abs=Decimal("0.000001")
    )


async def test_without_a_duration_the_default_is_told(media: MediaGenerator) -> None:
    """24 frames at 8 fps are no 15 seconds, and the asset says so."""
    asset = await media.video("a city", model=ZEROSCOPE, size="576x320")
    assert asset.duration == 3.0
    assert any("24 frames at 8 fps" in warning for warning in asset.warnings)


async def test_a_size_becomes_the_nearest_ratio_and_is_told(media: MediaGenerator) -> None:
    """Flux takes no pixels: the true size is measured and the difference is a warning."""
    asset = await media.image("a fox", size="1920x1080")
    assert (asset.width, asset.height) == (1344, 768)
    assert any("1920x1080 becomes 1344x768" in warning for warning in asset.warnings)


async def test_images_on_poe(make: Callable[..., MediaGenerator], emulator: Emulator) -> None:
    """IMAGE_PROVIDER=poe really makes images on Poe."""
    asset = await make(image_provider="poe").image("a fox")
    assert asset.provider == "poe"
    assert emulator.books().predictions[0].provider == "poe"


async def test_a_video_on_poe_costs_what_its_history_says(
    make: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """No price is known before; the points history knows after."""
    asset = await make().video("waves", model="poe:veo-3.1", duration=4)
    assert (asset.duration, asset.cost.currency, asset.cost.status) == (4.0, "points", "reported")
    assert float(asset.cost.amount or 0) == emulator.books().billed("points") > 0


@pytest.mark.slow
async def test_the_default_video_is_the_known_bot(media: MediaGenerator) -> None:
    """Video-Generator-PRO is not in Poe's catalogue and still the default, with its 15 seconds."""
    asset = await media.video("a city")
    assert (asset.provider, asset.model, asset.duration) == ("poe", "Video-Generator-PRO", 15.0)


async def test_a_job_goes_on_from_its_json(
    media: MediaGenerator, make: Callable[..., MediaGenerator], emulator: Emulator
) -> None:
    """start() gives a job; its JSON is enough for another generator to bring the asset home."""
    emulator.switches.latency = 30
    job = await media.start("video", "a city", model=ZEROSCOPE, size="576x320", duration=1)
    assert job.stage == "submitted"
    restored = Job.model_validate_json(job.model_dump_json())
    assert restored == job
    (asset,) = await make().resume(restored)
    assert asset.job_id == job.job_id
    assert emulator.books().creates == 1


async def test_the_same_job_id_joins(media: MediaGenerator, emulator: Emulator) -> None:
    """The same id with the same request is the same asset, and one create."""
    first = await media.image("a fox", job_id="mine")
    again = await media.image("a fox", job_id="mine")
    assert again == first
    assert emulator.books().creates == 1


async def test_namespaces_do_not_meet(media: MediaGenerator, emulator: Emulator) -> None:
    """The same id in two namespaces is two jobs."""
    one = await media.image("a fox", job_id="mine", namespace="one")
    two = await media.image("a fox", job_id="mine", namespace="two")
    assert one.object_key != two.object_key
    assert emulator.books().creates == 2


async def test_a_start_frame_from_an_earlier_asset(media: MediaGenerator, emulator: Emulator) -> None:
    """An asset, bytes or a path can start a video; the provider gets something it can read."""
    frame = await media.image("a fox", output_format="jpg")
    asset = await media.video("it runs", model="replicate:minimax/video-01", image=frame)
    assert asset.kind == "video"
    sent = emulator.last_request("replicate.create").json
    assert isinstance(sent, dict)
    assert str(sent["input"]["first_frame_image"]).startswith(("data:image/jpeg;base64,", "http"))


async def test_assets_round_trip(media: MediaGenerator) -> None:
    """An asset is JSON with a format number, shows itself in a notebook and can be deleted."""
    asset = await media.image('a "fox" <b>')
    assert Asset.model_validate_json(asset.model_dump_json()) == asset
    assert asset.format == 1
    shown = asset._repr_html_()
    assert shown.startswith("<img")
    assert "<b>" not in shown
    assert (await media.url(asset)).url == asset.url
    await media.delete(asset)
    await media.delete(asset)


async def test_text_caption_script_and_a_video_of_it(media: MediaGenerator) -> None:
    """What the earlier product wrote, typed; a script can be filmed."""
    assert (await media.text("Write a line about foxes")).text
    caption = await media.caption("foxes", audience="children", tone="funny", platform="Instagram", hashtag_count=3)
    assert caption.text
    assert len(caption.hashtags) == 3
    script = await media.script("foxes", duration=15)
    assert script.hook
    assert await media.improve_prompt("a fox")
    asset = await media.video(script, model="poe:veo-3.1", duration=4)
    assert script.hook in asset.prompt


async def test_keys_hold_tags_when_the_template_says_so(make: Callable[..., MediaGenerator]) -> None:
    """Tags become key segments by an allow-list."""
    media = make(media_key_template="{tenant}/{year}/{job_id}-{index}.{extension}")
    asset = await media.image("a fox", tags={"tenant": "acme", "note": "Grüße"})
    assert asset.object_key.startswith("acme/")
    assert asset.tags["note"] == "Grüße"
