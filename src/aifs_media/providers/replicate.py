"""Replicate: `replicate.com`, some hundred image and video models behind one API.

A job is called a prediction there. Facts: replicate.com/docs, and its OpenAPI file of 2026-03-16. What is pure has modules of
its own: `_replicate_requests`, `_replicate_states`, `_replicate_matches`, `_replicate_schemas` and `_replicate_refusals`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple, cast
from urllib.parse import quote

from aifs_media._forms import FormFile, multipart_form
from aifs_media._retry import retrying
from aifs_media._secrets import redact
from aifs_media.errors import JobNotFoundError, RequestRejectedError
from aifs_media.providers import _replicate_requests as requests
from aifs_media.providers import _replicate_schemas as schemas
from aifs_media.providers import _replicate_states as states
from aifs_media.providers._data import load_capabilities, load_data
from aifs_media.providers._models import missing_model
from aifs_media.providers._reading import moment
from aifs_media.providers._replicate_matches import is_anothers, is_of, version_of
from aifs_media.providers._replicate_refusals import BILLING_URL, refusal
from aifs_media.providers._replicate_requests import ModelName
from aifs_media.providers._replicate_webhooks import ReplicateWebhooks, webhook_members
from aifs_media.records import Check, utc_now
from aifs_media.toolkit import (
    Found,
    HttpProvider,
    InputRef,
    MediaError,
    ModelRetiredError,
    Pending,
    Succeeded,
    UnexpectedResponseError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime
    from typing import Self

    from aifs_media.providers._replicate_schemas import PublishedModel
    from aifs_media.providers._replicate_states import Prediction
    from aifs_media.records import Kind, WebhookNote
    from aifs_media.toolkit import Answer, Capability, Failed, JsonValue, MediaRequest

CREATE_TIMEOUT = 30.0
HELD_MARGIN = 10.0
"""Seconds that a held create may take longer than Replicate was asked to hold it."""

UPLOAD_TIMEOUT = 120.0

NOT_FOUND_GRACE = 10.0
"""Seconds after our own create during which a 404 means "not yet" (replicate-javascript issue 68)."""

REMEMBERED_CREATES = 1000
PAGES_LIMIT = 50
"""Pages of 100 predictions through which a lost create is looked for."""

SCHEMA_LIFE = 3600.0
"""Seconds for which a fetched schema counts as fresh."""

LIGHTNING_VERSION = "5599ed30703defd1d160a25a63321b4dec97101d98b4674bcc56e41f62f35637"
LIGHTNING_WARNING = (
    "Version 5599ed30... is bytedance/sdxl-lightning-4step, though some projects call it Flux Schnell. "
    "Flux Schnell is black-forest-labs/flux-schnell."
)


class _Create(NamedTuple):
    """A create of this process: when it was accepted, on `time.monotonic`, and the model as the request named it."""

    at: float
    model: str


class ReplicateProvider(HttpProvider):
    """Speaks to Replicate. A job's ref is the prediction's id.

    The roles: `Pollable`, `Cancellable`, `Findable`, `Catalogue`, `InputUploader`, `WebhookVerifier`, `Checkable`.
    """

    name = "replicate"
    label = "Replicate"
    base_url = "https://api.replicate.com/v1"
    key_settings: ClassVar[tuple[str, ...]] = ("REPLICATE_API_KEY", "REPLICATE_API_TOKEN")
    billing_url: ClassVar[str] = BILLING_URL
    keys_url: ClassVar[str] = "https://replicate.com/account/api-tokens"
    delivery_hosts: tuple[str, ...] = ("replicate.delivery", "*.replicate.delivery")
    capabilities: Sequence[Capability] = load_capabilities("replicate")

    _successors = cast("dict[str, list[str]]", load_data("replicate")["successors"])

    def __init__(
        self,
        *,
        api_key: str = "",
        base_url: str = "",
        delivery_hosts: Sequence[str] = (),
        trusted_hosts: Sequence[str] = (),
        webhook_secret: str = "",
    ) -> None:
        super().__init__(api_key=api_key, base_url=base_url, delivery_hosts=delivery_hosts, trusted_hosts=trusted_hosts)
        self._creates: dict[str, _Create] = {}
        self._published: dict[ModelName, tuple[float, PublishedModel]] = {}
        self.webhooks = ReplicateWebhooks(secret=webhook_secret, call=self.call)

    @classmethod
    def from_settings(cls, environ: Mapping[str, str]) -> Self:
        """Build the provider from environment names, REPLICATE_WEBHOOK_SECRET among them."""
        provider = super().from_settings(environ)
        provider.webhooks = ReplicateWebhooks(secret=environ.get("REPLICATE_WEBHOOK_SECRET", ""), call=provider.call)
        return provider

    # -- a job's life --------------------------------------------------------------------------------------------------

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Pending | Succeeded | Failed:
        """Create a prediction, once. Replicate takes no idempotency key, so `submit_key` stays here.

        A quick model's create is held open, so that it usually answers with the output.

        Raises:
            ModelRetiredError: there is no such model; it names some that there are.
            MediaError: any other refusal, typed. `maybe_billed` is set where the answer was lost or made no sense.
        """
        del submit_key
        model = ModelName.parse(request.model)
        built_in = self._built_in(model, request.kind)
        hold = requests.hold_seconds(request, built_in)
        runs_as = await self._runs_as(model, request.kind)
        try:
            answer = await self.answer(
                "POST",
                "/predictions",
                json={"version": runs_as, "input": request.inputs, **webhook_members(request.webhook)},
                headers=requests.create_headers(request, hold=hold),
                timeout=hold + HELD_MARGIN if hold else CREATE_TIMEOUT,
            )
        except ModelRetiredError as error:
            raise self._no_such_model(request.kind, model, error) from error
        try:
            prediction = states.prediction_of(answer)
        except UnexpectedResponseError as error:
            error.maybe_billed, error.retryable = True, False
            raise
        if is_anothers(prediction, request, built_in):
            raise UnexpectedResponseError(
                "Replicate answered a create with a prediction of another prompt or seed, which is left alone.",
                hint="A cache or proxy in between may have mixed up two answers.",
                provider=self.name,
                request_id=answer.request_id,
                maybe_billed=True,
            )
        self._remember(str(prediction["id"]), request.model)
        return self._state(prediction, answer, held_files=request.n if hold else 0)

    async def poll(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        """Ask how a prediction stands.

        Raises:
            JobNotFoundError: Replicate does not know it.
        """
        try:
            answer = await self.answer("GET", _path(ref))
        except ModelRetiredError as error:
            created = self._creates.get(str(ref))
            if created is not None and time.monotonic() - created.at < NOT_FOUND_GRACE:
                return Pending(ref=ref)
            raise self._no_such_job(ref, error) from error
        return self._state(states.prediction_of(answer), answer)

    async def cancel(self, ref: JsonValue) -> Literal["cancelled", "too_late"]:
        """Stop a prediction. One that has ended stays as it is.

        Raises:
            JobNotFoundError: Replicate does not know it.
        """
        try:
            answer = await self.answer("POST", f"{_path(ref)}/cancel", costs=False)
        except ModelRetiredError as error:
            raise self._no_such_job(ref, error) from error
        status = states.prediction_of(answer).get("status")
        return "too_late" if status in ("succeeded", "failed") else "cancelled"

    async def find(self, request: MediaRequest, *, since: datetime, until: datetime) -> Sequence[Found]:
        """Return the predictions of that time that may be the request's, each once. The list is the whole account's.

        Raises:
            MediaError: it could not look through the whole window.
        """
        built_in = self._built_in(ModelName.parse(request.model), request.kind)
        # By id, since one that is made meanwhile moves the others to a later page, where they are listed again.
        found: dict[JsonValue, Found] = {}
        params: dict[str, str] | None = {"created_after": since.isoformat(), "created_before": until.isoformat()}
        pages = ["/predictions"]
        while len(pages) <= PAGES_LIMIT:
            answer = await self.answer("GET", pages[-1], params=params)
            listed, following = states.page_of(answer)
            ours = [prediction for prediction in listed if is_of(prediction, request, built_in)]
            found |= {prediction["id"]: self._found(prediction, answer) for prediction in ours}
            if following is None:
                return list(found.values())
            if following in pages:
                raise self._unending(f"names a page that was read already between {since} and {until}")
            pages.append(following)
            # A whole address with a query of its own, which httpx drops for any other params, even empty ones.
            params = None
        raise self._unending(f"has more than {PAGES_LIMIT} pages between {since} and {until}")

    def _unending(self, what: str) -> UnexpectedResponseError:
        return UnexpectedResponseError(
            f"Replicate's list of predictions {what}.",
            hint="Look for the prediction at https://replicate.com/predictions.",
            provider=self.name,
        )

    async def verify_webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookNote:
        """Check a webhook's signature, with the configured secret or the account's, and read which prediction it is about.

        Raises:
            WebhookRefusedError: it is not from this account, too old, or not readable.
            MediaError: the account's secret could not be had.
        """
        return await self.webhooks.verify(headers, body)

    def _found(self, prediction: Prediction, answer: Answer) -> Found:
        return Found(
            ref=prediction["id"],
            created_at=moment(prediction.get("created_at")) or utc_now(),
            inputs=states.inputs_of(prediction),
            state=self._state(prediction, answer),
        )

    def _state(self, prediction: Prediction, answer: Answer, *, held_files: int = 0) -> Pending | Succeeded | Failed:
        built_in = self._built_in(ModelName(str(prediction.get("model")), version_of(prediction)))
        state = states.state_of(
            prediction,
            now=utc_now(),
            held_files=held_files,
            price=built_in.price if built_in is not None else None,
            emulated=answer.emulated,
            redact=self._redact,
        )
        created = self._creates.get(str(state.ref))
        if isinstance(state, Succeeded) and created is not None and created.model == LIGHTNING_VERSION:
            return state.model_copy(update={"warnings": (*state.warnings, LIGHTNING_WARNING)})
        return state

    def _remember(self, prediction_id: str, model: str) -> None:
        self._creates[prediction_id] = _Create(time.monotonic(), model)
        if len(self._creates) > REMEMBERED_CREATES:
            del self._creates[next(iter(self._creates))]

    def _no_such_job(self, ref: JsonValue, error: MediaError) -> JobNotFoundError:
        return JobNotFoundError(
            f"Replicate knows no prediction {ref!r}.",
            hint="It may have been made with the key of another account.",
            provider=self.name,
            request_id=error.request_id,
        )

    # -- what models there are -----------------------------------------------------------------------------------------

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Return what a model takes: from built-in data, else from the schema that it publishes.

        Raises:
            ModelRetiredError: Replicate does not know it.
            RequestRejectedError: it publishes no schema, or is named by a version alone that is not built in.
            ProviderError: Replicate could not be asked.
        """
        name = ModelName.parse(model)
        built_in = self._built_in(name, kind)
        if built_in is not None:
            return built_in.model_copy(update={"model": model})
        if not name.path:
            raise RequestRejectedError(
                f"Replicate cannot be asked what the version {model!r} takes without its model's name.",
                hint="Write owner/name:version, or pass check_options=False to send the request all the same.",
                provider=self.name,
            )
        return schemas.capability(await self._publication(name, kind), kind=kind, model=model)

    def _built_in(self, model: ModelName, kind: Kind | None = None) -> Capability | None:
        """Return the built-in capability of a model, however it is named."""
        return next(
            (
                known
                for known in self.capabilities
                if kind in {None, known.kind} and ModelName.parse(known.model).serves(model)
            ),
            None,
        )

    async def _runs_as(self, model: ModelName, kind: Kind) -> str:
        """Return under which name Replicate runs a model: an official one under its own, others with a version only."""
        if model.version:
            return str(model)
        built_in = self._built_in(model, kind)
        return built_in.model if built_in is not None else (await self._publication(model, kind)).runs_as

    async def _publication(self, model: ModelName, kind: Kind) -> PublishedModel:
        until, published = self._published.get(model, (0.0, None))
        if published is not None and time.monotonic() < until:
            return published
        version = f"/versions/{model.version}" if model.version else ""
        try:
            body = await self.call("GET", f"/models/{model.path}{version}")
        except ModelRetiredError as error:
            raise self._no_such_model(kind, model, error) from error
        published = schemas.published_model(body, path=model.path)
        self._published[model] = time.monotonic() + SCHEMA_LIFE, published
        return published

    def _no_such_model(self, kind: Kind, model: ModelName, error: MediaError) -> ModelRetiredError:
        return missing_model(
            self,
            kind,
            str(model),
            message=f"Replicate has no model {str(model)!r} (any more), or it is not open to your key.",
            successors=self._successors.get(model.path, []),
            request_id=error.request_id,
        )

    # -- files, account, errors ----------------------------------------------------------------------------------------

    async def upload(self, data: bytes, *, media_type: str, name: str) -> InputRef:
        """Upload an input, which Replicate keeps for a day and only its own models can read. Below 100 MB."""
        form = multipart_form({}, [FormFile("content", name, media_type, data)])
        answer = await retrying(
            lambda: self.answer(
                "POST",
                "/files",
                content=form.content,
                headers={"content-type": form.media_type},
                timeout=UPLOAD_TIMEOUT,
                costs=False,
            )
        )
        file = answer.json()
        urls = file.get("urls") if isinstance(file, dict) else None
        url = urls.get("get") if isinstance(urls, dict) else None
        if not isinstance(file, dict) or not isinstance(url, str):
            raise UnexpectedResponseError(
                "Replicate took a file and did not say where it is.", provider=self.name, request_id=answer.request_id
            )
        return InputRef(value=url, expires_at=moment(file.get("expires_at")))

    async def check(self) -> Sequence[Check]:
        """Prove the key by asking whose it is, which costs nothing."""
        try:
            account = await self.call("GET", "/account")
        except MediaError as error:
            return [Check(name=self.name, ok=False, message=error.message, hint=error.hint)]
        user = account.get("username") if isinstance(account, dict) else None
        return [
            Check(
                name=self.name,
                ok=True,
                message=f"Replicate accepts the key of {user!r}.",
                facts={"username": user},
            )
        ]

    def explain(self, answer: Answer) -> MediaError | None:
        """Return the error that only Replicate's words tell."""
        return refusal(answer, provider=self.name, redact=self._redact)

    def _redact(self, text: str) -> str:
        return redact(text, self._key)


def _path(ref: JsonValue) -> str:
    return f"/predictions/{quote(str(ref), safe='')}"
