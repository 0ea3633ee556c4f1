"""The contract finds every mistake that was planted, names the check for it, and finds nothing in what is sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.testing import broken
from tests.testing.broken import LoomContract, Sound

from aifs_media.testing import Service

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.canaries import Canaries

CHECKS = sorted(name for name in dir(LoomContract) if name.startswith("test_"))


class TestSound(LoomContract):
    """The sound provider, as its author would test it."""


def findings(provider: type[Sound], checks: Iterable[str], loop: str) -> dict[str, str]:
    """Run checks against a provider and return what the failed ones say."""
    contract = type("Contract", (LoomContract,), {"provider": provider})()
    found: dict[str, str] = {}
    for name in checks:
        check = getattr(contract, name)
        try:
            check() if name == "test_it_is_a_provider" else check(loop)
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
    return found


PLANTED = {
    broken.PaysTwice: {"test_a_lost_answer_is_not_paid_twice", "test_a_server_error_is_typed"},
    broken.BelievesUnknownStates: {"test_an_unknown_state_is_not_the_end"},
    broken.FetchesWithTheKey: {"test_the_key_is_not_sent_to_the_output_host"},
    broken.HandsOutTheKey: {"test_the_key_is_not_sent_to_the_output_host"},
    broken.UsesBasic: {"test_the_key_is_not_sent_to_the_output_host"},
    broken.ForgetsTheKey: {"test_a_job_comes_to_its_end"},
    broken.FollowsRedirects: {"test_the_key_does_not_follow_a_redirect"},
    broken.RemembersJobs: {"test_a_ref_outlives_the_process"},
    broken.KeepsTheKeyInTheRef: {"test_no_key_in_what_is_recorded"},
    broken.IgnoresCancel: {"test_cancel_reaches_the_service"},
    broken.MakesUpOutputs: {"test_an_empty_result_is_no_media"},
    broken.WaitsForEmptyResults: {"test_an_empty_result_is_no_media"},
    broken.Sleeps: {"test_the_event_loop_is_not_blocked"},
    # urllib also takes its headers along to wherever it is redirected.
    broken.ReadsBlocking: {"test_the_event_loop_is_not_blocked", "test_the_key_does_not_follow_a_redirect"},
    broken.RaisesAnything: {"test_a_server_error_is_typed"},
    broken.CallsRefusalsBilled: {"test_a_refusal_bills_nothing", "test_a_server_error_is_typed"},
    broken.CallsErrorsUnbilled: {"test_a_server_error_is_typed"},
    broken.WrapsCancellation: {"test_cancellation_is_not_wrapped"},
    broken.SaysTheKey: {"test_no_key_in_errors"},
    broken.ShowsTheKey: {"test_it_is_a_provider"},
    broken.RaisesForFailures: {"test_a_failed_job_is_data"},
    broken.ClosesForGood: {"test_it_can_be_used_after_it_was_closed"},
    broken.RepeatsAfterNonsense: {"test_an_unreadable_answer_is_not_paid_twice"},
    broken.DropsThePrompt: {"test_a_job_comes_to_its_end"},
}


# These stand still, and are waited for.
LONG = {broken.Sleeps, broken.ReadsBlocking}


@pytest.mark.parametrize(
    "provider",
    [pytest.param(one, marks=pytest.mark.slow if one in LONG else (), id=one.__name__) for one in PLANTED],
)
def test_each_planted_mistake_is_found_and_named(provider: type[Sound], canaries: Canaries) -> None:
    """The right checks fail, and only those; on trio as well."""
    found = findings(provider, CHECKS, "asyncio")
    assert set(found) == PLANTED[provider], found
    assert all(said.startswith("AssertionError: ") for said in found.values()), found
    assert set(findings(provider, PLANTED[provider], "trio")) == PLANTED[provider]
    # Telling the key is the mistake of some of them.
    canaries.leaks.clear()


def test_every_check_finds_something() -> None:
    """No check is there that could not fail."""
    assert set().union(*PLANTED.values()) == set(CHECKS)


def test_the_page_names_every_check() -> None:
    """docs/writing-a-provider.md says of each which mistake it finds."""
    page = Path(__file__).resolve().parents[2] / "docs/writing-a-provider.md"
    assert sorted(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))) == CHECKS


class TestOwnServer(LoomContract):
    """The same against a server of the author's; here another scripted one plays it."""

    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with Service(LoomContract(), "image") as server:
            self.own_server = server.base_url
            yield
            assert all(call.holds(server.key) for call in server.calls)


@pytest.mark.parametrize("loop", ["asyncio", "trio"])
def test_faults_strike_in_front_of_a_server_of_ones_own(loop: str) -> None:
    """A create that is sent twice is found there too, and the server has seen both."""
    with Service(LoomContract(), "image") as server:
        contract = type("Contract", (LoomContract,), {"provider": broken.PaysTwice, "own_server": server.base_url})()
        with pytest.raises(AssertionError, match="sent 2 times"):
            contract.test_a_lost_answer_is_not_paid_twice(loop)
        assert len(server.named("create")) == 2


class Stumbling(LoomContract):
    """An author's mistake in the description."""

    def answer(self, job: Any) -> Any:
        return {"id": job.identifier}


class ElsewhereContract(LoomContract):
    """A route that is not the provider's."""

    create = "POST /creations"


class Nowhere(LoomContract):
    """A route that is none."""

    create = "jobs"


@pytest.mark.parametrize(
    ("contract", "said"),
    [
        (Stumbling, "scripted service stumbled.*identifier"),
        (ElsewhereContract, "asked for POST /jobs, which is no route of this contract"),
        (Nowhere, "'jobs' is no route. Write it like"),
    ],
)
def test_mistakes_in_the_description_are_told(contract: type[LoomContract], said: str) -> None:
    """And not taken for the provider's."""
    with pytest.raises(Exception, match=r"[\s\S]*") as failed:
        contract().test_a_job_comes_to_its_end("asyncio")
    told = "\n".join((str(failed.value), *getattr(failed.value, "__notes__", ())))
    assert re.search(said, told), told
