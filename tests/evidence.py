"""Which tests prove what: read from evidence.toml, checked against the tests that there are, shown with their outcomes."""

from __future__ import annotations

import ast
import tomllib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Cell = str | list[str]
    Table = dict[str, dict[str, Cell]]

HERE = Path(__file__).parent
WHOLE = (
    "submit", "wait", "cancel", "resume", "lost_answer", "no_credit", "moderation", "rate_limit", "wrong_key", "retired", "invalid",
    "expiry", "cost", "webhook", "client",
)  # fmt: skip
BACKING = ("recording", "schema", "client", "document", "guess")


@cache
def tables() -> tuple[Table, Table]:
    """Return what is claimed of each provider, and of each call of the emulator."""
    read = tomllib.loads((HERE / "evidence.toml").read_text())
    return read["whole"], read["call"]


def named_tests() -> Iterator[tuple[str, str]]:
    """Yield every test that is named, with the cell that names it."""
    for table in tables():
        for row, cells in table.items():
            for column, cell in cells.items():
                for test in cell if isinstance(cell, list) else ():
                    yield test, f"{row}, {column}"


@cache
def tests_of(file: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    tree = ast.parse((HERE / file).read_text())
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    return frozenset(function.name for function in functions if function.name.startswith("test_"))


def summary(outcomes: Mapping[str, set[str]]) -> list[str]:
    """Return the table of how whole the providers are, a line each, with what this run has shown.

    Args:
        outcomes: the outcomes of each test that ran, by its id below tests/ without parameters.
    """
    lines = [f"{'':12}" + " ".join(f"{column[:11]:>11}" for column in WHOLE)]
    for provider, cells in tables()[0].items():
        lines.append(f"{provider:12}" + " ".join(f"{_shown(cells[column], outcomes):>11}" for column in WHOLE))
    return lines


def _shown(cell: Cell, outcomes: Mapping[str, set[str]]) -> str:
    if isinstance(cell, str):
        return "has none"
    found = set().union(*(outcomes.get(test, set()) for test in cell))
    return "FAILED" if "failed" in found else "passed" if "passed" in found else "not run"
