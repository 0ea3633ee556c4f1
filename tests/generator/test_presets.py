"""Every built-in model of Replicate, made end to end: the exact inputs that arrive, and the file that comes of them."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING, NamedTuple

import pytest
from PIL import Image

from aifs_media.errors import SubmissionUncertainError
from aifs_media.providers._data import load_capabilities
from aifs_media.testing.emulator.replicate_models import by_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from aifs_media import Capability, MediaGenerator
    from aifs_media.testing.emulator import Emulator

PROMPT = "a fox in the snow"
FRAME_RATE = 4
"""For films of models that take no rate: they are drawn in a sixth of the usual time."""


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "orange").save(file, "PNG")
    return file.getvalue()


START = _picture()
START_URI = f"data:image/png;base64,{base64.b64encode(START).decode()}"


class Made(NamedTuple):
    """What is asked of a model, the inputs that must arrive beside the prompt, and what the file must be."""

    asked: dict[str, object]
    arrives: dict[str, object]
    size: tuple[int, int]
    duration: float | None = None


_WIDE = {"aspect_ratio": "16:9", "seed": 7}
_SQUARE = {"aspect_ratio": "1:1"}
_SHORT_KLING = Made(
    {**_SQUARE, "duration": 5, "image": START, "negative_prompt": "blur"},
    {**_SQUARE, "duration": 5, "start_image": START_URI, "negative_prompt": "blur"},
    (720, 720), 5,
)  # fmt: skip
_VEO = Made(
    {"duration": 4, "aspect_ratio": "9:16", "seed": 7, "image": START, "negative_prompt": "blur", "options": {"resolution": "720p"}},
    {"duration": 4, "aspect_ratio": "9:16", "seed": 7, "image": START_URI, "negative_prompt": "blur", "resolution": "720p"},
    (720, 1280), 4,
)  # fmt: skip
_FLUX_2 = Made(
    {"size": "512x256", "seed": 7, "image": START, "output_format": "png"},
    {"width": 512, "height": 256, "aspect_ratio": "custom", "seed": 7, "input_images": [START_URI], "output_format": "png"},
    (512, 256),
)  # fmt: skip
_IMAGEN = Made({"aspect_ratio": "16:9"}, {"aspect_ratio": "16:9"}, (1376, 768))
_IDEOGRAM = Made({"size": "768x1344", "seed": 7}, {"resolution": "768x1344", "seed": 7}, (768, 1344))
_SEEDANCE = Made(
    {"duration": 2, **_WIDE, "fps": 24, "image": START, "options": {"resolution": "480p"}},
    {"duration": 2, **_WIDE, "fps": 24, "image": START_URI, "resolution": "480p"},
    (854, 480), 2,
)  # fmt: skip

EXPECTED: dict[str, Made] = {
    "black-forest-labs/flux-schnell": Made({**_WIDE, "output_format": "jpeg"}, {**_WIDE, "output_format": "jpg"}, (1344, 768)),
    "black-forest-labs/flux-dev": Made({**_WIDE, "image": START}, {**_WIDE, "image": START_URI}, (1344, 768)),
    "black-forest-labs/flux-1.1-pro": Made(
        {"size": "512x256", "seed": 7}, {"width": 512, "height": 256, "aspect_ratio": "custom", "seed": 7}, (512, 256)
    ),
    "black-forest-labs/flux-1.1-pro-ultra": Made(_WIDE, _WIDE, (1344, 768)),
    "black-forest-labs/flux-2-pro": _FLUX_2,
    "black-forest-labs/flux-2-max": _FLUX_2,
    "black-forest-labs/flux-2-dev": _FLUX_2,
    "black-forest-labs/flux-2-klein-4b": Made(
        {**_SQUARE, "seed": 7, "image": START}, {**_SQUARE, "seed": 7, "images": [START_URI]}, (1024, 1024)
    ),
    "bytedance/sdxl-lightning-4step": Made(
        {"size": "512x256", "seed": 7}, {"width": 512, "height": 256, "seed": 7}, (512, 256)
    ),
    "stability-ai/sdxl": Made(
        {"size": "512x256", "seed": 7, "image": START}, {"width": 512, "height": 256, "seed": 7, "image": START_URI}, (512, 256)
    ),
    "stability-ai/stable-diffusion-3.5-large": Made(_WIDE, _WIDE, (1376, 768)),
    "ideogram-ai/ideogram-v2": _IDEOGRAM,
    "ideogram-ai/ideogram-v3-turbo": _IDEOGRAM,
    "ideogram-ai/ideogram-v3-quality": _IDEOGRAM,
    "recraft-ai/recraft-v3": Made({"size": "1024x1536"}, {"size": "1024x1536"}, (1024, 1536)),
    "google/imagen-4": _IMAGEN,
    "google/imagen-4-fast": _IMAGEN,
    "google/imagen-4-ultra": _IMAGEN,
    "google/nano-banana-pro": Made(
        {"aspect_ratio": "16:9", "image": START, "options": {"resolution": "1K"}},
        {"aspect_ratio": "16:9", "image_input": [START_URI], "resolution": "1K"},
        (1376, 768),
    ),
    "google/nano-banana-2": Made(
        {"aspect_ratio": "16:9", "image": START, "output_format": "png"},
        {"aspect_ratio": "16:9", "image_input": [START_URI], "output_format": "png"},
        (1376, 768),
    ),
    "anotherjesse/zeroscope-v2-xl": Made(
        {"duration": 2, "fps": 4, "size": "320x256", "seed": 7},
        {"num_frames": 8, "fps": 4, "width": 320, "height": 256, "seed": 7},
        (320, 256), 2,
    ),
    "minimax/video-01": Made({"image": START}, {"first_frame_image": START_URI}, (1280, 720), 6),
    "tencent/hunyuan-video": Made(
        {"duration": 1.25, "fps": 20, "size": "320x256", "seed": 7},
        {"video_length": 25, "fps": 20, "width": 320, "height": 256, "seed": 7},
        (320, 256), 1.25,
    ),
    "lightricks/ltx-video": Made(
        {**_SQUARE, "seed": 7, "image": START, "options": {"target_size": 512}},
        {**_SQUARE, "seed": 7, "image": START_URI, "target_size": 512},
        (512, 512), 97 / FRAME_RATE,
    ),
    "luma/ray": Made({**_SQUARE, "image": START}, {**_SQUARE, "start_image_url": START_URI}, (720, 720), 6),
    "genmoai/mochi-1": Made({"duration": 3, "fps": 10, "seed": 7}, {"num_frames": 30, "fps": 10, "seed": 7}, (1280, 720), 3),
    "wan-video/wan-2.2-t2v-fast": Made(
        {"duration": 5, "aspect_ratio": "9:16", "seed": 7, "options": {"interpolate_output": False}},
        {"num_frames": 81, "aspect_ratio": "9:16", "seed": 7, "interpolate_output": False},
        (480, 832), 81 / 16,
    ),
    "wan-video/wan-2.2-i2v-fast": Made(
        {"duration": 4, "fps": 24, "seed": 7, "image": START},
        {"num_frames": 97, "frames_per_second": 24, "seed": 7, "image": START_URI},
        (832, 480), 97 / 24,
    ),
    "wan-video/wan-2.5-t2v": Made(
        {"duration": 5, "size": "480x832", "seed": 7, "negative_prompt": "blur"},
        {"duration": 5, "size": "480*832", "seed": 7, "negative_prompt": "blur"},
        (480, 832), 5,
    ),
    "wan-video/wan-2.5-t2v-fast": Made(
        {"duration": 5, "aspect_ratio": "16:9", "seed": 7}, {"duration": 5, "size": "1280*720", "seed": 7}, (1280, 720), 5
    ),
    "bytedance/seedance-1-pro": _SEEDANCE,
    "bytedance/seedance-1-lite": _SEEDANCE,
    "bytedance/seedance-1.5-pro": Made(
        {"duration": 2, **_SQUARE, "fps": 12, "seed": 7, "image": START, "options": {"generate_audio": True}},
        {"duration": 2, **_SQUARE, "fps": 12, "seed": 7, "image": START_URI, "generate_audio": True},
        (720, 720), 2,
    ),
    "kwaivgi/kling-v2.5-turbo-pro": _SHORT_KLING,
    "kwaivgi/kling-v2.6": _SHORT_KLING,
    "kwaivgi/kling-v3-video": Made(
        {"duration": 15, "image": START, **_SQUARE, "options": {"mode": "standard", "generate_audio": True, "end_image": START_URI}},
        {"duration": 15, "start_image": START_URI, **_SQUARE, "mode": "standard", "generate_audio": True, "end_image": START_URI},
        (720, 720), 15,
    ),
    "minimax/hailuo-02": Made(
        {"duration": 10, "image": START, "options": {"resolution": "512p"}},
        {"duration": 10, "first_frame_image": START_URI, "resolution": "512p"},
        (910, 512), 10,
    ),
    "minimax/hailuo-2.3": Made({"duration": 6, "image": START}, {"duration": 6, "first_frame_image": START_URI}, (1366, 768), 6),
    "google/veo-3.1": _VEO,
    "google/veo-3.1-fast": _VEO,
    "google/veo-3": _VEO,
    "google/veo-3-fast": _VEO,
    "luma/ray-flash-2-720p": Made(
        {"duration": 5, **_SQUARE, "image": START}, {"duration": 5, **_SQUARE, "start_image": START_URI}, (720, 720), 5
    ),
    "pixverse/pixverse-v5": Made(
        {"duration": 8, **_SQUARE, "seed": 7, "image": START, "options": {"quality": "360p"}},
        {"duration": 8, **_SQUARE, "seed": 7, "image": START_URI, "quality": "360p"},
        (360, 360), 8,
    ),
}  # fmt: skip

# One of each way to say size, length and images; the others take as long and run with the longer proofs.
A_CUT = {
    "black-forest-labs/flux-2-klein-4b", "bytedance/sdxl-lightning-4step", "ideogram-ai/ideogram-v3-turbo", "google/nano-banana-pro",
    "tencent/hunyuan-video", "wan-video/wan-2.2-i2v-fast", "wan-video/wan-2.5-t2v", "kwaivgi/kling-v3-video", "google/veo-3.1",
}  # fmt: skip
BUILT_IN = {known.model.partition(":")[0]: known for known in load_capabilities("replicate")}


def test_none_is_forgotten() -> None:
    """Every built-in model is made below."""
    assert EXPECTED.keys() == BUILT_IN.keys()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=() if model in A_CUT else pytest.mark.slow) for model in EXPECTED]
)
async def test_a_preset(model: str, media: MediaGenerator, emulator: Emulator) -> None:
    """The common options become exactly the model's own inputs, and the file is as long and as large as was asked for."""
    emulator.switches.replicate_frame_rate = FRAME_RATE
    known, made = BUILT_IN[model], EXPECTED[model]
    make: Callable[..., object] = media.image if known.kind == "image" else media.video
    asset = await make(PROMPT, model=f"replicate:{model}", **made.asked)
    (record,) = emulator.books().predictions
    assert (record.model, record.kind, record.input) == (model, known.kind, {"prompt": PROMPT, **made.arrives})
    assert (asset.kind, asset.width, asset.height) == (known.kind, *made.size)
    assert asset.duration == (None if made.duration is None else pytest.approx(made.duration, abs=0.01))
    assert asset.seed == made.asked.get("seed")
    assert asset.warnings == ()


@pytest.mark.parametrize("model", BUILT_IN)
def test_nothing_is_made_up(model: str) -> None:
    """The emulated model, whose data is another, takes every input of the preset, with the same choices and defaults."""
    published = by_name(*model.split("/"))
    assert published is not None
    for name, schema in (BUILT_IN[model].inputs or {}).items():
        told = {key: schema[key] for key in ("type", "enum", "default", "minimum", "maximum") if key in schema}
        assert told.items() <= published.properties[name].items(), name


@pytest.mark.anyio
@pytest.mark.parametrize("model", ["google/veo-3.1", "bytedance/seedance-1-lite", "black-forest-labs/flux-2-pro"])
async def test_a_lost_create_is_found_by_its_seed(model: str, media: MediaGenerator, emulator: Emulator) -> None:
    """With a start image too, which is no part of what is compared."""
    emulator.fault("replicate.create", "drop_after")
    job = await media.start(BUILT_IN[model].kind, PROMPT, model=f"replicate:{model}", image=START)
    assert job.ref == emulator.books().predictions[0].id
    assert emulator.books().creates == 1


@pytest.mark.anyio
@pytest.mark.parametrize("model", ["kwaivgi/kling-v2.6", "minimax/hailuo-2.3", "google/nano-banana-pro"])
async def test_without_a_seed_it_is_uncertain(model: str, media: MediaGenerator, emulator: Emulator) -> None:
    """As the model's note says: what has the same inputs could be somebody else's."""
    emulator.fault("replicate.create", "drop_after")
    with pytest.raises(SubmissionUncertainError):
        await media.start(BUILT_IN[model].kind, PROMPT, model=f"replicate:{model}")
    assert "no seed" in BUILT_IN[model].note
    assert emulator.books().creates == 1


@pytest.mark.parametrize("known", BUILT_IN.values(), ids=BUILT_IN)
def test_who_takes_no_seed_says_so(known: Capability) -> None:
    """Whoever chooses a model reads what a lost answer would mean."""
    assert ("seed" in known.names) != ("no seed" in known.note)
