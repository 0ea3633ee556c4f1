"""Any server with OpenAI's `POST /images/generations`: a gateway, or one of your own.

Address, key and model are the user's: `OPENAI_COMPATIBLE_BASE_URL`, `OPENAI_COMPATIBLE_API_KEY` (local servers often take none),
and `model="openai-compatible:NAME"`. Pictures come as base64 or as URLs. What else a server takes differs from one to the next,
so start images are not sent, and other inputs only unchecked. What is pure is in `_openai_answers`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from aifs_media._secrets import redact
from aifs_media.errors import RequestRejectedError
from aifs_media.providers import _openai_answers as answers
from aifs_media.records import Check
from aifs_media.toolkit import Capability, HttpProvider, MediaError, ModelRetiredError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Kind
    from aifs_media.toolkit import Answer, Failed, MediaRequest, Succeeded

USUAL_WAIT = 300.0
LONGEST_WAIT = 600.0
"""Seconds for which a create is held open when nobody says how long; a caller's longer timeout counts."""

MOST_OUTPUTS = 10
"""OpenAI's own limit; a server with a lower one refuses."""


class OpenAICompatibleProvider(HttpProvider):
    """Speaks to a server that copies OpenAI's image API. Its jobs have no ref: they have ended when their create is answered.

    The roles: `Catalogue`, `Checkable`.
    """

    name = "openai-compatible"
    label = "The OpenAI-compatible server"
    key_use: ClassVar[str] = "image generation"
    key_required: ClassVar[bool] = False
    # Nothing documents that a 5xx is free.
    refusal_statuses: ClassVar[frozenset[int]] = frozenset()

    def prepare(self) -> None:
        """Make what the provider keeps between calls."""
        self._vendor = answers.Vendor(self.name, self.label, self.base_url, self.base_url, self._redact)

    # -- a job's life --------------------------------------------------------------------------------------------------

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Succeeded | Failed:
        """Create the pictures, once, and wait for them.

        Raises:
            ModelRetiredError: the server does not know the model.
            MediaError: any other refusal, typed. `maybe_billed` is set where the answer was lost or made no sense.
        """
        del submit_key
        body = {"model": request.model, **request.inputs}
        answer = await self._client().create("/images/generations", json=body, timeout=answers.hold_seconds(request))
        if answer.status < 300:
            return answers.images_state(answer, self._vendor)
        failed = answers.failed_generation(answer, self._vendor)
        if failed is not None:
            return failed
        error = self.error(answer, maybe_billed=self.may_be_accepted(answer))
        if isinstance(error, ModelRetiredError):
            error.model = f"{self.name}:{request.model}"
        raise error

    # -- what models there are -----------------------------------------------------------------------------------------

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Return what every server of this kind takes; which models it has is for it to say.

        Raises:
            RequestRejectedError: something else than an image is wanted.
        """
        if kind != "image":
            raise RequestRejectedError(f"{self.label} makes images only.", provider=self.name)
        return Capability(
            kind=kind,
            model=model,
            names={"prompt": "prompt", "n": "n", "size": "size"},
            maximum_outputs=MOST_OUTPUTS,
            timeout=USUAL_WAIT,
            lifetime_limit=LONGEST_WAIT,
        )

    # -- account and errors --------------------------------------------------------------------------------------------

    async def check(self) -> Sequence[Check]:
        """Ask for the server's models, which costs nothing."""
        try:
            listed = answers.listed_models(await self.call("GET", "/models"))
        except MediaError as error:
            return [Check(name=self.name, ok=False, message=error.message, hint=error.hint)]
        return [Check(name=self.name, ok=True, message=f"{self.base_url} answers and lists {len(listed)} models.")]

    def explain(self, answer: Answer) -> MediaError | None:
        """Return the error that only the server's words tell."""
        return answers.refusal(answer, self._vendor)

    def _redact(self, text: str) -> str:
        return redact(text, self._key)
