"""Whether a prediction is the one that a request asked for. Pure.

Seed and prompt tell it, where the model takes a seed: Replicate may name an internal model, and may repeat other inputs otherwise
than they were sent, such as files. Calling a prediction another's by mistake means that it is made and paid for again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aifs_media.providers._replicate_requests import ModelName
from aifs_media.providers._replicate_schemas import OWN_NAMES
from aifs_media.providers._replicate_states import inputs_of

if TYPE_CHECKING:
    from aifs_media.providers._replicate_states import Prediction
    from aifs_media.toolkit import Capability, JsonValue, MediaRequest

    Inputs = dict[str, JsonValue]

INTERNAL = "replicate-internal/"
"""How names begin by which some recorded predictions call an official model."""


def is_of(prediction: Prediction, request: MediaRequest, capability: Capability | None) -> bool:
    """Say whether a prediction of a list is of a request's model and has its seed and prompt, or else all of its inputs.

    Args:
        prediction: as the list holds it.
        request: what was asked for.
        capability: what is known of the model, for the names of its inputs; None where nothing is built in.
    """
    made = inputs_of(prediction)
    asked = _told_by(request, capability) or request.inputs
    same = all(name in made and _same(made[name], value) for name, value in asked.items())
    return bool(asked) and same and _may_be_of(prediction, ModelName.parse(request.model))


def is_anothers(prediction: Prediction, request: MediaRequest, capability: Capability | None) -> bool:
    """Say whether the prediction that a create was answered with repeats another seed or another prompt than were sent."""
    made = inputs_of(prediction)
    sent = {name: request.inputs[name] for name in _names(request, capability).values()}
    return any(made.get(name) is not None and not _same(made[name], value) for name, value in sent.items())


def version_of(prediction: Prediction) -> str:
    """Return a prediction's version, if it is one: official models say "hidden" or an internal name instead."""
    version = prediction.get("version")
    return version if isinstance(version, str) and len(version) == 64 else ""


def _told_by(request: MediaRequest, capability: Capability | None) -> Inputs:
    """Return seed and prompt as they were sent; nothing where one of them was not."""
    names = _names(request, capability)
    return {name: request.inputs[name] for name in names.values()} if len(names) == len(_TELLING) else {}


_TELLING = ("seed", "prompt")


def _names(request: MediaRequest, capability: Capability | None) -> dict[str, str]:
    """Return how the model calls those of seed and prompt that the inputs hold."""
    known = {} if capability is None else capability.names
    candidates = {option: (known[option],) if option in known else OWN_NAMES[option] for option in _TELLING}
    return {
        option: name
        for option, listed in candidates.items()
        for name in [next((one for one in listed if request.inputs.get(one) is not None), "")]
        if name
    }


def _may_be_of(prediction: Prediction, asked: ModelName) -> bool:
    model = prediction.get("model")
    if not isinstance(model, str) or not model or model.startswith(INTERNAL):
        return True
    return ModelName(model, version_of(prediction)).may_be(asked)


def _same(made: JsonValue, sent: JsonValue) -> bool:
    """Compare two inputs. Spaces around and between the words of a text make no other prompt of it."""
    if isinstance(made, str) and isinstance(sent, str):
        return made.split() == sent.split()
    return made == sent
