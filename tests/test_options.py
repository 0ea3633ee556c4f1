"""What a model takes, and what is refused before anything is paid."""

from __future__ import annotations

import pytest

from aifs_media._limits import most_outputs
from aifs_media._options import alternatives, model_inputs
from aifs_media.errors import UnsupportedOptionError
from aifs_media.records import Capability, Frames, InputFile, MediaRequest, Need, Size, SizeLimits

RATIOS = Capability(
    kind="image",
    model="ratios",
    names={"prompt": "prompt", "n": "num_outputs", "aspect_ratio": "aspect_ratio", "seed": "seed", "output_format": "output_format"},
    inputs={
        "prompt": {"type": "string"},
        "aspect_ratio": {"type": "string", "enum": ["1:1", "16:9", "9:16"], "default": "1:1"},
        "num_outputs": {"type": "integer", "minimum": 1, "maximum": 4},
        "seed": {"type": "integer"},
        "output_format": {"type": "string", "enum": ["webp", "jpg", "png"]},
        "steps": {"type": "integer", "minimum": 1, "maximum": 4},
    },
    sizes={"1:1": Size(width=1024, height=1024), "16:9": Size(width=1344, height=768), "9:16": Size(width=768, height=1344)},
    maximum_outputs=4,
)  # fmt: skip
PIXELS = Capability(
    kind="image",
    model="pixels",
    names={"prompt": "prompt", "width": "width", "height": "height"},
    inputs={
        "prompt": {"type": "string"},
        "width": {"type": "integer", "minimum": 256, "maximum": 1280},
        "height": {"type": "integer", "minimum": 256, "maximum": 1280, "multipleOf": 8},
    },
)
LIST_OF_SIZES = Capability(
    kind="image", model="sizes", names={"prompt": "prompt", "size": "size"},
    inputs={"prompt": {"type": "string"}, "size": {"enum": ["1024*1024", "1280*720"]}},
)  # fmt: skip
CLIP = Capability(
    kind="video", model="clip", names={"prompt": "prompt", "duration": "duration", "image": "start_image"},
    inputs={"prompt": {"type": "string"}, "duration": {"enum": ["4s", "6s", "8s"], "default": "8s"}, "start_image": {"type": "string"}},
)  # fmt: skip
LONG = Capability(
    kind="video", model="long", names={"prompt": "prompt", "duration": "duration"},
    inputs={"prompt": {"type": "string"}, "duration": {"type": "integer", "minimum": 3, "maximum": 15}},
)  # fmt: skip
FRAMES = Capability(
    kind="video", model="frames", names={"prompt": "prompt", "fps": "fps"},
    inputs={"prompt": {"type": "string"}, "num_frames": {"type": "integer"}, "fps": {"type": "integer"}},
    frames=Frames(name="num_frames", default=24, default_fps=8, maximum=60, fps_name="fps"),
)  # fmt: skip
SIZE_PAIRS = Capability(
    kind="video", model="pairs", names={"prompt": "prompt", "size": "ratio"},
    inputs={"prompt": {"type": "string"}, "ratio": {"enum": ["1280:720", "720:1280"], "default": "1280:720"}},
)  # fmt: skip
SIZE_OBJECT = Capability(
    kind="image", model="object", names={"prompt": "prompt", "size": "image_size"},
    inputs={"prompt": {"type": "string"}, "image_size": {"type": "object", "default": {"width": 1024, "height": 768}}},
)  # fmt: skip
FREE_SIZE = Capability(
    kind="image", model="free", names={"prompt": "prompt", "n": "n", "size": "size", "output_format": "output_format"},
    inputs={
        "prompt": {"type": "string"}, "n": {"type": "integer"}, "size": {"type": "string", "default": "auto"},
        "background": {"enum": ["auto", "transparent"]}, "output_format": {"enum": ["png", "jpeg"], "default": "png"},
        "compression": {"type": "integer"},
    },
    sizes={"16:9": Size(width=1536, height=864)},
    size_limits=SizeLimits(multiple=16, maximum_side=3840, maximum_ratio=3, maximum_pixels=3840 * 2160, pixels_together=12 * 1024 * 1024),
    needs=(
        Need(name="background", value="transparent", other="output_format", values=("png",)),
        Need(name="compression", other="output_format", values=("jpeg",)),
    ),
    maximum_outputs=10,
)  # fmt: skip
ALL = [("p", capability) for capability in (RATIOS, PIXELS, LIST_OF_SIZES, CLIP, LONG, FRAMES)]


def ask(capability: Capability, **fields: object) -> MediaRequest:
    return MediaRequest.model_validate(
        {"kind": capability.kind, "prompt": "a fox", "provider": "p", "model": capability.model, **fields}
    )


def test_ratio_model_gets_the_nearest_ratio_and_says_so() -> None:
    """A size becomes the nearest aspect ratio, and the true size is expected and told."""
    made = model_inputs(ask(RATIOS, size=Size(width=1920, height=1080)), RATIOS)
    assert made.values["aspect_ratio"] == "16:9"
    assert made.size == Size(width=1344, height=768)
    assert "1920x1080 becomes 1344x768" in made.warnings[0]
    square = model_inputs(ask(RATIOS, size=Size(width=1024, height=1024)), RATIOS)
    assert (square.values["aspect_ratio"], square.warnings) == ("1:1", ())


def test_default_size_is_expected() -> None:
    """Without size or ratio the schema's default says what comes out."""
    assert model_inputs(ask(RATIOS), RATIOS).size == Size(width=1024, height=1024)


def test_width_and_height_are_sent_and_bounded() -> None:
    """Pixels go as they are, within the schema."""
    assert model_inputs(ask(PIXELS, size=Size(width=640, height=480)), PIXELS).values == {
        "prompt": "a fox", "width": 640, "height": 480,
    }  # fmt: skip
    with pytest.raises(UnsupportedOptionError, match="It takes from 256 to 1280"):
        model_inputs(ask(PIXELS, size=Size(width=2048, height=480)), PIXELS)
    with pytest.raises(UnsupportedOptionError, match="multiples of 8"):
        model_inputs(ask(PIXELS, size=Size(width=640, height=481)), PIXELS)


def test_sizes_in_the_models_own_spelling() -> None:
    """1280x720 finds "1280*720"; an aspect ratio finds the size that has it."""
    assert (
        model_inputs(ask(LIST_OF_SIZES, size=Size(width=1280, height=720)), LIST_OF_SIZES).values["size"] == "1280*720"
    )
    assert model_inputs(ask(LIST_OF_SIZES, aspect_ratio="16:9"), LIST_OF_SIZES).values["size"] == "1280*720"


def test_durations_in_the_models_own_spelling() -> None:
    """8 finds "8s"; 5 is refused with what there is."""
    assert model_inputs(ask(CLIP, duration=8.0), CLIP).values["duration"] == "8s"
    assert model_inputs(ask(CLIP), CLIP).duration == 8.0
    with pytest.raises(UnsupportedOptionError, match="It takes: 4s, 6s, 8s"):
        model_inputs(ask(CLIP, duration=5.0), CLIP)


def test_frames_are_counted() -> None:
    """Duration times fps, within what the model can do; without a duration the default is told."""
    made = model_inputs(ask(FRAMES, duration=3.0, fps=10.0), FRAMES)
    assert (made.values["num_frames"], made.values["fps"], made.duration, made.fps) == (30, 10, 3.0, 10.0)
    plain = model_inputs(ask(FRAMES), FRAMES)
    assert (plain.values["num_frames"], plain.duration) == (24, 3.0)
    assert "24 frames at 8 fps (3 s)" in plain.warnings[0]
    with pytest.raises(UnsupportedOptionError, match="360"):
        model_inputs(ask(FRAMES, duration=15.0, fps=24.0), FRAMES)


def test_too_few_frames_are_told_in_seconds() -> None:
    """A film that is too short says from how many seconds on it is not, rather than that its frames are no duration."""
    inputs = {**(FRAMES.inputs or {}), "num_frames": {"type": "integer", "minimum": 16}}
    least = FRAMES.model_copy(update={"inputs": inputs})
    assert model_inputs(ask(least, duration=2.0), least).values["num_frames"] == 16
    with pytest.raises(UnsupportedOptionError, match="at least 16 frames, and 1 s at 8 fps are 8") as refused:
        model_inputs(ask(least, duration=1.0), least)
    assert refused.value.hint == "Ask for at least 2 s, or more fps."


def test_refusal_names_who_could() -> None:
    """15 seconds are refused by one model, and the one that can is named."""
    request = ask(FRAMES, duration=15.0)
    with pytest.raises(UnsupportedOptionError) as refused:
        model_inputs(request, FRAMES)
    assert alternatives(refused.value, request, ALL) == ["p:long"]


def test_refusal_names_the_same_provider_first() -> None:
    """Whoever has a key of one provider can follow the hint without another one."""
    request = ask(FRAMES, duration=15.0)
    with pytest.raises(UnsupportedOptionError) as refused:
        model_inputs(request, FRAMES)
    known = [(name, LONG) for name in ("a", "b", "c", "d", "e", request.provider)]
    assert alternatives(refused.value, request, known) == [
        f"{request.provider}:long",
        "a:long",
        "b:long",
        "c:long",
        "d:long",
    ]


def test_typo_in_options_is_refused_with_a_guess() -> None:
    """Providers drop unknown inputs silently and bill; we do not send them."""
    with pytest.raises(UnsupportedOptionError, match="Did you mean 'steps'"):
        model_inputs(ask(RATIOS, options={"step": 2}), RATIOS)
    assert model_inputs(ask(RATIOS, options={"step": 2}), RATIOS, check=False).values["step"] == 2


@pytest.mark.parametrize("value", ["2", 2.5, True, [2]])
def test_wrong_type_in_options_is_refused(value: object) -> None:
    """An integer is an integer."""
    with pytest.raises(UnsupportedOptionError, match="steps"):
        model_inputs(ask(RATIOS, options={"steps": value}), RATIOS)


def test_saying_a_thing_twice_is_refused() -> None:
    """A common option and the model's own name for it may not both be given."""
    with pytest.raises(UnsupportedOptionError, match="twice"):
        model_inputs(ask(RATIOS, seed=1, options={"seed": 2}), RATIOS)
    with pytest.raises(UnsupportedOptionError, match="both given"):
        model_inputs(ask(RATIOS, size=Size(width=8, height=8), aspect_ratio="1:1"), RATIOS)


@pytest.mark.parametrize(
    ("capability", "fields"),
    [
        (PIXELS, {"seed": 1}), (PIXELS, {"negative_prompt": "blur"}), (PIXELS, {"output_format": "png"}), (PIXELS, {"n": 2}),
        (PIXELS, {"aspect_ratio": "1:1"}), (LONG, {"fps": 24.0}), (LONG, {"image": InputFile(url="https://x.test/a.png")}),
        (RATIOS, {"n": 5}),
    ],
)  # fmt: skip
def test_what_a_model_does_not_take_is_refused(capability: Capability, fields: dict[str, object]) -> None:
    """Nothing the model does not know is sent or dropped."""
    with pytest.raises(UnsupportedOptionError):
        model_inputs(ask(capability, **fields), capability)


def test_jpeg_is_jpg() -> None:
    """Two spellings of one format."""
    assert model_inputs(ask(RATIOS, output_format="JPEG"), RATIOS).values["output_format"] == "jpg"


def test_required_inputs_are_asked_for() -> None:
    """A start image that the model needs is named before anything is paid."""
    needy = CLIP.model_copy(update={"required": ("prompt", "start_image")})
    with pytest.raises(UnsupportedOptionError, match="image="):
        model_inputs(ask(needy), needy)
    model_inputs(ask(needy, image=InputFile(url="https://x.test/a.png")), needy)


def test_sizes_in_other_spellings() -> None:
    """A size reaches the model as it spells sizes, and what it makes by default is expected."""
    assert model_inputs(ask(SIZE_PAIRS, size=Size(width=720, height=1280)), SIZE_PAIRS).values["ratio"] == "720:1280"
    assert model_inputs(ask(SIZE_PAIRS, aspect_ratio="9:16"), SIZE_PAIRS).values["ratio"] == "720:1280"
    assert model_inputs(ask(SIZE_PAIRS), SIZE_PAIRS).size == Size(width=1280, height=720)
    with pytest.raises(UnsupportedOptionError, match="1280:720"):
        model_inputs(ask(SIZE_PAIRS, size=Size(width=16, height=9)), SIZE_PAIRS)
    # A model that takes presets by name as well still gets pixels, and a ratio becomes the size that the data name for it.
    both = SIZE_OBJECT.model_copy(
        update={
            "inputs": {"prompt": {"type": "string"}, "image_size": {"type": ["object", "string"]}},
            "sizes": {"16:9": Size(width=1024, height=576)},
        }
    )
    for fields in ({"size": Size(width=1024, height=576)}, {"aspect_ratio": "16:9"}):
        inputs = model_inputs(ask(both, **fields), both)
        assert inputs.values["image_size"] == {"width": 1024, "height": 576}
        assert inputs.size == Size(width=1024, height=576)
    assert model_inputs(ask(both, options={"image_size": "square_hd"}), both).values["image_size"] == "square_hd"
    with pytest.raises(UnsupportedOptionError):
        model_inputs(ask(both, aspect_ratio="5:4"), both)
    wide = model_inputs(ask(SIZE_OBJECT, size=Size(width=640, height=480)), SIZE_OBJECT)
    assert wide.values["image_size"] == {"width": 640, "height": 480}
    assert model_inputs(ask(SIZE_OBJECT), SIZE_OBJECT).size == Size(width=1024, height=768)


def test_a_start_image_said_twice_is_refused() -> None:
    """The image gets its value later, and must not silently take the place of the one in options."""
    options = {"start_image": "https://x.example/b.png"}
    with pytest.raises(UnsupportedOptionError, match="say the same thing twice"):
        model_inputs(ask(CLIP, image=InputFile(url="https://x.example/a.png"), options=options), CLIP)
    assert model_inputs(ask(CLIP, options=options), CLIP).values["start_image"] == options["start_image"]


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        ("1000x1024", "multiples of 16"), ("3856x1440", "3840 pixels"), ("1600x512", "3 times"), ("3840x2176", "8,294,400 pixels"),
        ("1024x1024", None), ("3840x2160", None), ("2160x3840", None), ("1536x512", None),
    ],
)  # fmt: skip
def test_limits_of_a_free_size(size: str, reason: str | None) -> None:
    """What no list of sizes can say is checked all the same, whichever way the size is given."""
    for fields in ({"size": Size.parse(size)}, {"options": {"size": size}}):
        request = ask(FREE_SIZE, **fields)
        if reason is None:
            assert model_inputs(request, FREE_SIZE).values["size"] == size
            continue
        with pytest.raises(UnsupportedOptionError, match=reason) as refused:
            model_inputs(request, FREE_SIZE)
        assert refused.value.option == "size"


def test_words_for_a_free_size() -> None:
    """The default's word is taken, any other is none; an aspect ratio becomes the size that is listed for it."""
    assert model_inputs(ask(FREE_SIZE, options={"size": "auto"}), FREE_SIZE).size is None
    with pytest.raises(UnsupportedOptionError, match="WIDTHxHEIGHT"):
        model_inputs(ask(FREE_SIZE, options={"size": "large"}), FREE_SIZE)
    assert model_inputs(ask(FREE_SIZE, options={"size": "large"}), FREE_SIZE, check=False).values["size"] == "large"
    wide = model_inputs(ask(FREE_SIZE, aspect_ratio="16:9"), FREE_SIZE)
    assert (wide.values["size"], wide.size) == ("1536x864", Size(width=1536, height=864))
    with pytest.raises(UnsupportedOptionError, match="WIDTHxHEIGHT"):
        model_inputs(ask(FREE_SIZE, aspect_ratio="5:1"), FREE_SIZE)


def test_many_large_outputs_are_too_many_for_one_create() -> None:
    """Outputs that come inside the answer are limited together."""
    large = Size(width=2560, height=1440)
    assert [most_outputs(FREE_SIZE, size) for size in (None, Size(width=1024, height=1024), large)] == [10, 10, 3]
    assert most_outputs(FREE_SIZE, Size(width=3840, height=2160)) == 1
    model_inputs(ask(FREE_SIZE, size=large, n=3), FREE_SIZE)
    with pytest.raises(UnsupportedOptionError, match="at most 3") as refused:
        model_inputs(ask(FREE_SIZE, size=large, n=4), FREE_SIZE)
    assert refused.value.option == "n"


def test_inputs_that_do_not_go_together() -> None:
    """A value that needs another one is refused without it, and the default counts as given."""
    clear = {"background": "transparent"}
    model_inputs(ask(FREE_SIZE, options=clear), FREE_SIZE)
    model_inputs(ask(FREE_SIZE, output_format="jpeg", options={"background": "auto"}), FREE_SIZE)
    with pytest.raises(UnsupportedOptionError, match="only with output_format png, not 'jpeg'"):
        model_inputs(ask(FREE_SIZE, output_format="jpg", options=clear), FREE_SIZE)
    with pytest.raises(UnsupportedOptionError, match="compression=0 only with"):
        model_inputs(ask(FREE_SIZE, options={"compression": 0}), FREE_SIZE)
    model_inputs(ask(FREE_SIZE, output_format="jpeg", options={"compression": 0}), FREE_SIZE)


def test_ratios_that_are_none_are_refused_by_every_model() -> None:
    """Also where the request did not come through a generator: a hint is no place for an error of arithmetic."""
    for ratio in ("0:1", "1:0", "-1:1", "inf:1", "nan:1", "x:1"):
        for capability in (RATIOS, LIST_OF_SIZES, FREE_SIZE, PIXELS):
            request = ask(capability, aspect_ratio=ratio)
            with pytest.raises(UnsupportedOptionError) as refused:
                model_inputs(request, capability)
            assert alternatives(refused.value, request, ALL) == []


def test_a_film_longer_than_numbers_go() -> None:
    """Two large numbers are finite, and their product is not."""
    with pytest.raises(UnsupportedOptionError, match="at most"):
        model_inputs(ask(FRAMES, duration=1e308, fps=24.0), FRAMES)
