"""The protections of what a call was given, and of a job that is only looked at; see `mutants.py`."""

from __future__ import annotations

from tests.proof.mutants import Mutant

WRONG, LOOKS = (f"tests/generator/test_{name}.py" for name in ("wrong_calls", "looks"))

NEVER_GUESS = (
    Mutant(
        "an option that does not exist is not dropped",
        "_arguments.py",
        "    for name in options:\n        if name not in VideoOptions",
        "    given = {name: value for name, value in given.items() if name in _CHECKS}\n"
        "    for name in ():\n        if name not in VideoOptions",
        (f"{WRONG}::test_a_misspelt_option_is_not_dropped",),
    ),
    Mutant(
        "a number that no film has is not sent",
        "_values.py",
        "if not (0 < number < math.inf or (zero and number == 0)):",
        "if False:",
        (f"{WRONG}::test_numbers_of_no_film",),
    ),
    Mutant(
        "numbers of other libraries are numbers",
        "_values.py",
        "not isinstance(value, SupportsIndex)",
        "not isinstance(value, int)",
        (f"{WRONG}::test_numbers_of_other_libraries",),
    ),
    Mutant(
        "text that cannot be sent is no lost create",
        "_values.py",
        "        value.encode()\n",
        "        pass\n",
        (f"{WRONG}::test_text_that_is_no_unicode", f"{WRONG}::test_a_prompt_that_is_no_unicode"),
    ),
    Mutant(
        "a provider without a model is not its default one",
        "_draft.py",
        "    if model.strip():\n        return name, model\n",
        "    return name, model.strip()\n",
        (f"{WRONG}::test_a_provider_without_a_model",),
    ),
    Mutant(
        "a look stops nothing",
        "_pipeline.py",
        "state = await look(row, state, provider=self._provider)",
        "state = await wait(row, state, provider=self._provider, deadline=deadline)",
        (f"{LOOKS}::test_a_running_job_goes_on",),
    ),
    Mutant(
        "a look sends nothing",
        "_pipeline.py",
        "            if once:\n                raise _unsent(row.job)",
        "            if False:\n                raise _unsent(row.job)",
        (f"{LOOKS}::test_a_job_that_was_never_sent_is_not_sent",),
    ),
    Mutant(
        "a look passes over no model",
        "_jobs.py",
        "looked = once and isinstance(error, GenerationTimeoutError)",
        "looked = False",
        (f"{LOOKS}::test_a_job_that_was_never_sent_is_not_sent",),
    ),
    Mutant(
        "a look leaves no timeout behind",
        "_jobs.py",
        "            if timeout:\n",
        "            if timeout is not None:\n",
        (f"{LOOKS}::test_a_lost_create_is_looked_for_once",),
    ),
    Mutant(
        "a look does not wait for who waits",
        "_jobs.py",
        "if once and self._turns.is_busy(job):",
        "if False:",
        (f"{LOOKS}::test_a_job_in_other_hands_is_not_waited_for",),
    ),
)
