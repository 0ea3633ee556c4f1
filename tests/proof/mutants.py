"""The protections of the library, each with the text that takes it away and the tests that must notice.

Here are those around the create and the row; those of the bytes and of what is told are in `mutants_of_media.py`, those of what a
call was given in `mutants_of_calls.py`. `mutation.py` runs them. `old` must be in the file exactly once, so that a protection that was rewritten cannot be left out in
silence: change the entry with it.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """One protection less: in `file` below src/aifs_media, `old` becomes `new`; `tests` are names as pytest knows them."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]


FAULTS, RECOVERY, STRANGERS, UNPAID, KEPT, LIFETIMES, MEDIA, REFUSALS, CHAINS, WEBHOOKS, LIES, LOST = (
    f"tests/generator/test_{name}.py"
    for name in (
        "faults", "recovery", "strangers", "never_twice", "never_lost", "lifetimes", "media", "refusals", "chains", "webhooks",
        "lies", "lost_creates",
    )
)  # fmt: skip
DOWNLOAD, GUARD, SECRETS = (f"tests/test_{name}.py" for name in ("download", "urlguard", "secrets"))
REPLICATE, LEDGERS = "tests/providers/test_replicate_provider.py", "tests/ledger/test_contract.py"


def _ledger(test: str, kind: str) -> tuple[str, ...]:
    return tuple(f"{LEDGERS}::Test{kind.title()}Ledger::{test}[{loop}]" for loop in ("asyncio", "trio"))


NEVER_TWICE = (
    Mutant(
        "the intent is on disk before the create leaves",
        "_submit.py",
        'await row.change(stage="intent", attempts=(*row.job.attempts, attempt))',
        'row.job = row.job.model_copy(update={"stage": "intent", "attempts": (*row.job.attempts, attempt)})',
        (f"{UNPAID}::test_the_intent_is_recorded_before_the_create_leaves",),
    ),
    Mutant(
        "a lost answer is reconciled, not sent again",
        "_submit.py",
        "state = await reconcile(row, provider=provider, ledger=ledger, reason=lost.reason, deadline=deadline)",
        "state = None",
        (f"{FAULTS}::test_a_lost_answer_is_found_by_our_seed", f"{FAULTS}::test_a_lost_answer_on_poe_is_uncertain"),
    ),
    Mutant(
        "a create whose answer could not be recorded is not sent again",
        "_submit.py",
        'if row.job.stage == "intent":',
        "if False:",
        (f"{UNPAID}::test_a_ledger_that_stays_busy_when_a_create_was_accepted",),
    ),
    Mutant(
        "a record that the ledger refused is tried again",
        "_row.py",
        "wait = wait_before(number, error) if number < ATTEMPTS else None",
        "wait = None",
        (f"{UNPAID}::test_a_ledger_that_is_busy_for_a_moment",),
    ),
    Mutant(
        "a job that is listed twice is one job",
        "_reconcile.py",
        "return list({ref_key(one.ref): one for one in found}.values())",
        "return list(found)",
        (f"{LOST}::test_a_job_that_is_listed_twice_is_one_job",),
    ),
    Mutant(
        "the look reaches to either side",
        "_reconcile.py",
        "CLOCK_SKEW = 900.0",
        "CLOCK_SKEW = 0.0",
        (f"{LOST}::test_clocks_that_differ_hide_no_job",),
    ),
    Mutant(
        "what another row holds proves that the create was accepted",
        "_reconcile.py",
        "if elsewhere and not free and (row.job.seed_is_ours or adopted):",
        "if False:",
        (f"{LOST}::test_a_job_that_was_adopted_by_hand_is_not_made_again",),
    ),
    Mutant(
        "a cancelled job is not sent later",
        "_pipeline.py",
        "        if row.job.cancel_requested:\n            await self._end_cancelled()",
        "        if False:\n            await self._end_cancelled()",
        (f"{LOST}::test_a_cancelled_job_is_not_sent_when_its_create_proves_absent",),
    ),
    Mutant(
        "a charged cancellation ends the chain",
        "_chain.py",
        "return isinstance(error, GenerationTimeoutError) and not billed",
        "return isinstance(error, GenerationTimeoutError)",
        (f"{CHAINS}::test_a_cancelled_job_that_is_charged_for_ends_the_chain",),
    ),
    Mutant(
        "no error is retryable after which a call would make another job",
        "_jobs.py",
        'if error.resumable and options.get("job_id") is None:',
        "if False:",
        (f"{LOST}::test_what_is_paid_for_is_not_called_retryable",),
    ),
    Mutant(
        "an answer without sense is no refusal",
        "_submit.py",
        "if not error.maybe_billed and not isinstance(error, UnexpectedResponseError):",
        "if not error.maybe_billed:",
        (f"{UNPAID}::test_an_adapter_that_calls_nonsense_free_is_not_believed",),
    ),
    Mutant(
        "whatever an adapter raises is a lost answer",
        "_submit.py",
        "await _note_unknown(row, type(error).__name__)\n        raise _AnswerLostError",
        "await _note_refusal(row, MediaError(str(error)))\n        raise MediaError",
        (f"{UNPAID}::test_whatever_an_adapter_raises_is_a_lost_answer",),
    ),
    Mutant(
        "a worker whose lease is lost sends nothing",
        "_submit.py",
        "if row.lease_lost:\n        raise StaleJobError",
        "if False:\n        raise StaleJobError",
        (f"{UNPAID}::test_a_worker_whose_lease_is_lost_sends_nothing",),
    ),
    Mutant(
        "an intent that is too old is not sent",
        "_submit.py",
        "if row.clock.now() > row.job.attempts[-1].send_by:",
        "if False:",
        (f"{UNPAID}::test_an_intent_that_is_too_old_is_not_sent",),
    ),
    Mutant(
        "a create in flight is shielded",
        "_shield.py",
        "shield = anyio.CancelScope(shield=True)",
        "shield = anyio.CancelScope()",
        (f"{FAULTS}::test_a_task_cancelled_during_a_held_create_keeps_the_asset",),
    ),
    Mutant(
        "a create that was cut off is recorded as unknown",
        "_submit.py",
        'await shielded(RECORD_LIMIT, lambda: _note_unknown(row, "cancelled"))',
        'await shielded(RECORD_LIMIT, lambda: _note_refusal(row, MediaError("cancelled")))',
        (f"{FAULTS}::test_a_held_create_ends_with_its_callers_patience",),
    ),
    Mutant(
        "a lost create is absent only when it must have shown up",
        "_reconcile.py",
        "if free is not None and began >= visible_by:",
        "if free is not None:",
        (f"{FAULTS}::test_a_lost_answer_before_anything_was_accepted_is_uncertain",),
    ),
    Mutant(
        "an incomplete look proves nothing",
        "_reconcile.py",
        'extra=row.fields("reconcile"))\n        return None',
        'extra=row.fields("reconcile"))\n        return []',
        (f"{RECOVERY}::test_a_list_that_cannot_be_read_proves_nothing",),
    ),
    Mutant(
        "past the provider's window nothing is sent again",
        "_reconcile.py",
        "if began > forgotten_at:",
        "if False:",
        (f"{RECOVERY}::test_past_the_window_it_stays_uncertain",),
    ),
    Mutant(
        "what another row holds is not adopted",
        "_reconcile.py",
        "        if holder is None:\n            free.append(one)",
        "        if True:\n            free.append(one)",
        (f"{UNPAID}::test_what_another_row_holds_is_not_adopted",),
    ),
    Mutant(
        "only a seed of our own is a fingerprint",
        "_reconcile.py",
        "if not row.job.seed_is_ours:",
        "if False:",
        (f"{FAULTS}::test_a_lost_answer_with_the_callers_seed_is_uncertain",),
    ),
    Mutant(
        "a second payment is accepted a bounded number of times",
        "_reconcile.py",
        'if row.job.on_unknown == "retry" and lost < ATTEMPTS:',
        'if row.job.on_unknown == "retry":',
        (f"{STRANGERS}::test_retry_is_bounded_for_the_life_of_a_job",),
    ),
    Mutant(
        "a create that broke off may be billed",
        "_http.py",
        "maybe_billed=costs,\n            ) from _without_request(error)",
        "maybe_billed=False,\n            ) from _without_request(error)",
        (f"{FAULTS}::test_a_lost_answer_is_found_by_our_seed", f"{FAULTS}::test_a_lost_answer_on_poe_is_uncertain"),
    ),
    Mutant(
        "a create that was answered with 5xx may be billed",
        "toolkit.py",
        "return (status < 400 or status == 408 or status >= 500) and",
        "return (status < 400 or status == 408) and",
        (f"{REPLICATE}::test_refused_creates",),
    ),
    Mutant(
        "a create that was redirected may be billed",
        "toolkit.py",
        "return (status < 400 or status == 408 or status >= 500) and",
        "return (status == 408 or status >= 500) and",
        (f"{REPLICATE}::test_a_create_without_a_usable_answer_may_be_billed",),
    ),
    Mutant(
        "a create that a proxy gave up waiting for may be billed",
        "toolkit.py",
        "return (status < 400 or status == 408 or status >= 500) and",
        "return (status < 400 or status >= 500) and",
        (f"{REPLICATE}::test_refused_creates",),
    ),
    Mutant(
        "a lost create is found by seed and prompt, whatever else the list says of it",
        "providers/_replicate_matches.py",
        "asked = _told_by(request, capability) or request.inputs",
        "asked = request.inputs",
        ("tests/providers/test_replicate_matches.py::test_seed_and_prompt_tell_it",),
    ),
    Mutant(
        "a list that does not say whether it goes on proves nothing",
        "providers/_replicate_states.py",
        "or len(listed) < len(results) or not goes_on:",
        ":",
        ("tests/providers/test_replicate_states.py::test_a_page_that_is_none",),
    ),
    Mutant(
        "a refused question for a result is not the job's end",
        "providers/_fal_answers.py",
        "if answer.status < 400 or answer.status in _NOT_THE_JOBS:",
        "if answer.status < 400:",
        ("tests/providers/test_fal_answers.py::test_what_is_not_about_the_job",),
    ),
    Mutant(
        "a result that is broken once is asked for again",
        "providers/fal.py",
        "elif response_url not in self._broken_results:",
        "elif False:",
        ("tests/providers/test_fal_provider.py::test_a_result_that_is_broken_twice_is_the_end",),
    ),
    Mutant(
        "another's prediction in the answer to a create is not ours",
        "providers/replicate.py",
        "if is_anothers(prediction, request, built_in):",
        "if False:",
        (f"{REPLICATE}::test_a_create_answered_with_anothers_prediction",),
    ),
    Mutant(
        "creates go out on fresh connections",
        "_http.py",
        "max_keepalive_connections=number if keep_alive else 0",
        "max_keepalive_connections=number",
        (f"{UNPAID}::test_creates_go_out_on_fresh_connections",),
    ),
    Mutant(
        "the same job id joins",
        "_pipeline.py",
        'if row.job.stage == "new":\n            if once:',
        'if row.job.stage in {"new", "submitted"}:\n            if once:',
        (f"{MEDIA}::test_a_job_goes_on_from_its_json",),
    ),
    Mutant(
        "the same id with another request is refused",
        "_jobs.py",
        "if kept is not job and kept.asked != job.asked:",
        "if False:",
        (f"{REFUSALS}::test_another_request_for_the_same_id",),
    ),
    Mutant(
        "what could not be stored is not begun",
        "_jobs.py",
        "await self.parts.preflight(job)",
        "pass",
        ("tests/generator/test_preflight.py::test_a_folder_that_cannot_be_written_costs_nothing",),
    ),
    Mutant(
        "the next model waits for a certain failure",
        "_chain.py",
        "if not job.alternatives or not _is_over_unbilled(job, error):",
        "if not job.alternatives:",
        (f"{CHAINS}::test_a_lost_answer_ends_the_chain", f"{CHAINS}::test_a_failure_that_may_be_billed_ends_the_chain"),
    ),
    Mutant(
        "a ref that a webhook told is not forgotten",
        "_told.py",
        'if stage in NOT_KNOWN_YET or (attempts and attempts[-1].outcome != "accepted") or (stage in ENDED and not attempts):',
        "if False:",
        ("tests/test_row.py::test_who_gives_up_learns_that_it_was_accepted",),
    ),
    Mutant(
        "a delivery counts once",
        "_receive.py",
        "if not fresh:",
        "if False:",
        (f"{WEBHOOKS}::test_a_delivery_counts_once",),
    ),
)  # fmt: skip

FENCES = (
    Mutant(
        "fences in memory",
        "ledger/memory.py",
        " or fence not in {None, row.fence}:",
        ":",
        _ledger("test_leases_exclude_and_fences_grow", "memory"),
    ),
    Mutant(
        "fences in SQLite",
        "ledger/_sqlite_rows.py",
        "            and (:fence is null or lease_fence = :fence)\n",
        "",
        _ledger("test_leases_exclude_and_fences_grow", "sqlite"),
    ),
    Mutant(
        "versions in memory",
        "ledger/memory.py",
        "row.job.version != expected_version or ",
        "",
        _ledger("test_updates_build_on_a_version", "memory"),
    ),
    Mutant(
        "versions in SQLite",
        "ledger/_sqlite_rows.py",
        "and version = :expected_version\n",
        "and :expected_version >= 0\n",
        _ledger("test_updates_build_on_a_version", "sqlite"),
    ),
    Mutant(
        "one row holds a ref, in memory",
        "ledger/memory.py",
        "if holder != key:",
        "if False:",
        _ledger("test_one_row_holds_a_ref", "memory"),
    ),
    Mutant(
        "work ends when the lease is lost",
        "_turns.py",
        "row.lease_lost = True\n                    group.cancel_scope.cancel()\n                except",
        "pass\n                except",
        (f"{UNPAID}::test_a_lost_lease_ends_the_work",),
    ),
)  # fmt: skip
