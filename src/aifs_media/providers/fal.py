"""fal: `fal.ai`, some hundred image and video models behind one queue.

A job is called a request there. Facts: fal.ai/docs, and fal-client 1.0.3. What is pure is in `_fal_requests` and `_fal_answers`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal, Self, cast

from aifs_media._secrets import Secret, redact
from aifs_media.errors import JobNotFoundError
from aifs_media.providers import _fal_answers as answers
from aifs_media.providers._data import load_capabilities, load_data
from aifs_media.providers._fal_requests import (
    check_model,
    create_headers,
    create_path,
    halves_to_hide,
    with_names_of_its_client,
)
from aifs_media.providers._fal_webhooks import KEYS_URL, FalWebhooks
from aifs_media.providers._models import missing_model
from aifs_media.records import Check
from aifs_media.toolkit import Capability, HttpProvider, MediaError, ModelRetiredError, UnexpectedResponseError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aifs_media.records import Kind, WebhookNote
    from aifs_media.toolkit import Answer, Failed, JsonValue, MediaRequest, Pending, Succeeded

CREATE_TIMEOUT = 60.0
"""Seconds for a create, which answers at once and may carry a start frame."""

REMEMBERED_RESULTS = 1000

NO_JOB = "/fal-ai/flux/requests/00000000-0000-0000-0000-000000000000/status"
"""The status of a job that there is not: asking for it proves the key."""


class FalProvider(HttpProvider):
    """Speaks to fal's queue. A job's ref is its id and the three addresses that its create answered.

    The roles: `Pollable`, `Cancellable`, `Catalogue`, `WebhookVerifier`, `Checkable`. fal has no list of jobs and takes no
    idempotency key, so a create whose answer is lost stays uncertain.
    """

    name = "fal"
    forgets_cancelled: Literal[True] = True
    label = "fal"
    base_url = "https://queue.fal.run"
    key_settings: ClassVar[tuple[str, ...]] = ("FAL_KEY",)
    billing_url: ClassVar[str] = answers.BILLING_URL
    keys_url: ClassVar[str] = "https://fal.ai/dashboard/keys"
    delivery_hosts: tuple[str, ...] = ("*.fal.media",)
    # fal documents no 5xx of a create as one that accepted nothing.
    refusal_statuses: ClassVar[frozenset[int]] = frozenset()
    webhook_keys_url: str = KEYS_URL
    capabilities: Sequence[Capability] = load_capabilities("fal")

    _successors = cast("dict[str, list[str]]", load_data("fal")["successors"])

    def prepare(self) -> None:
        """Make what the provider keeps between calls."""
        self._webhooks: FalWebhooks | None = None
        self._halves = tuple(map(Secret, halves_to_hide(self._key.reveal())))
        self._broken_results: dict[str, None] = {}

    @classmethod
    def from_settings(cls, environ: Mapping[str, str]) -> Self:
        """Build the provider from environment names, among them those of fal's own client."""
        provider = super().from_settings(with_names_of_its_client(environ))
        provider.webhook_keys_url = environ.get("FAL_WEBHOOK_KEYS_URL", "").strip() or provider.webhook_keys_url
        return provider

    def headers(self, key: str) -> dict[str, str]:
        """Return the header that authorises a call."""
        return {"authorization": f"Key {key}"}

    # -- a job's life --------------------------------------------------------------------------------------------------

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Pending | Succeeded | Failed:
        """Put a request into the queue, once. fal takes no idempotency key, so `submit_key` stays here.

        Raises:
            ModelRetiredError: there is no such model; it names some that there are.
            MediaError: any other refusal, typed. `maybe_billed` is set where the answer was lost or made no sense.
        """
        del submit_key
        path, headers = create_path(request), create_headers(request)
        try:
            answer = await self.answer("POST", path, json=request.inputs, headers=headers, timeout=CREATE_TIMEOUT)
        except ModelRetiredError as error:
            raise self._no_such_model(request.kind, request.model, error) from error
        return answers.accepted(self._cleaned(answer))

    async def poll(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        """Ask how a job stands, and for its result once it has ended. An error of the result is how the job ended.

        Raises:
            JobNotFoundError: fal does not know it.
            ProviderError: the result could not be had; retryable, unless the key or the account is what is wrong.
            UnsafeURLError: an address in the ref is not at the configured origin, so that the key must not go there.
        """
        try:
            return await self._ask(ref)
        except ModelRetiredError as error:
            raise self._no_such_job(ref, error) from error

    async def _ask(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        urls = answers.urls_of(ref)
        document = answers.document_of(self._cleaned(await self.answer("GET", urls.get("status_url", ""))))
        state = answers.running(document, ref)
        if state is not None:
            return state
        response_url = {**answers.urls_of(document), **urls}.get("response_url", "")
        result = self._cleaned(await self._client().read("GET", response_url))
        ended = answers.ended(result, document, ref, redact=self._redact)
        if ended is None:
            raise self._unread(result)
        if not answers.is_doubtful(result, document):
            self._broken_results.pop(response_url, None)
        elif response_url not in self._broken_results:
            self._remember_broken(response_url)
            error = self.error(result)
            error.retryable = True
            raise error
        return ended

    def _unread(self, result: Answer) -> MediaError:
        error = self.error(result)
        if not isinstance(error, ModelRetiredError):
            return error
        return UnexpectedResponseError(
            "fal says that the job has ended, and does not know its result (HTTP 404).",
            hint="It may show up a moment later: resume(job) asks again.",
            provider=self.name,
            request_id=error.request_id,
            retryable=True,
        )

    def _remember_broken(self, response_url: str) -> None:
        """Note that a result was a 5xx once: the second time in a row it is believed."""
        self._broken_results[response_url] = None
        if len(self._broken_results) > REMEMBERED_RESULTS:
            del self._broken_results[next(iter(self._broken_results))]

    async def cancel(self, ref: JsonValue) -> Literal["cancelled", "too_late"]:
        """Ask fal to stop a job: one in the queue is removed, and unknown then; a running one is sent a signal. Polling tells.

        Raises:
            JobNotFoundError: fal does not know it.
        """
        answer = await self._client().read("PUT", answers.urls_of(ref).get("cancel_url", ""))
        if answer.status < 300:
            return "cancelled"
        if answers.has_ended(answer):
            return "too_late"
        error = self.error(answer)
        raise self._no_such_job(ref, error) if isinstance(error, ModelRetiredError) else error

    def _no_such_job(self, ref: JsonValue, error: MediaError) -> JobNotFoundError:
        return JobNotFoundError(
            f"fal knows no request {_id(ref)!r}.",
            hint="It may have been made with the key of another account.",
            provider=self.name,
            request_id=error.request_id,
        )

    # -- what models there are -----------------------------------------------------------------------------------------

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Return what a model takes: from built-in data, else only that it takes a prompt; fal runs any app under its name.

        Raises:
            RequestRejectedError: it is not a name of a model at fal.
        """
        check_model(model)
        known = (one for one in self.capabilities if (one.kind, one.model.lower()) == (kind, model.lower()))
        return next(known, Capability(kind=kind, model=model))

    def _no_such_model(self, kind: Kind, model: str, error: MediaError) -> ModelRetiredError:
        return missing_model(
            self,
            kind,
            model,
            message=f"fal has no model {model!r} (any more), or it is not open to your key.",
            successors=self._successors.get(model, []),
            request_id=error.request_id,
        )

    # -- webhooks, account, errors -------------------------------------------------------------------------------------

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookNote:
        """Check a webhook against fal's published keys, which are fetched without our key and kept for a day at most."""
        if self._webhooks is None:
            self._webhooks = FalWebhooks(keys_url=self.webhook_keys_url, base_url=self.base_url)
        return await self._webhooks.verify(headers, body)

    async def check(self) -> Sequence[Check]:
        """Prove the key by asking for a job that there is not, which costs nothing: with a wrong key fal answers 401."""
        try:
            await self.answer("GET", NO_JOB)
        except ModelRetiredError:
            pass
        except MediaError as error:
            return [Check(name=self.name, ok=False, message=error.message, hint=error.hint)]
        return [Check(name=self.name, ok=True, message="fal accepts the key; it does not say how much credit is left.")]

    def explain(self, answer: Answer) -> MediaError | None:
        """Return the error that only fal's words tell."""
        return answers.refusal(answer, provider=self.name, redact=self._redact)

    def error(self, answer: Answer, *, maybe_billed: bool = False) -> MediaError:
        """Return the typed error of an answer of status 300 and more."""
        return super().error(self._cleaned(answer), maybe_billed=maybe_billed)

    def detail(self, answer: Answer) -> str:
        """Return fal's own words of an error answer."""
        return self._redact(super().detail(answer))

    def _cleaned(self, answer: Answer) -> Answer:
        """Return an answer whose headers, from which the id of the request comes, repeat no part of the key."""
        return replace(answer, headers={name: self._redact(value) for name, value in answer.headers.items()})

    def _redact(self, text: str) -> str:
        return redact(text, self._key, *self._halves)

    async def aclose(self) -> None:
        """Close the connections; the next call opens new ones."""
        await super().aclose()
        if self._webhooks is not None:
            await self._webhooks.aclose()


def _id(ref: JsonValue) -> str:
    return str(ref.get("id")) if isinstance(ref, dict) else str(ref)
