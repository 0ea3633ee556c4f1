"""Stability AI: images, which the create itself answers with.

Facts: the reference of the v2beta API, https://platform.stability.ai/docs/api-reference. There is no list, no status, no cancel,
no webhook and no idempotency key: a create whose answer was lost stays uncertain.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from aifs_media._secrets import redact
from aifs_media.providers import _stability_answers as answers
from aifs_media.providers._data import load_capabilities, load_data
from aifs_media.providers._models import missing_model
from aifs_media.providers._stability_requests import generate_form, service
from aifs_media.records import Check
from aifs_media.toolkit import HttpProvider, MediaError, ModelRetiredError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Kind
    from aifs_media.toolkit import Answer, Capability, Failed, MediaRequest, Succeeded

CREATE_TIMEOUT = 120.0
"""Seconds to hold a create open where the request does not say how long its caller waits."""

CREATE_MARGIN = 10.0
"""Seconds more than the caller's patience: an answer that comes a moment late is paid for, and kept."""

VIDEO_ENDED = "Its API for videos ended on 2025-07-24."

REQUEST_LIMIT = 10 * 1024 * 1024
ROOM_FOR_FIELDS = 96 * 1024
"""Bytes left for prompt and negative prompt, of at most 10,000 characters each, and the rest of the form."""


class StabilityProvider(HttpProvider):
    """Speaks to Stability AI. The roles: `Catalogue` (built-in data), `Checkable`."""

    name = "stability"
    label = "Stability AI"
    base_url = "https://api.stability.ai"
    key_settings: ClassVar[tuple[str, ...]] = ("STABILITY_API_KEY",)
    key_use: ClassVar[str] = "image generation"
    billing_url: ClassVar[str] = "https://platform.stability.ai/account/credits"
    keys_url: ClassVar[str] = "https://platform.stability.ai/account/keys"
    # Only 4xx is documented as a refusal.
    refusal_statuses: ClassVar[frozenset[int]] = frozenset()
    data_uri_limit: int = REQUEST_LIMIT - ROOM_FOR_FIELDS
    reads_urls: bool = False
    capabilities: Sequence[Capability] = load_capabilities("stability")

    _retired = cast("dict[str, str]", load_data("stability")["retired"])

    # -- making media --------------------------------------------------------------------------------------------------

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Succeeded | Failed:
        """Ask for a picture, once, and hold the request open until it is there. `submit_key` stays here.

        Raises:
            ModelRetiredError: there is no such model; it names some that there are.
            MediaError: any other refusal, typed. `maybe_billed` is set where the answer was lost or made no sense.
        """
        del submit_key
        form = generate_form(request)
        answer = await self._client().create(
            f"/v2beta/stable-image/generate/{service(request.model)}",
            content=form.content,
            headers={"content-type": form.media_type, "accept": "image/*"},
            timeout=CREATE_TIMEOUT if request.timeout is None else request.timeout + CREATE_MARGIN,
        )
        if answer.status < 300:
            return _with_seed(request, answers.state(answer, redact=self._redact))
        failed = answers.failed_generation(answer, redact=self._redact)
        if failed is not None:
            return failed
        error = self.error(answer, maybe_billed=self.may_be_accepted(answer))
        if isinstance(error, ModelRetiredError):
            raise self._no_such_model(request.kind, request.model, request_id=error.request_id)
        raise error

    # -- what models there are -----------------------------------------------------------------------------------------

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Return what a model takes. There is no list to ask, so a model that is not built in is not known.

        Raises:
            ModelRetiredError: it is retired or not built in.
        """
        for built_in in self.capabilities:
            if (built_in.kind, built_in.model) == (kind, model.lower()):
                return built_in
        hint = "check_options=False sends the request all the same." if kind == "image" else VIDEO_ENDED
        raise self._no_such_model(kind, model, hint=hint)

    def _no_such_model(self, kind: Kind, model: str, *, hint: str = "", request_id: str = "") -> ModelRetiredError:
        successor = self._retired.get(model.lower())
        return missing_model(
            self,
            kind,
            model,
            message=f"Stability AI has no {kind} model {model!r} (any more).",
            successors=[successor] if successor else [],
            hint=hint,
            request_id=request_id,
        )

    # -- credits -------------------------------------------------------------------------------------------------------

    async def check(self) -> Sequence[Check]:
        """Prove the key with the balance of credits, which costs nothing to ask."""
        try:
            left = answers.credits_left(await self.call("GET", "/v1/user/balance"))
        except MediaError as error:
            return [Check(name=self.name, ok=False, message=error.message, hint=error.hint)]
        if left is None:
            words = "Stability AI accepts the key and does not say how many credits are left."
            return [Check(name=self.name, ok=True, message=words)]
        cheapest = float(min(built_in.price.amount for built_in in self.capabilities if built_in.price) * 100)
        enough = left >= cheapest
        return [
            Check(
                name=self.name,
                ok=enough,
                message=f"Stability AI accepts the key; {left:,.2f} credits are left.",
                hint=""
                if enough
                else f"A picture costs at least {cheapest:g} credits: buy some at {self.billing_url}.",
                facts={"credits": left},
            )
        ]

    # -- errors --------------------------------------------------------------------------------------------------------

    def explain(self, answer: Answer) -> MediaError | None:
        """Return the error that only Stability's words tell."""
        return answers.refusal(answer, provider=self.name, redact=self._redact)

    def detail(self, answer: Answer) -> str:
        """Return the vendor's own words of an error answer."""
        return answers.words(answer)

    def _redact(self, text: str) -> str:
        return redact(text, self._key)


def _with_seed(request: MediaRequest, state: Succeeded | Failed) -> Succeeded | Failed:
    """Say so where the seed 0 was asked for, which Stability takes for any seed."""
    if state.status == "failed" or request.inputs.get("seed") != 0:
        return state
    used = f": it was {state.seed}" if state.seed is not None else ""
    return state.model_copy(
        update={"warnings": (*state.warnings, f"Stability AI takes seed 0 for a random one{used}.")}
    )
