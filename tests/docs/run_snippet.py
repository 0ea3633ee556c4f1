"""Runs one snippet of the documentation as IPython would: `await` may stand at its top level."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import anyio


def main(path: Path) -> None:
    code = compile(path.read_text(), str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    names: dict[str, object] = {"__name__": "__main__"}
    if not code.co_flags & inspect.CO_COROUTINE:
        exec(code, names)  # a snippet of ours
        return

    async def run() -> None:
        await eval(code, names)  # as above

    anyio.run(run)


main(Path(sys.argv[1]))
