"""Which provider and model serve a request, and whether the model can do what is asked: decided before anything is paid."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from aifs_media._options import alternatives, model_inputs
from aifs_media._retry import retrying
from aifs_media.errors import ConfigurationError, ModelRetiredError, UnsupportedOptionError
from aifs_media.protocols import Catalogue, role
from aifs_media.records import Capability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from aifs_media._options import ModelInputs
    from aifs_media.protocols import MediaProvider
    from aifs_media.records import Kind, MediaRequest

SEED_LIMIT = 2**31 - 1


class Selection(NamedTuple):
    """A request with provider, model and inputs filled in, and what is known about the model."""

    request: MediaRequest
    provider: MediaProvider
    capability: Capability
    inputs: ModelInputs
    seed_is_ours: bool


def split_model(text: str, *, default_provider: str, known_providers: Iterable[str]) -> tuple[str, str]:
    """Split `provider:model` at the first colon. Without a provider in front, the model belongs to the default one.

    `owner/name:version` has no provider in front: a provider's name has no slash.
    """
    head, separator, rest = text.partition(":")
    if separator and "/" not in head and (head in known_providers or len(rest) != 64):
        return head, rest
    return default_provider, text


def default_capability(provider: MediaProvider, kind: Kind) -> Capability:
    """Return the provider's first model of that kind. Raises ConfigurationError if it has none."""
    for capability in provider.capabilities:
        if capability.kind == kind:
            return capability
    raise ConfigurationError(
        f"The provider {provider.name!r} has no {kind} model of its own choice.",
        hint=f"Name one: model='{provider.name}:MODEL'.",
        provider=provider.name,
    )


def known_capability(provider: MediaProvider, kind: Kind, model: str) -> Capability | None:
    """Return what is built in about a model, or None. Names are compared without regard to case."""
    wanted = model.lower()
    return next(
        (found for found in provider.capabilities if found.kind == kind and found.model.lower() == wanted), None
    )


async def describe(provider: MediaProvider, kind: Kind, model: str, *, check: bool) -> Capability:
    """Return what a model takes: from built-in data, else from the provider itself.

    Raises:
        ModelRetiredError: the provider does not know the model.
        UnsupportedOptionError: nobody can say what it takes, and `check` is on.
    """
    known = known_capability(provider, kind, model)
    if known is not None:
        return known
    unchecked = Capability(kind=kind, model=model, names={name: name for name in _COMMON_NAMES})
    if not check:
        return unchecked
    catalogue = role(provider, Catalogue)
    if catalogue is None:
        raise ModelRetiredError(
            f"The provider {provider.name!r} has no {kind} model {model!r}.",
            model=f"{provider.name}:{model}",
            suggestions=[f"{provider.name}:{found.model}" for found in provider.capabilities if found.kind == kind][:5],
            hint="check_options=False sends the request all the same.",
            provider=provider.name,
        )
    return await retrying(lambda: catalogue.describe(kind, model))


_COMMON_NAMES = (
    "prompt", "n", "width", "height", "aspect_ratio", "seed", "duration", "fps", "image", "negative_prompt", "output_format",
)  # fmt: skip


async def select(
    request: MediaRequest,
    *,
    provider: MediaProvider,
    known: Callable[[], Iterable[tuple[str, Capability]]],
    check: bool,
) -> Selection:
    """Fill in model and inputs of a request whose provider is chosen.

    Args:
        request: with its model named, or empty for the provider's default.
        provider: who serves it.
        known: all models that are known without asking anyone, for the error that says who could do it.
        check: whether provider-specific options are checked.

    Raises:
        UnsupportedOptionError: the model does not take an option; the hint names models that do.
    """
    capability = (
        await describe(provider, request.kind, request.model, check=check)
        if request.model
        else default_capability(provider, request.kind)
    )
    request = request.model_copy(update={"provider": provider.name, "model": request.model or capability.model})
    seed_name = capability.names.get("seed") if capability.inputs is not None else None
    # A seed of our own makes the job findable, where the provider can be searched, if the answer to its create is lost.
    free = request.seed is None and seed_name is not None and seed_name not in request.options
    seed_is_ours = free and capability.find_window > 0
    asked = request.model_copy(update={"seed": secrets.randbelow(SEED_LIMIT)}) if seed_is_ours else request
    try:
        inputs = model_inputs(asked, capability, check=check)
    except UnsupportedOptionError as error:
        others = alternatives(error, request, known())
        if others:
            error.hint = f"{error.hint} {', '.join(others)} can.".strip()
        raise
    return Selection(request.model_copy(update={"inputs": inputs.values}), provider, capability, inputs, seed_is_ours)
