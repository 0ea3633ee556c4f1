"""The contract finds every mistake that was planted, names the check for it, and finds nothing in what is sound."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.testing import broken
from tests.testing.broken import LoomContract, Sound

if TYPE_CHECKING:
    from collections.abc import Iterable

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


@pytest.mark.parametrize("provider", PLANTED, ids=lambda provider: provider.__name__)
def test_each_planted_mistake_is_found_and_named(provider: type[Sound]) -> None:
    """The right checks fail, and only those; on trio as well."""
    found = findings(provider, CHECKS, "asyncio")
    assert set(found) == PLANTED[provider], found
    assert all(said.startswith("AssertionError: ") for said in found.values()), found
    assert set(findings(provider, PLANTED[provider], "trio")) == PLANTED[provider]


def test_every_check_finds_something() -> None:
    """No check is there that could not fail."""
    assert set().union(*PLANTED.values()) == set(CHECKS)
