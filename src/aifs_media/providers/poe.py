"""Poe: videos, images and texts from any of its bots.

Facts: https://creator.poe.com/docs/external-applications/openai-compatible-api and https://creator.poe.com/api-reference,
and answers of api.poe.com that were recorded in 2026.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, ClassVar, Literal, cast

from aifs_media._secrets import redact
from aifs_media.errors import JobNotFoundError, RequestRejectedError
from aifs_media.providers import _poe_answers as answers
from aifs_media.providers import _poe_catalogue as catalogue
from aifs_media.providers._data import load_capabilities, load_data
from aifs_media.providers._poe_points import HISTORY_LIMIT, CallsInFlight, balance, cost_from_history
from aifs_media.providers._poe_requests import chat_body, videos_body
from aifs_media.records import Check, Pending, utc_now
from aifs_media.toolkit import Failed, HttpProvider, MediaError, ModelRetiredError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aifs_media.records import Attempt, Kind
    from aifs_media.toolkit import Answer, Capability, Cost, JsonValue, MediaRequest, Succeeded, TextRequest, TextResult

    Wanted = Kind | Literal["text"]

CATALOGUE_LIFE = 3600.0
"""Seconds for which a fetched catalogue counts as fresh."""

CHAT_TIMEOUT = 600.0
"""Seconds to hold a chat completion open where the job has no lifetime; Poe's own client for Python waits as long."""

VIDEOS_TIMEOUT = 60.0
"""Seconds for a create of `/v1/videos`, which answers at once and may carry a start frame."""

TEXT_TIMEOUT = 300.0
TEXT_MODEL = "gpt-5.4-mini"


class PoeProvider(HttpProvider):
    """Speaks to Poe. Its bots answer media as text, which is read by the grammar in `_poe_content`.

    The roles: `Pollable` (jobs of `/v1/videos` only), `Catalogue`, `CostReporter`, `Checkable`, `TextWriter`.
    """

    name = "poe"
    label = "Poe"
    base_url = "https://api.poe.com/v1"
    base_url_settings: ClassVar[tuple[str, ...]] = ("POE_API_URL",)
    key_settings: ClassVar[tuple[str, ...]] = ("POE_API_KEY",)
    billing_url: ClassVar[str] = "https://poe.com/api/keys"
    keys_url: ClassVar[str] = "https://poe.com/api/keys"
    delivery_hosts: tuple[str, ...] = ("*.poecdn.net",)
    # The documentation says of both, and of 429 and of its own 408, that the same call may be sent again.
    refusal_statuses: ClassVar[frozenset[int]] = frozenset({503, 529})
    capabilities: Sequence[Capability] = load_capabilities("poe")

    _data = load_data("poe")
    _retired = cast("dict[str, str]", _data["retired"])
    _listed_for_videos = frozenset(cast("list[str]", _data["videos_endpoint"]))

    def prepare(self) -> None:
        """Make what the provider keeps between calls."""
        self._entries: dict[str, dict[str, JsonValue]] = {}
        self._entries_until = 0.0
        self._calls = CallsInFlight()
        self._video_calls: dict[str, tuple[str, str]] = {}

    # -- making media --------------------------------------------------------------------------------------------------

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Pending | Succeeded | Failed:
        """Call the bot once: through `/v1/videos` where that can say what is asked for, else as a chat completion.

        A chat completion is held open until the media exist, so it answers with the end of the job.

        Raises:
            ModelRetiredError: there is no such bot; it names some that there are.
            MediaError: any other refusal, typed.
        """
        self._calls.begin(request.model, submit_key)
        running = False
        try:
            state = await self._call_bot(request)
            if isinstance(state, Pending):
                self._video_calls[str(state.ref)] = request.model, submit_key
                running = True
            return state
        finally:
            if not running:
                self._calls.end(request.model, submit_key)

    async def _call_bot(self, request: MediaRequest) -> Pending | Succeeded | Failed:
        video = self._videos_body(request)
        if video is not None:
            answer = await self._create("/videos", video, request, timeout=VIDEOS_TIMEOUT)
            return answer if isinstance(answer, Failed) else self._video_state(answer)
        lifetime = request.lifetime + 10 if request.lifetime is not None else CHAT_TIMEOUT
        answer = await self._create("/chat/completions", chat_body(request), request, timeout=lifetime)
        if isinstance(answer, Failed):
            return answer
        return answers.chat_state(answer, prompt=request.prompt, kind=request.kind, redact=self._redact)

    def _videos_body(self, request: MediaRequest) -> dict[str, JsonValue] | None:
        bot = request.model.lower()
        entry = self._entries.get(bot)
        listed = catalogue.has_videos_endpoint(entry) if entry is not None else bot in self._listed_for_videos
        capability = self._known(request.kind, bot)
        return videos_body(request, capability) if listed and capability is not None else None

    async def _create(
        self, path: str, body: dict[str, JsonValue], request: MediaRequest, *, timeout: float
    ) -> Answer | Failed:
        """Send a create once; return its answer, or the failure of the generation that it reports."""
        answer = await self._client().create(path, json=body, timeout=timeout)
        if answer.status < 400:
            return answer
        failed = answers.failed_generation(answer, redact=self._redact)
        if failed is not None:
            return failed
        error = self.error(answer, maybe_billed=self.may_be_accepted(answer))
        if isinstance(error, ModelRetiredError):
            raise await self._no_such_bot(request.kind, request.model, error.request_id)
        raise error

    def may_be_accepted(self, answer: Answer) -> bool:
        """Say whether a create that was answered like this may have been accepted: a 408 in Poe's own words says that it was not."""
        return super().may_be_accepted(answer) and not answers.did_not_start(answer)

    async def poll(self, ref: JsonValue) -> Pending | Succeeded | Failed:
        """Ask how a job of `/v1/videos` stands.

        Raises:
            JobNotFoundError: Poe does not know it.
        """
        try:
            answer = await self.answer("GET", f"/videos/{ref}")
        except ModelRetiredError as error:
            raise JobNotFoundError(
                f"Poe knows no video {ref!r}.",
                hint="It may have been deleted, or made with another key.",
                provider=self.name,
                request_id=error.request_id,
            ) from error
        return self._video_state(answer)

    def _video_state(self, answer: Answer) -> Pending | Succeeded | Failed:
        state = answers.video_state(answer, base_url=self.base_url, redact=self._redact)
        if not isinstance(state, Pending) and (call := self._video_calls.pop(str(state.ref), None)) is not None:
            self._calls.end(*call)
        return state

    # -- what bots there are -------------------------------------------------------------------------------------------

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Return what a bot takes, by its own published parameters. Names are compared without regard to case.

        Raises:
            ModelRetiredError: it is retired, or neither listed nor built in.
            RequestRejectedError: it makes something else.
            ProviderError: the catalogue could not be fetched.
        """
        bot = model.lower()
        if bot in self._retired:
            raise self._missing_bot(kind, model, [self._retired[bot]])
        if self._known(kind, bot) is None:
            await self._fetch_entries()
        known = self._known(kind, bot)
        if known is not None:
            return known
        if bot in self._entries:
            raise RequestRejectedError(
                f"Poe's catalogue does not list any {kind} among what {model!r} makes.",
                hint=f"Choose a bot that makes {kind}s, or pass check_options=False to send the request all the same.",
                provider=self.name,
            )
        raise await self._no_such_bot(kind, model)

    def _known(self, kind: Kind, bot: str) -> Capability | None:
        """Return what is known about a bot without asking: built in, or of the catalogue that was fetched."""
        for built_in in self.capabilities:
            if (built_in.kind, built_in.model.lower()) == (kind, bot):
                return built_in
        entry = self._entries.get(bot)
        if entry is None or not catalogue.makes(entry, kind):
            return None
        return catalogue.capability(entry, kind=kind, as_of=utc_now().date().isoformat())

    async def _fetch_entries(self) -> None:
        if self._entries and time.monotonic() < self._entries_until:
            return
        listed = catalogue.entries(await self.call("GET", "/models"))
        self._entries = {catalogue.bot_name(entry).lower(): entry for entry in listed}
        self._entries_until = time.monotonic() + CATALOGUE_LIFE

    async def _no_such_bot(self, kind: Wanted, model: str, request_id: str = "") -> ModelRetiredError:
        """Return the error for a bot that there is not, with bots that there are."""
        # Without the catalogue the built-in bots are named.
        with contextlib.suppress(MediaError):
            await self._fetch_entries()
        listed = [catalogue.bot_name(entry) for entry in self._entries.values() if catalogue.makes(entry, kind)]
        known = [built_in.model for built_in in self.capabilities if built_in.kind == kind]
        replacement = [self._retired[model.lower()]] if model.lower() in self._retired else []
        others = [*replacement, *catalogue.closest(model, listed), *(known or [TEXT_MODEL])]
        offered = [
            name for name in dict.fromkeys(others)
            if name.lower() not in {model.lower(), *self._retired} and (not self._entries or name.lower() in self._entries)
        ]  # fmt: skip
        return self._missing_bot(kind, model, offered[:3], request_id)

    def _missing_bot(self, kind: Wanted, model: str, instead: Sequence[str], request_id: str = "") -> ModelRetiredError:
        names = [f"{self.name}:{name}" for name in instead]
        error = ModelRetiredError(
            f"Poe has no bot named {model!r} (any more), or it is not open to your key.",
            model=f"{self.name}:{model}",
            suggestions=names,
            hint=f"Set {kind.upper()}_MODEL={names[0]}, or pass model={names[0]!r}." if names else "",
            provider=self.name,
        )
        error.request_id = request_id
        return error

    # -- points --------------------------------------------------------------------------------------------------------

    async def report_cost(self, request: MediaRequest, attempt: Attempt) -> Cost | None:
        """Return the points that Poe's history shows for this job; None where another call could be meant."""
        if not self._calls.told_apart(attempt.submit_key):
            return None
        history = await self.call("GET", self._usage("points_history"), params={"limit": str(HISTORY_LIMIT)})
        return cost_from_history(history, bot=request.model, since=attempt.started_at)

    async def check(self) -> Sequence[Check]:
        """Prove the key with the point balance, which costs nothing to ask."""
        try:
            points = balance(await self.call("GET", self._usage("current_balance")))
        except MediaError as error:
            return [Check(name=self.name, ok=False, message=error.message, hint=error.hint)]
        if points is None:
            return [
                Check(name=self.name, ok=True, message="Poe accepts the key and does not say how many points are left.")
            ]
        enough = points > 0
        return [
            Check(
                name=self.name,
                ok=enough,
                message=f"Poe accepts the key; {points:,} points are left.",
                hint="" if enough else f"Bots that cost points will refuse: add points at {self.billing_url}.",
                facts={"points": points},
            )
        ]

    def _usage(self, page: str) -> str:
        """Return the address of a usage page, which lies beside `/v1`."""
        return f"{self.base_url.removesuffix('/v1')}/usage/{page}"

    # -- text ----------------------------------------------------------------------------------------------------------

    async def write(self, request: TextRequest) -> TextResult:
        """Ask a bot for a text, once; without a named bot, a small general one."""
        model = request.model or TEXT_MODEL
        system: list[JsonValue] = [{"role": "system", "content": request.system}] if request.system else []
        messages: JsonValue = [*system, {"role": "user", "content": request.prompt}]
        try:
            answer = await self.answer(
                "POST",
                "/chat/completions",
                json={"model": model, "messages": messages, "stream": False},
                timeout=TEXT_TIMEOUT,
            )
        except ModelRetiredError as error:
            raise await self._no_such_bot("text", model, error.request_id) from error
        return answers.chat_text(answer, provider=self.name, model=model, redact=self._redact)

    # -- errors --------------------------------------------------------------------------------------------------------

    def explain(self, answer: Answer) -> MediaError | None:
        """Return the error that only Poe's words tell."""
        return answers.refusal(answer, provider=self.name, redact=self._redact)

    def _redact(self, text: str) -> str:
        return redact(text, self._key)
