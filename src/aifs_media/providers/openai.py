"""OpenAI: images from the GPT image models, with or without a picture to begin with. It makes no videos any more.

A create is held open until the pictures exist, which takes up to minutes, and they come inside its answer. There is neither a
list of creates nor an idempotency key, so a lost answer stays uncertain. Facts: types and docstrings of PyPI's openai 3.54.0,
https://developers.openai.com/api/docs, and recorded errors. What is pure is in `_openai_answers`.
"""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, ClassVar, Self, TypedDict, cast
from urllib.parse import quote

from aifs_media._secrets import redact
from aifs_media.errors import ConfigurationError, RequestRejectedError
from aifs_media.providers import _openai_answers as answers
from aifs_media.providers._data import load_capabilities, load_data
from aifs_media.records import Check, Failed, Succeeded
from aifs_media.toolkit import HttpProvider, MediaError, ModelRetiredError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aifs_media.records import Kind
    from aifs_media.toolkit import Answer, Capability, JsonValue, MediaRequest

_DATE = re.compile(r"-\d{4}-\d\d-\d\d$")
_OWNER = re.compile(r"[!-~]*")


class _End(TypedDict):
    on: str
    successors: list[str]


class OpenAIProvider(HttpProvider):
    """Speaks to OpenAI. Its jobs have no ref: they have ended when their create is answered.

    `organization` and `project` are sent along where they are given, for keys that belong to several.

    The roles: `Catalogue`, `Checkable`.
    """

    name = "openai"
    label = "OpenAI"
    base_url = "https://api.openai.com/v1"
    key_use: ClassVar[str] = "image generation"
    billing_url: ClassVar[str] = "https://platform.openai.com/settings/organization/billing"
    keys_url: ClassVar[str] = "https://platform.openai.com/api-keys"
    # Nothing documents that a 5xx is free.
    refusal_statuses: ClassVar[frozenset[int]] = frozenset()
    capabilities: Sequence[Capability] = load_capabilities("openai")
    # A data URL may have 20 MiB, which are 15 MiB of a picture, less what stands in front.
    data_uri_limit = 15 * 1024 * 1024 - 1024

    _rates = cast("dict[str, JsonValue]", load_data("openai")["rates"])
    _ends = cast("dict[str, _End]", load_data("openai")["retired"])

    def __init__(
        self,
        *,
        api_key: str = "",
        base_url: str = "",
        delivery_hosts: Sequence[str] = (),
        trusted_hosts: Sequence[str] = (),
        organization: str = "",
        project: str = "",
    ) -> None:
        super().__init__(api_key=api_key, base_url=base_url, delivery_hosts=delivery_hosts, trusted_hosts=trusted_hosts)
        self.organization = _owner("OPENAI_ORGANIZATION", organization)
        self.project = _owner("OPENAI_PROJECT", project)
        self._vendor = answers.Vendor(self.name, self.label, self.base_url, self.billing_url, self._redact)

    @classmethod
    def from_settings(cls, environ: Mapping[str, str]) -> Self:
        """Build the provider from environment names."""
        provider = super().from_settings(environ)
        provider.organization = _owner("OPENAI_ORGANIZATION", environ.get("OPENAI_ORGANIZATION", "").strip())
        provider.project = _owner("OPENAI_PROJECT", environ.get("OPENAI_PROJECT", "").strip())
        return provider

    def headers(self, key: str) -> dict[str, str]:
        """Return the headers that authorise a call, and say for whom."""
        owner = {"openai-organization": self.organization, "openai-project": self.project}
        return {**super().headers(key), **{name: value for name, value in owner.items() if value}}

    # -- a job's life --------------------------------------------------------------------------------------------------

    async def submit(self, request: MediaRequest, *, submit_key: str) -> Succeeded | Failed:
        """Create the pictures, once, and wait for them; with a start image, as an edit of it.

        Raises:
            ModelRetiredError: there is no such model (any more); it names some that there are.
            MediaError: any other refusal, typed. `maybe_billed` is set where the answer was lost or made no sense.
        """
        del submit_key
        path, body = _create(request)
        answer = await self._client().create(path, json=body, timeout=answers.hold_seconds(request))
        if answer.status < 300:
            state = answers.images_state(answer, self._vendor, rates=self._rates_of(request.model))
            return self._warned(state, request.model)
        failed = answers.failed_generation(answer, self._vendor)
        if failed is not None:
            return failed
        error = self.error(answer, maybe_billed=self.may_be_accepted(answer))
        if isinstance(error, ModelRetiredError):
            raise self._no_such_model(request.kind, request.model, error.request_id)
        raise error

    def _rates_of(self, model: str) -> answers.Rates | None:
        usd = cast("dict[str, dict[str, str]]", self._rates["usd_per_million_tokens"]).get(_undated(model))
        return answers.Rates(usd, str(self._rates["source"]), str(self._rates["as_of"])) if usd is not None else None

    def _warned(self, state: Succeeded | Failed, model: str) -> Succeeded | Failed:
        """Add a warning to what a model made that will soon be gone."""
        end = self._ends.get(_undated(model))
        if end is None or isinstance(state, Failed):
            return state
        warning = f"{model} retires on {end['on']}; use {' or '.join(end['successors'])}."
        return state.model_copy(update={"warnings": (*state.warnings, warning)})

    # -- what models there are -----------------------------------------------------------------------------------------

    async def describe(self, kind: Kind, model: str) -> Capability:
        """Return what a model takes. One that OpenAI lists and that is newer than the built-in data is taken to be like them.

        Raises:
            ModelRetiredError: it is retired, or OpenAI does not know it.
            RequestRejectedError: it makes something else.
            ProviderError: OpenAI could not be asked.
        """
        family = _undated(model)
        known = {built_in.model: built_in for built_in in self.capabilities if built_in.kind == kind}
        if family in known:
            return known[family].model_copy(update={"model": model})
        if family in self._ends:
            raise self._no_such_model(kind, model)
        if kind == "image":
            await self._look_up(kind, model)
        if kind != "image" or "image" not in family:
            raise RequestRejectedError(
                f"OpenAI's {model!r} makes no {kind}s, as far as its name tells.",
                hint="Name an image model, or pass check_options=False to send the request all the same.",
                provider=self.name,
            )
        return self.capabilities[0].model_copy(update={"model": model, "note": "Newer than the built-in data."})

    async def _look_up(self, kind: Kind, model: str) -> None:
        try:
            await self.call("GET", f"/models/{quote(model, safe='')}")
        except ModelRetiredError as error:
            raise self._no_such_model(kind, model, error.request_id) from error

    def _no_such_model(self, kind: Kind, model: str, request_id: str = "") -> ModelRetiredError:
        end = self._ends.get(_undated(model))
        others = [known.model for known in self.capabilities if known.kind == kind and known.model not in self._ends]
        offered = end["successors"] if end else [*difflib.get_close_matches(model, others, n=2), *others]
        names = [name if ":" in name else f"{self.name}:{name}" for name in dict.fromkeys(offered)]
        ended = f"any more: its end was set for {end['on']}" if end else "(any more), or it is not open to your key"
        message = f"OpenAI has no model {model!r} {ended}."
        error = ModelRetiredError(message, model=f"{self.name}:{model}", suggestions=names[:3], provider=self.name)
        error.request_id = request_id
        return error

    # -- account and errors --------------------------------------------------------------------------------------------

    async def check(self) -> Sequence[Check]:
        """Prove the key by asking which models are open to it, which costs nothing."""
        try:
            listed = answers.listed_models(await self.call("GET", "/models"))
        except MediaError as error:
            return [Check(name=self.name, ok=False, message=error.message, hint=error.hint)]
        opened = [known.model for known in self.capabilities if known.model in listed]
        message = f"OpenAI accepts the key; of the models known here, {len(opened)} are open to it."
        return [Check(name=self.name, ok=True, message=message, facts={"models": [*opened]})]

    def explain(self, answer: Answer) -> MediaError | None:
        """Return the error that only OpenAI's words tell."""
        return answers.refusal(answer, self._vendor)

    def _redact(self, text: str) -> str:
        return redact(text, self._key)


def _owner(setting: str, value: str) -> str:
    """Return the id of an organization or project. Raises ConfigurationError where no header can hold it."""
    if _OWNER.fullmatch(value):
        return value
    raise ConfigurationError(
        f"{setting} holds characters that no id has: a space, a line break, or letters beyond ASCII.",
        hint=f"Copy it again into {setting}, without quotes around it.",
        provider=OpenAIProvider.name,
    )


def _create(request: MediaRequest) -> tuple[str, dict[str, JsonValue]]:
    """Return path and body of a create: a start image makes it an edit. `response_format` is refused by these models."""
    body: dict[str, JsonValue] = {"model": request.model, **request.inputs}
    # An unchecked request names the start image as the common option does.
    given = body.pop("images", body.pop("image", None))
    if given is None:
        return "/images/generations", body
    images = given if isinstance(given, list) else [given]
    body["images"] = [{"image_url": image} if isinstance(image, str) else image for image in images]
    return "/images/edits", body


def _undated(model: str) -> str:
    """Return a model's name without the date of a snapshot."""
    return _DATE.sub("", model.lower())
