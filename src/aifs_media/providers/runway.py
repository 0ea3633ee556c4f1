"""Runway: videos and images of its own models, and of some others, behind one API.

A job is called a task there. Facts: docs.dev.runwayml.com, and the official client runwayml 5.24.0. What is pure has modules of
its own: `_runway_requests` and `_runway_answers`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, ClassVar, Literal, TypeVar, cast
from urllib.parse import quote

from aifs_media._forms import FormFile, multipart_form
from aifs_media._retry import retrying
from aifs_media._secrets import redact
from aifs_media.errors import JobNotFoundError, UnexpectedResponseError
from aifs_media.providers import _runway_answers as answers
from aifs_media.providers._data import load_capabilities, load_data
from aifs_media.providers._models import missing_model
from aifs_media.providers._reading import number
from aifs_media.providers._runway_requests import create_call
from aifs_media.records import Check, utc_now
from aifs_media.toolkit import HttpProvider, InputRef, MediaError, ModelRetiredError, Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Kind
    from aifs_media.toolkit import Answer, Capability, Cost, Failed, JsonValue, MediaRequest, Succeeded

T = TypeVar("T")

API_VERSION = "2024-11-06"
CREATE_TIMEOUT = 60.0
"""Seconds for a create, which answers at once and may carry a start image of some megabytes."""

UPLOADS_KEPT = timedelta(hours=24)
REMEMBERED_TASKS = 1000


class RunwayProvider(HttpProvider):
    """Speaks to Runway. A job's ref is the task's id.

    The roles: `Pollable`, `Cancellable`, `InputUploader`, `Catalogue`, `Checkable`. Runway has neither a list of tasks nor an
    idempotency key nor webhooks, so a create whose answer was lost cannot be found.
    """

    name = "runway"
    forgets_cancelled: Literal[True] = True
    label = "Runway"
    base_url = "https://api.dev.runwayml.com"
    base_url_settings: ClassVar[tuple[str, ...]] = ("RUNWAYML_BASE_URL",)
    key_settings: ClassVar[tuple[str, ...]] = ("RUNWAYML_API_SECRET",)
    billing_url: ClassVar[str] = answers.BILLING_URL
    keys_url: ClassVar[str] = answers.BILLING_URL
    delivery_hosts: tuple[str, ...] = ("dnznrvs05pmza.cloudfront.net",)
    # Both are documented as load that is shed, to be sent again. So is 504, which comes when somebody has waited for a create.
    refusal_statuses: ClassVar[frozenset[int]] = frozenset({502, 503})
    # A data URI must stay below 5 MiB, and base64 makes four bytes of three.
    data_uri_limit: int = 3_900_000
    capabilities: Sequence[Capability] = load_capabilities("runway")

    _retired = cast("dict[str, list[str]]", load_data("runway")["retired"])

    def prepare(self) -> None:
        """Make what the provider keeps between calls."""
        self._estimates: dict[str, Cost] = {}
        self._cancelled: dict[str, Failed] = {}

    def headers(self, key: str) -> dict[str, str]:
        """Return the headers that authorise a call, and the version of the API, without which every call is refused."""
        return {**super().headers(key), "x-runway-version": API_VERSION}

    # -- a job's life --------------------------------------------------------------------------------------------------

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Pending | Succeeded | Failed:
        """Create a task, once: of a text alone, or of an image where one is given.

        Raises:
            UnsupportedOptionError: the model makes this size only of an image.
            ModelRetiredError: there is no such model; it names some that there are.
            MediaError: any other refusal, typed. `maybe_billed` is set where the answer was lost or made no sense.
        """
        del submit_key
        path, body = create_call(request)
        try:
            answer = await self.answer("POST", path, json=body, timeout=CREATE_TIMEOUT)
        except ModelRetiredError as error:
            raise self._no_such_model(request.kind, request.model, error.request_id) from error
        try:
            return self._state(answer)
        except UnexpectedResponseError as error:
            error.maybe_billed, error.retryable = True, False
            raise

    async def poll(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        """Ask how a task stands. A later look gives fresh URLs of its outputs.

        Raises:
            JobNotFoundError: Runway does not know it.
        """
        try:
            return self._state(await self.answer("GET", _path(ref)))
        except ModelRetiredError as error:
            if (ended := self._cancelled.get(str(ref))) is not None:
                return ended
            raise self._no_such_task(ref, error) from error

    async def cancel(self, ref: JsonValue) -> Literal["cancelled", "too_late"]:
        """Stop a task that has not ended, as far as a look right before can tell: the same call deletes one that has.

        A task that was running is charged in full all the same.

        Raises:
            JobNotFoundError: Runway does not know it.
        """
        try:
            answer = await self.answer("GET", _path(ref))
            if not isinstance(self._state(answer), Pending):
                return "too_late"
            # Noted before it is sent: if the answer is lost, the task is as much gone.
            _remember(self._cancelled, str(ref), answers.cancelled(answers.task_of(answer)))
            await self.answer("DELETE", _path(ref))
        except ModelRetiredError as error:
            if str(ref) not in self._cancelled:
                raise self._no_such_task(ref, error) from error
        return "cancelled"

    def _state(self, answer: Answer) -> Pending | Succeeded | Failed:
        task = answers.task_of(answer)
        ref = str(task["id"])
        if (estimate := answers.estimated_cost(task)) is not None:
            _remember(self._estimates, ref, estimate)
        return answers.state_of(
            task,
            now=utc_now(),
            redact=self._redact,
            estimate=self._estimates.get(ref),
            emulated=answer.emulated,
        )

    def _no_such_task(self, ref: JsonValue, error: MediaError) -> JobNotFoundError:
        return JobNotFoundError(
            f"Runway knows no task {ref!r}.",
            hint="It may have been cancelled or deleted, or made with the key of another organization.",
            provider=self.name,
            request_id=error.request_id,
        )

    # -- what models there are -----------------------------------------------------------------------------------------

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Return what a model takes, from built-in data: Runway publishes none.

        Raises:
            ModelRetiredError: it is retired, or not built in.
        """
        for known in self.capabilities:
            if (known.kind, known.model) == (kind, model.lower()):
                return known
        raise self._no_such_model(kind, model)

    def _no_such_model(self, kind: Kind, model: str, request_id: str = "") -> ModelRetiredError:
        return missing_model(
            self,
            kind,
            model,
            message=f"Runway has no {kind} model {model!r} (any more), or it is newer than what is known here.",
            successors=self._retired.get(model, []),
            hint="" if request_id else "check_options=False sends the request all the same.",
            request_id=request_id,
        )

    # -- files, account, errors ----------------------------------------------------------------------------------------

    async def upload(self, data: bytes, *, media_type: str, name: str) -> InputRef:
        """Upload an input, which Runway keeps for a day. Up to 200 MB; the file itself goes to another host, without the key."""

        async def send() -> str:
            slot: JsonValue = {"filename": name, "type": "ephemeral"}
            upload = answers.upload_of(await self.answer("POST", "/v1/uploads", json=slot, costs=False))
            file = FormFile("file", name, media_type, data)
            await self.send_form(upload.url, multipart_form(upload.fields, [file]))
            return upload.uri

        return InputRef(value=await retrying(send), expires_at=utc_now() + UPLOADS_KEPT)

    async def check(self) -> Sequence[Check]:
        """Prove the key with the organization's credits, which costs nothing to ask."""
        try:
            body = await self.call("GET", "/v1/organization")
        except MediaError as error:
            return [Check(name=self.name, ok=False, message=error.message, hint=error.hint)]
        left = number(body.get("creditBalance")) if isinstance(body, dict) else None
        if left is None:
            message = "Runway accepts the key and does not say how many credits are left."
            return [Check(name=self.name, ok=True, message=message)]
        return [
            Check(
                name=self.name,
                ok=left > 0,
                message=f"Runway accepts the key; {left:,} credits are left.",
                hint="" if left > 0 else f"Every create will be refused: add credits at {self.billing_url}.",
                facts={"credits": left},
            )
        ]

    def explain(self, answer: Answer) -> MediaError | None:
        """Return the error that only Runway's words tell."""
        return answers.refusal(answer, provider=self.name, redact=self._redact)

    def _redact(self, text: str) -> str:
        return redact(text, self._key)


def _path(ref: JsonValue) -> str:
    return f"/v1/tasks/{quote(str(ref), safe='')}"


def _remember(kept: dict[str, T], ref: str, value: T) -> None:
    """Keep something about a task of this process, and forget the oldest."""
    kept[ref] = value
    if len(kept) > REMEMBERED_TASKS:
        del kept[next(iter(kept))]
