"""The error for a model that a provider does not have, with models that it has."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from aifs_media.toolkit import ModelRetiredError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Kind
    from aifs_media.toolkit import HttpProvider

SUGGESTIONS = 3


def missing_model(
    provider: HttpProvider,
    kind: Kind,
    model: str,
    *,
    message: str,
    successors: Sequence[str],
    hint: str = "",
    request_id: str = "",
) -> ModelRetiredError:
    """Return the error: it names the model's successors, then models whose names are alike, then the provider's own choice.

    Args:
        provider: who does not have it.
        kind: what was to be made.
        model: as it was asked for.
        message: what is wrong.
        successors: models that replace it, where the model data know some.
        hint: what to do instead of the usual.
        request_id: of the answer that said so; empty where nobody was asked.
    """
    known = [capability.model for capability in provider.capabilities if capability.kind == kind]
    others = [other for other in known if other.lower() != model.lower()]
    alike = difflib.get_close_matches(model, others, n=2, cutoff=0.7)
    offered = list(dict.fromkeys([*successors, *alike, *others[:1]]))
    error = ModelRetiredError(
        message,
        model=f"{provider.name}:{model}",
        suggestions=[f"{provider.name}:{other}" for other in offered[:SUGGESTIONS]],
        hint=hint,
        provider=provider.name,
    )
    error.request_id = request_id
    return error
