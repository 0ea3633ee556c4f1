"""Which prediction is whose: what Replicate may say otherwise than it was sent, and what it may not."""

from __future__ import annotations

from typing import Any

import pytest

from aifs_media.providers._replicate_matches import is_anothers, is_of
from aifs_media.providers.replicate import ReplicateProvider
from aifs_media.records import Capability, MediaRequest

FLUX = "black-forest-labs/flux-schnell"
SENT = {"prompt": "a cat", "seed": 7, "num_outputs": 1, "image": "data:image/png;base64,iVBORw=="}
HASH = "a" * 64


def request(model: str = FLUX, **inputs: Any) -> MediaRequest:
    return MediaRequest(kind="image", prompt="a cat", provider="replicate", model=model, inputs=inputs or SENT)


def prediction(model: object = FLUX, **members: Any) -> Any:
    return {"id": "x", "model": model, "version": "hidden", "input": SENT, **members}


def ours(made: Any, asked: MediaRequest | None = None) -> bool:
    return is_of(made, asked or request(), None)


@pytest.mark.parametrize(
    "model",
    [FLUX, "replicate-internal/flux-schnell-fp8", None, "", 3],
    ids=["same", "internal", "none", "empty", "odd"],
)
@pytest.mark.parametrize(
    "echoed",
    [
        SENT,
        {**SENT, "image": "https://replicate.delivery/in.png"},
        {**SENT, "extra": 1},
        {"prompt": "a cat", "seed": 7},
        {"prompt": " a  cat\n", "seed": 7.0},
    ],
    ids=["same", "rewritten file", "more", "less", "spaces"],
)
def test_seed_and_prompt_tell_it(model: object, echoed: dict[str, object]) -> None:
    """Recorded predictions leak internal names, and what becomes of a file is Replicate's matter."""
    assert ours(prediction(model, input=echoed))


@pytest.mark.parametrize(
    "made",
    [
        prediction(input={**SENT, "seed": 8}),
        prediction(input={**SENT, "prompt": "a dog"}),
        prediction(input={"seed": 7}),
        prediction(input={"prompt": "a cat"}),
        prediction(input={}),
        prediction(input=None),
        prediction("black-forest-labs/flux-dev"),
        prediction(f"{FLUX}-2"),
    ],
)
def test_others(made: Any) -> None:
    """Another seed, prompt or model is another job."""
    assert not ours(made)


def test_a_version_that_is_asked_for() -> None:
    """Where both name one, it counts; where Replicate hides it, the name does."""
    asked = request(f"{FLUX}:{HASH}")
    assert ours(prediction(version=HASH), asked)
    assert ours(prediction(), asked)
    assert not ours(prediction(version="b" * 64), asked)


def test_without_a_seed_every_input_counts() -> None:
    """Two prompts alike are not enough there, whatever the model is called."""
    asked = request(prompt="a cat", aspect_ratio="1:1")
    assert ours(
        prediction("replicate-internal/x", input={"prompt": "a cat", "aspect_ratio": "1:1", "go_fast": True}), asked
    )
    assert not ours(prediction(input={"prompt": "a cat", "aspect_ratio": "16:9"}), asked)
    assert not ours(prediction(input={"prompt": "a cat"}), asked)
    assert not ours(prediction(input={}), MediaRequest(kind="image", prompt="a cat", model=FLUX))


def test_inputs_are_compared_under_the_models_own_names() -> None:
    """As its capability has them, else as such inputs are usually called."""
    asked = request(text_prompt="a cat", noise=7, steps=4)
    own = Capability(kind="image", model=FLUX, names={"prompt": "text_prompt", "seed": "noise"})
    made = prediction(input={"text_prompt": "a cat", "noise": 7, "steps": 8})
    assert is_of(made, asked, own)
    assert not is_of(made, asked, None)
    assert is_of(prediction(input={"text_prompt": "a cat", "seed": 7}), request(text_prompt="a cat", seed=7, a=1), None)


def test_every_built_in_name_is_used() -> None:
    """A model that takes a seed is told by it."""
    for known in ReplicateProvider.capabilities:
        if "seed" in known.names:
            sent = {known.names["prompt"]: "a cat", known.names["seed"]: 7}
            made = prediction(known.model.partition(":")[0], input={**sent, "other": 1})
            assert is_of(made, request(known.model, **sent, other=2), known)


@pytest.mark.parametrize(
    ("echoed", "anothers"),
    [
        (SENT, False),
        ({**SENT, "image": "https://replicate.delivery/in.png"}, False),
        ({}, False),
        (None, False),
        ({"seed": None, "prompt": "a cat"}, False),
        ({"prompt": "a cat "}, False),
        ({**SENT, "seed": 8}, True),
        ({**SENT, "prompt": "a dog"}, True),
        ({"prompt": "a dog"}, True),
    ],
)
def test_whose_answer_it_is(echoed: object, *, anothers: bool) -> None:
    """What is not repeated says nothing."""
    assert is_anothers(prediction(input=echoed), request(), None) is anothers
