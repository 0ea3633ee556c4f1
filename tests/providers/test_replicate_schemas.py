"""What is known about Replicate's models: the built-in data, and what is made of a published schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aifs_media.errors import RequestRejectedError
from aifs_media.providers._data import load_capabilities, load_data
from aifs_media.providers._replicate_requests import ModelName
from aifs_media.providers._replicate_schemas import capability, inputs, published_model
from aifs_media.records import Capability, Frames

FIXTURES = Path(__file__).parents[1] / "fixtures" / "replicate"
SCHEMAS: dict[str, Any] = json.loads((FIXTURES / "model_schemas_2025-01.json").read_text("utf-8"))
BUILT_IN = load_capabilities("replicate")
LONGEST = "kwaivgi/kling-v3-video"
PROSE = {"description"}


def body(model: str, **members: Any) -> dict[str, Any]:
    """Return what `GET /models/{owner}/{name}` answers."""
    known = SCHEMAS[model]
    version = {"id": known["version"], "openapi_schema": {"components": {"schemas": known["schemas"]}}}
    return {"latest_version": version, "is_official": False, **members}


def described(model: str, kind: Any = "image", **members: Any) -> Capability:
    return capability(published_model(body(model, **members), path=model), kind=kind, model=model)


@pytest.mark.parametrize("known", BUILT_IN, ids=lambda known: known.model.partition(":")[0])
def test_built_in_models(known: Capability) -> None:
    """Each built-in model names own inputs only, and its price says where it is from and of when."""
    assert known.inputs is not None
    assert set(known.names.values()) <= set(known.inputs)
    assert set(known.required) <= set(known.inputs)
    assert "prompt" in known.names
    if known.frames is not None:
        assert {known.frames.name, known.frames.fps_name} <= set(known.inputs)
        assert (known.frames.default - known.frames.offset) % known.frames.step == 0
    if known.sizes:
        assert set(known.sizes) == set(known.inputs["aspect_ratio"]["enum"])
    if known.price is not None:
        assert known.price.amount > 0
        assert known.price.source
        assert known.price.as_of.startswith("2026-")
    assert known.hold_seconds == 0 or "seed" in known.names


@pytest.mark.parametrize(
    "known",
    [one for one in BUILT_IN if ModelName.parse(one.model).path in SCHEMAS],
    ids=lambda known: known.model.partition(":")[0],
)
def test_built_in_inputs_are_the_published_ones(known: Capability) -> None:
    """The built-in inputs are those of the model's own schema; only a step that its prose names is added."""
    name = ModelName.parse(known.model)
    published = inputs(SCHEMAS[name.path]["schemas"])
    assert known.inputs is not None
    assert {own: {k: v for k, v in schema.items() if k != "multipleOf"} for own, schema in known.inputs.items()} == {
        own: {k: v for k, v in schema.items() if k not in PROSE} for own, schema in published.items()
    }
    assert name.version in {"", SCHEMAS[name.path]["version"]}


def test_first_of_each_kind() -> None:
    """Flux Schnell is the image model and Zeroscope the video model when none is named."""
    assert next(one.model for one in BUILT_IN if one.kind == "image") == "black-forest-labs/flux-schnell"
    assert next(one.model for one in BUILT_IN if one.kind == "video").startswith(
        "anotherjesse/zeroscope-v2-xl:9f747673"
    )


def test_somebody_makes_15_seconds() -> None:
    """There is a model to name to those who ask for 15 s."""
    assert [one.model for one in BUILT_IN if one.maximum_duration == 15] == [LONGEST]


def test_every_successor_is_another_model() -> None:
    """A retired model is never its own replacement, and none is without one."""
    successors = load_data("replicate")["successors"]
    assert isinstance(successors, dict)
    for old, new in successors.items():
        assert isinstance(new, list)
        assert new
        assert old not in new
        assert all(ModelName.parse(str(one)).path for one in new)


@pytest.mark.parametrize(("model", "kind"), [(model, "image") for model in SCHEMAS])
def test_every_published_schema_is_understood(model: str, kind: str) -> None:
    """All recorded schemas become flat properties, with choices in place of references, and a name for the prompt."""
    made = described(model, kind)
    assert made.inputs is not None
    assert "$ref" not in json.dumps(made.inputs)
    assert "allOf" not in json.dumps(made.inputs)
    assert made.names["prompt"] == "prompt"
    assert set(made.required) <= set(made.inputs)
    assert next(iter(made.inputs)) == "prompt" or made.inputs
    for own in made.names.values():
        assert own in made.inputs


def test_names_of_known_inputs() -> None:
    """Common options are found under each author's names."""
    assert described("minimax/video-01", "video").names["image"] == "first_frame_image"
    assert described("luma/ray", "video").names["image"] == "start_image_url"
    assert described("black-forest-labs/flux-schnell").names["n"] == "num_outputs"
    assert described("black-forest-labs/flux-schnell").maximum_outputs == 4
    assert described("ideogram-ai/ideogram-v2").names["size"] == "resolution"
    assert described("haiper-ai/haiper-video-2", "video").names["duration"] == "duration"
    assert "size" not in described("haiper-ai/haiper-video-2", "video").names


def test_custom_size() -> None:
    """A model whose width and height need another input says which."""
    assert described("black-forest-labs/flux-1.1-pro").custom_size == {"aspect_ratio": "custom"}
    assert described("stability-ai/sdxl").custom_size == {}


def test_frames() -> None:
    """A video model that counts frames is understood where it publishes a rate."""
    mochi = Frames(name="num_frames", default=163, default_fps=30, maximum=170, fps_name="fps")
    assert described("genmoai/mochi-1", "video").frames == mochi
    assert described("lightricks/ltx-video", "video").frames is None
    assert described("stability-ai/sdxl").frames is None


def test_official_models_run_under_their_name() -> None:
    """Only official models can be run without a version."""
    version = SCHEMAS["stability-ai/sdxl"]["version"]
    assert published_model(body("stability-ai/sdxl", is_official=True), path="a/b").runs_as == "a/b"
    assert published_model(body("stability-ai/sdxl"), path="a/b").runs_as == f"a/b:{version}"
    assert published_model(body("stability-ai/sdxl")["latest_version"], path="a/b").runs_as == f"a/b:{version}"


@pytest.mark.parametrize("answer", [None, {}, {"latest_version": None}, {"latest_version": {"openapi_schema": None}}])
def test_a_model_without_schema_is_refused(answer: Any) -> None:
    """What a model takes is not guessed."""
    with pytest.raises(RequestRejectedError, match="check_options=False"):
        capability(published_model(answer, path="a/b"), kind="image", model="a/b")


def test_recorded_model_answers() -> None:
    """The recorded answers about a model and about a version of it give the same inputs."""
    lines = (FIXTURES / "exchanges.jsonl").read_text("utf-8").splitlines()
    answers = [
        json.loads(one["response"]["body"])
        for one in map(json.loads, lines)
        if one["request"]["method"] == "GET" and "/models/stability-ai/sdxl" in one["request"]["url"]
    ]
    assert len(answers) == 4
    for answer in answers:
        made = capability(published_model(answer, path="stability-ai/sdxl"), kind="image", model="stability-ai/sdxl")
        assert made.inputs is not None
        assert made.inputs["scheduler"]["enum"][0] == "DDIM"  # type: ignore[index]
        assert (made.names["n"], made.names["width"], made.maximum_outputs) == ("num_outputs", "width", 4)
