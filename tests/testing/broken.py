"""Providers of a made-up service, one sound and the others each with one mistake that a stranger could make."""

from __future__ import annotations

import base64
import json
import time
import urllib.request
from typing import Any, ClassVar

import httpx

from aifs_media import toolkit
from aifs_media.errors import MediaError, ProviderUnavailableError, UnexpectedResponseError
from aifs_media.records import Capability, Failed, InlineFile, Pending, RemoteFile, Succeeded
from aifs_media.testing import ProviderContract


class Sound(toolkit.HttpProvider):
    """No mistake."""

    name = "loom"
    base_url = "https://api.loom.example"
    capabilities = (
        Capability(kind="image", model="loom-1", names={"prompt": "text"}, inputs={"text": {"type": "string"}}),
    )

    async def submit(self, request: Any, *, submit_key: str) -> Any:
        return self.read(await self.call("POST", "/jobs", json=request.inputs))

    async def poll(self, ref: Any) -> Any:
        return self.read(await self.call("GET", f"/jobs/{ref}"))

    async def cancel(self, ref: Any) -> Any:
        await self.call("DELETE", f"/jobs/{ref}")
        return "cancelled"

    def read(self, answer: Any) -> Any:
        if not isinstance(answer, dict) or "id" not in answer:
            raise UnexpectedResponseError("No job.", provider=self.name, maybe_billed=True)
        ref = answer["id"]
        match answer["state"]:
            case "done":
                return Succeeded(ref=ref, outputs=tuple(RemoteFile(url=url) for url in answer["urls"]))
            case "failed":
                return Failed(ref=ref, reason="generation_failed", message="no luck")
            case "stopped":
                return Failed(ref=ref, reason="canceled", message="stopped")
            case _:
                return Pending(ref=ref)


class PaysTwice(Sound):
    async def submit(self, request: Any, *, submit_key: str) -> Any:
        try:
            return await super().submit(request, submit_key=submit_key)
        except ProviderUnavailableError:
            return await super().submit(request, submit_key=submit_key)


class RepeatsAfterNonsense(Sound):
    async def submit(self, request: Any, *, submit_key: str) -> Any:
        try:
            return await super().submit(request, submit_key=submit_key)
        except UnexpectedResponseError:
            return await super().submit(request, submit_key=submit_key)


class BelievesUnknownStates(Sound):
    def read(self, answer: Any) -> Any:
        if isinstance(answer, dict) and answer.get("state") not in {"waiting", "failed", "stopped"}:
            answer = {**answer, "state": "done"}
        return super().read(answer)


class FetchesWithTheKey(Sound):
    async def poll(self, ref: Any) -> Any:
        state = await super().poll(ref)
        if isinstance(state, Succeeded) and state.outputs:
            async with httpx.AsyncClient(headers=self.headers(self._key.reveal())) as client:
                answers = [await client.get(output.url) for output in state.outputs]
            return Succeeded(ref=ref, outputs=tuple(InlineFile(data=answer.content) for answer in answers))
        return state


class HandsOutTheKey(Sound):
    def read(self, answer: Any) -> Any:
        state = super().read(answer)
        if isinstance(state, Succeeded):
            outputs = tuple(output.model_copy(update={"auth": "provider"}) for output in state.outputs)
            return state.model_copy(update={"outputs": outputs})
        return state

    def authorization_for(self, url: str) -> dict[str, str]:
        return self.headers(self._key.reveal())


class FollowsRedirects(Sound):
    async def poll(self, ref: Any) -> Any:
        headers = {"x-key": self._key.reveal()}
        async with httpx.AsyncClient(headers=headers, follow_redirects=True) as client:
            answer = await client.get(f"{self.base_url}/jobs/{ref}")
        if answer.status_code >= 300:
            raise ProviderUnavailableError("no", retryable=True)
        return self.read(answer.json())


class RemembersJobs(Sound):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._paths: dict[str, str] = {}

    async def submit(self, request: Any, *, submit_key: str) -> Any:
        state = await super().submit(request, submit_key=submit_key)
        self._paths[state.ref] = f"/jobs/{state.ref}"
        return state

    async def poll(self, ref: Any) -> Any:
        return self.read(await self.call("GET", self._paths[ref]))


class KeepsTheKeyInTheRef(Sound):
    async def submit(self, request: Any, *, submit_key: str) -> Any:
        state = await super().submit(request, submit_key=submit_key)
        return state.model_copy(update={"ref": {"id": state.ref, "key": self._key.reveal()}})

    async def poll(self, ref: Any) -> Any:
        state = await super().poll(ref["id"])
        return state.model_copy(update={"ref": ref})

    async def cancel(self, ref: Any) -> Any:
        return await super().cancel(ref["id"])


class UsesBasic(HandsOutTheKey):
    def headers(self, key: str) -> dict[str, str]:
        return {"authorization": "Basic " + base64.b64encode(f"me:{key}".encode()).decode()}


class ForgetsTheKey(Sound):
    def headers(self, key: str) -> dict[str, str]:
        return {}


class IgnoresCancel(Sound):
    async def cancel(self, ref: Any) -> Any:
        return "cancelled"


class MakesUpOutputs(Sound):
    def read(self, answer: Any) -> Any:
        if isinstance(answer, dict) and answer.get("urls") == []:
            answer = {**answer, "urls": [""]}
        return super().read(answer)


class WaitsForEmptyResults(Sound):
    def read(self, answer: Any) -> Any:
        state = super().read(answer)
        return Pending(ref=state.ref) if isinstance(state, Succeeded) and not state.outputs else state


class Sleeps(Sound):
    async def submit(self, request: Any, *, submit_key: str) -> Any:
        time.sleep(0.4)  # noqa: ASYNC251 - the mistake
        return await super().submit(request, submit_key=submit_key)


class ReadsBlocking(Sound):
    async def poll(self, ref: Any) -> Any:
        request = urllib.request.Request(f"{self.base_url}/jobs/{ref}", headers=self.headers(self._key.reveal()))
        try:
            with urllib.request.urlopen(request) as answer:  # noqa: ASYNC210 - the mistake
                return self.read(json.load(answer))
        except OSError as error:
            raise ProviderUnavailableError("no answer", retryable=True) from error


class RaisesAnything(Sound):
    async def poll(self, ref: Any) -> Any:
        try:
            return await super().poll(ref)
        except MediaError as error:
            raise RuntimeError("poll failed") from error


class CallsRefusalsBilled(Sound):
    def error(self, answer: Any, *, maybe_billed: bool = False) -> MediaError:
        return super().error(answer, maybe_billed=True)


class CallsErrorsUnbilled(Sound):
    def error(self, answer: Any, *, maybe_billed: bool = False) -> MediaError:
        return super().error(answer, maybe_billed=False)


class WrapsCancellation(Sound):
    async def submit(self, request: Any, *, submit_key: str) -> Any:
        try:
            return await super().submit(request, submit_key=submit_key)
        except MediaError:
            raise
        except BaseException as error:
            raise ProviderUnavailableError("interrupted", maybe_billed=True) from error


class SaysTheKey(Sound):
    def error(self, answer: Any, *, maybe_billed: bool = False) -> MediaError:
        error = super().error(answer, maybe_billed=maybe_billed)
        error.hint = f"The service said: {answer.text}"
        return error


class ShowsTheKey(Sound):
    def __repr__(self) -> str:
        return f"ShowsTheKey(key={self._key.reveal()!r})"


class RaisesForFailures(Sound):
    def read(self, answer: Any) -> Any:
        state = super().read(answer)
        if isinstance(state, Failed) and state.reason == "generation_failed":
            raise MediaError(state.message)
        return state


class ClosesForGood(Sound):
    async def aclose(self) -> None:
        await super().aclose()
        self._client = None  # type: ignore[method-assign, assignment]


class DropsThePrompt(Sound):
    async def submit(self, request: Any, *, submit_key: str) -> Any:
        return self.read(await self.call("POST", "/jobs", json={"model": request.model}))


class LoomContract(ProviderContract):
    """The made-up service, and a provider class to put to it."""

    provider: ClassVar[type[Sound]] = Sound
    create = "POST /jobs"
    poll = "GET /jobs/{id}"
    cancel = "DELETE /jobs/{id}"

    def make_provider(self, service: Any) -> Any:
        return self.provider.from_settings(service.settings("LOOM"))

    def answer(self, job: Any) -> Any:
        words = {"running": "waiting", "succeeded": "done", "cancelled": "stopped"}
        return {"id": job.id, "state": words.get(job.state, job.state), "urls": list(job.files)}
