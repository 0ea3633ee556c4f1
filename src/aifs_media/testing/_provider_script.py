"""What the author of a provider says about their API, and how the checks of the contract work with it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, ClassVar, ParamSpec
from urllib.parse import urlsplit

import pytest

from aifs_media._download import open_output, read_all
from aifs_media._files import FileClient
from aifs_media._options import model_inputs
from aifs_media._urlguard import URLGuard
from aifs_media.errors import MediaError
from aifs_media.protocols import Authorizing, Pollable, role
from aifs_media.records import MediaRequest, Pending, RemoteFile
from aifs_media.testing.clock import FakeClock
from aifs_media.testing.service import Call, Refusal, Reply, ServedJob, Service

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

    from pydantic import JsonValue

    from aifs_media.protocols import MediaProvider
    from aifs_media.records import Capability, Failed, Output, Succeeded

P = ParamSpec("P")

PROMPT = "a red fox in the snow"
MOST_POLLS = 20
LARGEST = 64 * 1024 * 1024


def _message(text: str) -> JsonValue:
    return {"error": {"message": f"{text} (your key is {{key}})"}}


class ProviderScript:
    """The author's side of the contract."""

    create: ClassVar[str] = ""
    """How a job is created, like "POST /jobs"; relative to the base URL."""
    poll: ClassVar[str] = ""
    """How its state is asked, like "GET /jobs/{id}"; empty where the answer to the create is the end of the job."""
    cancel: ClassVar[str] = ""
    """How it is stopped, like "DELETE /jobs/{id}"; empty where the API cannot."""
    download: ClassVar[str] = ""
    """How an output is fetched, where the API itself hands it out to whoever has the key, like "GET /jobs/{id}/content"."""
    refusals: ClassVar[Mapping[Refusal, Reply]] = {
        "key": Reply(401, _message("unknown key")),
        "credit": Reply(402, _message("no credit left")),
        "rate": Reply(429, _message("slow down"), {"retry-after": "7"}),
        "broken": Reply(500, _message("something broke")),
    }
    """How the API refuses; override where it answers otherwise, and add "content" for a prompt that moderation refuses."""
    model: ClassVar[str] = ""
    """The model that the checks use; by default the first of the provider's capabilities."""
    options: ClassVar[Mapping[str, JsonValue]] = {}
    """The model's own options, where some are required."""
    own_server: str = ""
    """The address of a server of yours on this machine that behaves like the API. It then answers in place of `answer`, and the
    checks that need a state on command are skipped."""

    def make_provider(self, service: Service) -> MediaProvider:
        """Return a provider that speaks to `service.base_url` with `service.key`."""
        raise NotImplementedError("make_provider(self, service) has to return your provider.")

    def answer(self, job: ServedJob) -> JsonValue | Reply:
        """Return how the API shows a job, in its answers to create, poll and cancel."""
        raise NotImplementedError("answer(self, job) has to return the JSON that your API shows for a job.")

    def other(self, method: str, path: str) -> Reply:
        """Return the answer to a request that is none of the four; 404 unless the provider needs more of the API."""
        return Reply(404, {"message": f"nothing at {method} {path}"})

    # -- how the checks work with it -----------------------------------------------------------------------------------

    @asynccontextmanager
    async def _serving(self) -> AsyncGenerator[tuple[Service, MediaProvider]]:
        """Run the service and a provider that speaks to it; say in a failure what the author has to know of the service."""
        assert self.create, 'Say how a job is created: create = "POST /jobs".'
        with Service(self, "image") as service:
            provider = self.make_provider(service)
            service.serve(self._capability(provider).kind)
            try:
                yield service, provider
            except Exception as error:
                for call in service.named("other"):
                    error.add_note(
                        f"The provider asked for {call.method} {call.path}, which is no route of this contract."
                    )
                if service.mistakes:
                    raise AssertionError(
                        f"The scripted service stumbled: {service.mistakes[0]!r}"
                    ) from service.mistakes[0]
                raise
            finally:
                await provider.aclose()

    def _capability(self, provider: MediaProvider) -> Capability:
        known = {capability.model: capability for capability in reversed(provider.capabilities)}
        assert known, f"{provider!r} has no capabilities: say what its models are."
        if not self.model:
            return provider.capabilities[0]
        assert self.model in known, f"model = {self.model!r} is not among the capabilities: {', '.join(known)}."
        return known[self.model]

    def _request(self, provider: MediaProvider) -> MediaRequest:
        """Return a request as the library would hand it over, inputs filled in."""
        capability = self._capability(provider)
        request = MediaRequest(
            kind=capability.kind,
            prompt=PROMPT,
            provider=provider.name,
            model=capability.model,
            options=dict(self.options),
            timeout=60,
            lifetime=120,
        )
        return request.model_copy(update={"inputs": model_inputs(request, capability).values})

    async def _submit(self, provider: MediaProvider) -> Pending | Succeeded | Failed:
        return await provider.submit(self._request(provider), submit_key="contract-submit-key")

    async def _begin(self, provider: MediaProvider) -> tuple[Pollable, JsonValue]:
        """Create a job that runs, and return who can be asked about it, and its ref."""
        state = await self._submit(provider)
        pollable = role(provider, Pollable)
        assert pollable is not None, f"poll = {self.poll!r} says that the API can be asked: give the provider a poll()."
        assert isinstance(state, Pending), f"A job that runs has to be Pending, not {state!r}."
        return pollable, state.ref

    async def _end(self, provider: MediaProvider) -> Succeeded | Failed:
        """Create a job and ask until it ends."""
        state = await self._submit(provider)
        for _ in range(MOST_POLLS):
            if not isinstance(state, Pending):
                return state
            pollable = role(provider, Pollable)
            assert pollable is not None, "submit() returned Pending, and there is no poll() to ask how the job goes on."
            state = await pollable.poll(state.ref)
        raise AssertionError(f"The job has ended at the service and is still Pending after {MOST_POLLS} polls.")

    def _scripted(self) -> None:
        if self.own_server:
            pytest.skip("needs a state on command, which a server of your own does not give")


async def outcome(step: Callable[P, Awaitable[object]], *arguments: P.args, **options: P.kwargs) -> object:
    """Return what a step returned or raised."""
    try:
        return await step(*arguments, **options)
    except Exception as error:
        # Whatever it is: the check says what it should have been.
        return error


async def fetch(output: Output, provider: MediaProvider, service: Service) -> bytes:
    """Download an output as the library does, key included where the provider says that it is needed."""
    url = urlsplit(output.url) if isinstance(output, RemoteFile) else None
    # The service, and a server of the author's, are on this machine, where the library fetches only from whom it was told to trust.
    files = FileClient(URLGuard(trusted=frozenset({f"{url.hostname}:{url.port or 80}"} if url else ())))
    authorizing = role(provider, Authorizing)
    source = await open_output(
        output,
        service.kind,
        client=files,
        clock=FakeClock(),
        authorize=authorizing.authorization_for if authorizing is not None else _no_headers,
        on_retry=lambda _error, _wait: None,
        on_bytes=lambda _done, _total: None,
    )
    try:
        return await read_all(source, limit=LARGEST)
    finally:
        await source.aclose()
        await files.aclose()


def created_once(service: Service, why: str) -> Call:
    """Return the one create that reached the service, or fail."""
    creates = service.named("create")
    assert creates, f"No create reached the service; this contract says that it is {service.script.create!r}."
    assert len(creates) == 1, f"The create was sent {len(creates)} times {why}: what is accepted twice is paid twice."
    return creates[0]


def _no_headers(url: str) -> dict[str, str]:
    del url
    return {}


def refused(result: object, what: str) -> MediaError:
    """Return the typed error that a call ended with, or fail."""
    assert isinstance(result, MediaError), (
        f"{what} ended with {result!r}. Raise an error of aifs_media.errors, which callers can tell apart."
    )
    return result
