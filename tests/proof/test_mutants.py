"""The list of protections stays true to the code; `nox -s proof` runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.proof.mutants import LEDGERS
from tests.proof.mutation import MUTANTS, ROOT, mutated

if TYPE_CHECKING:
    from tests.proof.mutants import Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_protection_is_where_the_list_says(mutant: Mutant) -> None:
    """Its text is in the file once, what takes its place is Python, and the tests that should notice are in files that exist."""
    text = (ROOT / "src" / "aifs_media" / mutant.file).read_text(encoding="utf-8")
    assert mutated(text, mutant) != text
    for test in mutant.tests:
        path, *_, name = test.split("::")
        written = [ROOT / path]
        if path == LEDGERS:
            # The checks of every ledger are those of its contract.
            written.append(ROOT / "src/aifs_media/testing/ledger_contract.py")
        assert any(f"def {name.partition('[')[0]}(" in file.read_text(encoding="utf-8") for file in written)
