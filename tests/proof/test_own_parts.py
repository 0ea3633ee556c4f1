"""The ledger or the storage fails at every call of a job, before or after it took effect, once or for long.

What a server does wrong is in `test_faults_matrix.py`; this is the host's own disk and database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.proof.cases import HAS_NO_LIST
from tests.proof.world import REQUESTS, UNFINISHED, attempt, world

from aifs_media import LedgerError, UploadError
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.storage.local import LocalStorage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

from tests.proof.world import World

LASTING = 1000
LEDGER_CALLS = ("create_or_load", "load", "update", "find_by_ref", "acquire", "renew", "release")
STORAGE_CALLS = ("put", "url", "discard_partial")


class Trouble:
    """Strikes one call, or all from that one on."""

    def __init__(self, at: int, *, times: int, after: bool, error: Callable[[], Exception]) -> None:
        self.calls: list[str] = []
        self._struck = range(at, at + times)
        self._after = after
        self._error = error
        self.passes = times == 1 and error is locked
        """Whether it is over when the call is made once more."""

    def join(self, part: type, names: tuple[str, ...]) -> type:
        """Return the class with trouble in these methods."""
        return type(f"Troubled{part.__name__}", (part,), {name: self._troubled(part, name) for name in names})

    def _troubled(self, part: type, name: str) -> Any:
        inner = getattr(part, name)

        async def call(*arguments: Any, **options: Any) -> Any:
            number = len(self.calls)
            self.calls.append(name)
            if number in self._struck and not self._after:
                raise self._error()
            result = await inner(*arguments, **options)
            if number in self._struck:
                raise self._error()
            return result

        return call


def locked() -> Exception:
    """Somebody else holds the file."""
    return LedgerError("The ledger was locked by another process for 5 s.", retryable=True)


def full() -> Exception:
    """There is no room."""
    return LedgerError("There is no room for the ledger.")


def refused() -> Exception:
    """The storage cannot be written."""
    return UploadError("The bucket is read-only.")


def strange() -> Exception:
    """A stranger's storage raises anything."""
    return RuntimeError("something else")


def run(one: World, trouble: Trouble, name: str, part: str, backend: str) -> None:
    """Make a job under trouble, and see that it ends with media or a typed error; then recover, and compare with the books."""
    ledger = trouble.join(SqliteLedger, LEDGER_CALLS if part == "ledger" else ())
    storage = trouble.join(LocalStorage, STORAGE_CALLS if part == "storage" else ())

    async def main() -> None:
        media = one.media(ledger=ledger(one.ledger, clock=one.time), storage=storage(one.folder))
        error = await attempt(media, REQUESTS[name], "a fox", job_id="fox")
        print(trouble.calls, repr(error))
        accepted = one.emulator.books().creates
        assert error is None or error.maybe_billed or not accepted, "an accepted create is called free"

    async def afterwards() -> None:
        await one.heal()
        rows = await one.verify()
        if (row := rows.get("a fox")) is not None:
            assert row.stage not in UNFINISHED - {"new"}
            assert row.stage != "uncertain" or (name in HAS_NO_LIST and not trouble.passes)
        assert len(rows) == 1 or not one.emulator.books().creates

    one.run(main, backend)
    one.run(afterwards, backend)


def calls_of(folder: Path, name: str, part: str, backend: str) -> int:
    """Return how many calls a job makes where nothing goes wrong."""
    none = Trouble(0, times=0, after=False, error=locked)
    with world(folder) as one:
        run(one, none, name, part, backend)
    return len(none.calls)


CASES = [
    pytest.param(
        part, error, name, times, after,
        id=f"{name}-{part}-{error.__name__}-{'once' if times == 1 else 'lasting'}-{'after' if after else 'before'}",
        marks=[] if name == "chat" and times == 1 else [pytest.mark.slow],
    )
    for part, error in (("ledger", locked), ("ledger", full), ("storage", refused), ("storage", strange))
    for name in ("image", "film", "chat", "videos")
    for times in (1, LASTING)
    for after in (False, True)
]  # fmt: skip


@pytest.mark.parametrize(("part", "error", "name", "times", "after"), CASES)
def test_at_every_call(
    tmp_path: Path,
    anyio_backend: str,
    part: str,
    error: Callable[[], Exception],
    name: str,
    times: int,
    after: bool,  # noqa: FBT001 - a parameter of the matrix
) -> None:
    """Nothing is paid twice or lost, wherever it strikes."""
    for at in range(calls_of(tmp_path / "calm", name, part, anyio_backend)):
        trouble = Trouble(at, times=times, after=after, error=error)
        print(f"call {at}:", end=" ")
        with world(tmp_path / str(at)) as one:
            run(one, trouble, name, part, anyio_backend)
