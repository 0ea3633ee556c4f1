"""What every provider promises, as tests to subclass. Needs pytest."""

from __future__ import annotations

import json
import re

import pytest

from aifs_media.errors import (
    AuthenticationError,
    ContentRejectedError,
    MediaError,
    PaymentRequiredError,
    RateLimitedError,
    UnexpectedResponseError,
)
from aifs_media.protocols import Cancellable, MediaProvider, Pollable, role
from aifs_media.records import Failed, Pending, Succeeded
from aifs_media.testing._heart import Stopwatch, stopped_by
from aifs_media.testing._loops import on_both_loops
from aifs_media.testing._provider_script import PROMPT, ProviderScript, created_once, fetch, outcome, refused
from aifs_media.testing.service import Hold, Refusal, Reply, Service

ERRORS = {"key": AuthenticationError, "credit": PaymentRequiredError, "rate": RateLimitedError}
UNKNOWN_STATE = "hibernating"


class ProviderContract(ProviderScript):
    """The promises of a provider. Subclass it in a test module and describe the API.

    For example:

        class TestAcme(ProviderContract):
            create = "POST /jobs"
            poll = "GET /jobs/{id}"

            def make_provider(self, service):
                return AcmeProvider.from_settings(service.settings("ACME"))

            def answer(self, job):
                return {"id": job.id, "state": job.state, "url": job.file}

    Each check runs on asyncio and on trio against a server on loopback; nothing has to be configured, and nothing is spent.
    """

    def test_it_is_a_provider(self) -> None:
        """It has the members of a provider and the roles that its API makes possible."""
        with Service(self, "image") as service:
            provider = self.make_provider(service)
            assert isinstance(provider, MediaProvider), "A provider has name, capabilities, submit and aclose."
            assert re.fullmatch(r"[a-z][a-z0-9-]*", provider.name), f"The name {provider.name!r} is not lower case."
            self._capability(provider)
            if self.poll:
                assert role(provider, Pollable) is not None, "The API can be asked: give the provider a poll()."
            if self.cancel:
                assert role(provider, Cancellable) is not None, "The API can cancel: give the provider a cancel()."
            assert service.key not in repr(provider), "The provider's repr shows the key."

    @on_both_loops
    async def test_a_job_comes_to_its_end(self) -> None:
        """The prompt is sent with the key, in one create, and the output can be fetched."""
        async with self._serving() as (service, provider):
            ended = await self._end(provider)
            assert isinstance(ended, Succeeded), (
                f"The job has succeeded at the service, and the provider says {ended!r}."
            )
            create = created_once(service, "for one job")
            # A key that only signs is not in the request itself.
            assert create.holds(service.key) or "authorization" in create.headers, "The create carries no key."
            assert PROMPT in create.body.decode(), "The create does not carry the prompt: send request.inputs."
            assert ended.outputs, "The job has an output at the service, and the provider returns none."
            data = await fetch(ended.outputs[0], provider, service)
            assert self.own_server or data == service.file.data, "The output is not the file that the service made."

    @on_both_loops
    async def test_a_failed_job_is_data(self) -> None:
        """A job that failed is a Failed; an exception would mean that the service could not be asked."""
        self._scripted()
        async with self._serving() as (service, provider):
            service.state = "failed"
            ended = await outcome(self._end, provider)
            assert isinstance(ended, Failed), f"The job has failed at the service: return Failed(...), not {ended!r}."

    @on_both_loops
    async def test_an_unknown_state_is_not_the_end(self) -> None:
        """A state that no documentation knows counts as running: services add states without a word."""
        self._scripted()
        async with self._serving() as (service, provider):
            service.state = UNKNOWN_STATE
            if self.poll:
                pollable, ref = await self._begin(provider)
                state = await outcome(pollable.poll, ref)
                assert isinstance(state, Pending), f"The state {UNKNOWN_STATE!r} became {state!r}; return Pending."
            else:
                state = await outcome(self._submit, provider)
                assert not isinstance(state, Succeeded), f"The state {UNKNOWN_STATE!r} became {state!r}."

    @on_both_loops
    async def test_an_empty_result_is_no_media(self) -> None:
        """Success without an output is Succeeded(outputs=()), or an error; never an output that is not there, or no end."""
        self._scripted()
        async with self._serving() as (service, provider):
            service.empty = True
            ended = await outcome(self._end, provider)
            if isinstance(ended, Succeeded):
                assert not ended.outputs, (
                    f"The service named no output, and the provider made one up: {ended.outputs!r}."
                )
            else:
                assert isinstance(ended, Failed | MediaError), (
                    f"A success without any output became {ended!r}; return Succeeded(outputs=())."
                )

    @on_both_loops
    async def test_a_lost_answer_is_not_paid_twice(self) -> None:
        """The create was accepted and its answer lost: it is not sent again, and the error says that it may be billed."""
        async with self._serving() as (service, provider):
            service.faults["create"] = "lost"
            error = refused(await outcome(self._submit, provider), "A create whose answer was lost")
            number = len(service.named("create"))
            assert number == 1, (
                f"The create was sent {number} times. The first was accepted: that is paid {number} times."
            )
            assert error.maybe_billed, "The create was accepted and its answer lost: the error needs maybe_billed=True."

    @on_both_loops
    async def test_an_unreadable_answer_is_not_paid_twice(self) -> None:
        """A create that was answered with somebody's web page may have been accepted all the same."""
        async with self._serving() as (service, provider):
            service.faults["create"] = Reply(200, b"<html>a proxy</html>", {"content-type": "text/html"})
            error = refused(await outcome(self._submit, provider), "A create that was answered with HTML")
            created_once(service, "though it may have been accepted")
            assert error.maybe_billed or isinstance(error, UnexpectedResponseError), (
                "The error needs maybe_billed=True."
            )

    @on_both_loops
    async def test_a_server_error_is_typed(self) -> None:
        """After a 500 nobody knows whether a create was accepted; a poll may be tried again."""
        async with self._serving() as (service, provider):
            service.refuse("create", "broken")
            error = refused(await outcome(self._submit, provider), "A create that was answered with a server error")
            created_once(service, "after a server error")
            assert error.maybe_billed, "After a server error a create may have been accepted: maybe_billed=True."
            if self.poll:
                service.faults.clear()
                pollable, ref = await self._begin(provider)
                service.refuse("poll", "broken")
                error = refused(await outcome(pollable.poll, ref), "A poll that was answered with a server error")
                assert error.retryable, "A poll that was answered with a server error can be repeated: retryable=True."

    @on_both_loops
    async def test_a_refusal_bills_nothing(self) -> None:
        """A wrong key, no credit and too many requests are typed; the create was not accepted, and is not sent again here."""
        for why in self.refusals:
            if why == "broken":
                continue
            async with self._serving() as (service, provider):
                service.refuse("create", why)
                result = await outcome(self._submit, provider)
                if why == "content":
                    moderated = isinstance(result, Failed) and result.reason == "content_rejected"
                    assert moderated or isinstance(result, ContentRejectedError), f"{why!r} became {result!r}."
                    continue
                error = refused(result, f"A create that was refused ({why!r})")
                assert isinstance(error, ERRORS[why]), f"{why!r} became {error!r}; raise {ERRORS[why].__name__}."
                assert not error.maybe_billed, f"A create that was refused ({why!r}) is not billed: maybe_billed=False."
                created_once(service, f"after a refusal ({why!r})")

    @on_both_loops
    async def test_the_key_is_not_sent_to_the_output_host(self) -> None:
        """Outputs lie on other hosts, which must not see the key."""
        self._scripted()
        async with self._serving() as (service, provider):
            ended = await self._end(provider)
            if isinstance(ended, Succeeded):
                for output in ended.outputs:
                    await outcome(fetch, output, provider, service)
            assert not any(call.holds(service.key) for call in service.file_calls), (
                "The key was sent to the host that hands out the outputs."
            )

    @on_both_loops
    async def test_the_key_does_not_follow_a_redirect(self) -> None:
        """A redirect to another host gets no key."""
        async with self._serving() as (service, provider):
            away = Reply(307, {}, {"location": f"http://{service.files_host}/elsewhere"})
            service.faults = {"create": away}
            await outcome(self._submit, provider)
            if self.poll:
                service.faults = {}
                pollable, ref = await self._begin(provider)
                service.faults = {"poll": away}
                await outcome(pollable.poll, ref)
            assert not any(call.holds(service.key) for call in service.file_calls), "The key followed a redirect away."

    @on_both_loops
    async def test_no_key_in_what_is_recorded(self) -> None:
        """States are written to ledgers; the key must not be in a ref, a URL or anything else of them."""
        async with self._serving() as (service, provider):
            states = [await self._submit(provider)]
            pollable = role(provider, Pollable)
            if isinstance(states[0], Pending) and pollable is not None:
                states.append(await pollable.poll(states[0].ref))
            for state in states:
                assert service.key not in state.model_dump_json(), (
                    f"The key is in what is recorded of a {state.status} job."
                )

    @on_both_loops
    async def test_a_ref_outlives_the_process(self) -> None:
        """A ref goes through JSON, and a provider that was made in another process can go on with it."""
        if not self.poll:
            pytest.skip("the API's jobs end with the create")
        async with self._serving() as (service, provider):
            _, ref = await self._begin(provider)
            kept = json.loads(json.dumps(ref))
            assert kept == ref, f"The ref {ref!r} comes back from JSON as {kept!r}."
            other = self.make_provider(service)
            pollable = role(other, Pollable)
            assert pollable is not None
            try:
                state = await outcome(pollable.poll, kept)
            finally:
                await other.aclose()
            assert self.own_server or isinstance(state, Succeeded), (
                f"A new provider object got {state!r} for the ref {kept!r}: it has to hold all that poll() needs."
            )

    @on_both_loops
    async def test_cancel_reaches_the_service(self) -> None:
        """A job that is cancelled is stopped at the service, where it would go on being paid for."""
        if not self.cancel:
            pytest.skip("the API cannot cancel")
        async with self._serving() as (service, provider):
            service.state = "running"
            pollable, ref = await self._begin(provider)
            cancellable = role(provider, Cancellable)
            assert cancellable is not None, "The API can cancel: give the provider a cancel()."
            result = await outcome(cancellable.cancel, ref)
            assert service.named("cancel"), (
                f"cancel() ended with {result!r}, and the service was not asked to stop the job."
            )
            assert result in {"cancelled", "too_late"}, f"cancel() returns 'cancelled' or 'too_late', not {result!r}."
            if not self.own_server:
                state = await pollable.poll(ref)
                stopped = isinstance(state, Failed) and state.reason == "canceled"
                assert stopped, f"The job is cancelled at the service: return Failed(reason='canceled'), not {state!r}."

    @on_both_loops
    async def test_the_event_loop_is_not_blocked(self) -> None:
        """While the provider waits for its service, everything else goes on."""
        async with self._serving() as (service, provider):
            await self._submit(provider)  # What is loaded and opened once does not count.
            watch = Stopwatch(service)
            watch.judge("submit()", await watch.longest_stop(self._submit, provider))
            if self.poll:
                pollable, ref = await self._begin(provider)
                watch.judge("poll()", await watch.longest_stop(pollable.poll, ref))

    @on_both_loops
    async def test_cancellation_is_not_wrapped(self) -> None:
        """A task that is cancelled during a call ends by that, and not by an error of the provider's."""
        async with self._serving() as (service, provider):
            service.hold = hold = Hold()
            ended = await stopped_by(hold, self._submit, provider)
            assert ended == "cancelled", (
                f"A cancelled submit() ended with {ended!r}. Let the cancellation pass: catch Exception, not BaseException."
            )

    @on_both_loops
    async def test_no_key_in_errors(self) -> None:
        """Errors are logged and shown. Services like to repeat the key; an error does not."""
        faults: list[Refusal | None] = [*self.refusals, None]
        for fault in faults:
            async with self._serving() as (service, provider):
                if fault is not None:
                    service.refuse("create", fault)
                else:
                    service.faults["create"] = Reply(200, f"<p>{service.key}</p>".encode())
                error = await outcome(self._submit, provider)
                while isinstance(error, BaseException):
                    # What an error of ours carries is pickled with it; of its causes only the text is shown.
                    shown = f"{error} {error!r} {vars(error) if isinstance(error, MediaError) else ''}"
                    assert service.key not in shown, (
                        f"The key is in {type(error).__name__} ({fault or 'unreadable answer'}): {error}"
                    )
                    error = error.__cause__ or error.__context__

    @on_both_loops
    async def test_it_can_be_used_after_it_was_closed(self) -> None:
        """aclose() lets go of connections, not of the ability to make new ones."""
        async with self._serving() as (service, provider):
            await self._submit(provider)
            await provider.aclose()
            state = await outcome(self._submit, provider)
            assert not isinstance(state, Exception), f"After aclose() a submit ended with {state!r}."
            assert len(service.named("create")) == 2
