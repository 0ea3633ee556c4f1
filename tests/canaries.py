"""Looks, in every test, for keys and signed URLs where they must not be: logs, errors, events, rows of ledgers, reprs.

Every value that a `Secret` was made of is a canary, and so is the query of every output's URL that an emulator hands out. The
library is watched from outside: its classes are wrapped, and nothing in it knows of this. What is found is a leak, and the
test during which it was found fails.

An unfinished row may hold signed URLs, in its outputs and in the provider's handle; an error may hold such a row. A job that
has ended may not. What httpcore and botocore log below INFO is the wire itself and is not looked at.
"""

from __future__ import annotations

import functools
import logging
import pickle
from typing import TYPE_CHECKING, Any

import pytest

from aifs_media import MediaGenerator, SyncMediaGenerator, _row
from aifs_media._secrets import Secret
from aifs_media.errors import MediaError
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.ledger.postgres import PostgresLedger
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.settings import Settings
from aifs_media.storage.s3 import S3Storage
from aifs_media.testing.emulator import Emulator
from aifs_media.toolkit import HttpProvider

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aifs_media.records import Job

KEY = "canary-key-5d1e8c0f"
SIGNATURE = "canary-signature-7be29a"
SHORTEST = 12
"""Characters of a key that can be told from other text."""

WITHOUT_ADDRESSES = {
    "parts": {"__all__": {"output"}},
    "attempts": {"__all__": {"ref"}},
}


class Canaries(logging.Handler):
    """The secrets that were seen, and where one of them showed. A handler, so that it sees every log record."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.secrets: set[str] = set()
        self.leaks: list[str] = []
        self.emulator_alone = False

    def look(self, text: str, where: str, *, signatures: bool = True) -> None:
        """Note a leak if the text holds a canary."""
        hidden = {*self.secrets, SIGNATURE} if signatures else self.secrets
        found = [secret for secret in hidden if secret in text]
        if found:
            self.leaks.append(f"{where} holds {found[0]!r}: ...{text[max(0, text.index(found[0]) - 80) :][:200]}...")

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a log record, at what it carries and at the error in it."""
        text = f"{record.getMessage()} {record.__dict__!r}"
        signatures = not (record.name == "httpx" and self.emulator_alone)
        self.look(text, f"a log record of {record.name}", signatures=signatures)
        if record.exc_info and record.exc_info[1] is not None:
            self.look_at_error(record.exc_info[1])

    def made_secret(self, value: str) -> None:
        """Note a key; one that is too short to be told from other text is a mistake of the test."""
        if not value:
            return
        if len(value) < SHORTEST:
            self.leaks.append(f"the key {value!r} cannot be looked for: use canaries.KEY")
        else:
            self.secrets.add(value)

    def made_emulator(self, emulator: Emulator) -> None:
        """Let it sign its outputs' URLs, and note its keys, which child processes may be given."""
        emulator.switches.url_query = "" if self.emulator_alone else f"sig={SIGNATURE}"
        settings = emulator.settings()
        for name in settings:
            if name.endswith(("_KEY", "_SECRET")):
                self.made_secret(settings[name])

    def look_at_row(self, job: Job) -> None:
        """Look at a row that is being written, and at the repr of the job in it."""
        whole = job.model_dump_json()
        self.look(whole, f"the row of {job.job_id!r}", signatures=False)
        addresses = None if job.done else WITHOUT_ADDRESSES
        self.look(job.model_dump_json(exclude=addresses) if addresses else whole, f"the row of {job.job_id!r}")
        self.look(f"{job!r} {job} {job.assets!r}", f"the repr of the job {job.job_id!r}")

    def look_at_error(self, error: BaseException) -> None:
        """Look at an error and at everything that a traceback would tell of it."""
        seen: set[int] = set()
        left: list[BaseException | None] = [error]
        while left:
            one = left.pop()
            if one is None or id(one) in seen:
                continue
            seen.add(id(one))
            notes = getattr(one, "__notes__", ())
            self.look(f"{one} {one!r} {one.args!r} {notes}", f"a {type(one).__name__}")
            if isinstance(one, MediaError):
                self._look_at_ours(one)
            if isinstance(one, BaseExceptionGroup):
                left.extend(one.exceptions)
            left.append(one.__cause__ if one.__cause__ or one.__suppress_context__ else one.__context__)

    def _look_at_ours(self, error: MediaError) -> None:
        self.look(repr(pickle.dumps(error)), f"a pickled {error.code}", signatures=False)
        members = {name: value for name, value in vars(error).items() if name not in {"job", "failed"}}
        self.look(repr(pickle.dumps((error.args, members))), f"a pickled {error.code}")


def wrap(owner: type, name: str, before: Callable[..., None], after: Callable[..., None] | None = None) -> None:
    """Call `before` with a method's arguments, and `after` with them when it has returned."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def wrapped(*arguments: Any, **options: Any) -> Any:
        before(*arguments, **options)
        result = method(*arguments, **options)
        if after is not None:
            after(*arguments, **options)
        return result

    setattr(owner, name, wrapped)


def nothing(*_: Any, **__: Any) -> None:
    """Look at nothing."""


def watch(canaries: Canaries) -> None:
    """Put the detector around the library, for the rest of the process."""
    wrap(Secret, "__init__", lambda _, value: canaries.made_secret(value))
    wrap(Emulator, "__init__", nothing, lambda emulator, **_: canaries.made_emulator(emulator))

    def set_member(error: MediaError, name: str, value: object) -> None:
        if isinstance(value, str):
            canaries.look(value, f"{type(error).__name__}.{name}")
        Exception.__setattr__(error, name, value)

    MediaError.__setattr__ = set_member  # type: ignore[assignment,method-assign]
    for ledger in (MemoryLedger, SqliteLedger, PostgresLedger):
        for method in ("create_or_load", "update"):
            wrap(ledger, method, lambda _, job, **__: canaries.look_at_row(job))
    wrap(_row.JobRow, "tell", lambda _, event, **fields: canaries.look(repr(fields), f"the event {event.__name__}"))
    for shown in (Settings, MediaGenerator, SyncMediaGenerator, HttpProvider, S3Storage):
        wrap(shown, "__init__", nothing, lambda part, *_, **__: canaries.look(repr(part), f"a repr of {type(part)}"))
    wrap(type(pytest.raises(Exception)), "__exit__", lambda _, kind, error, trace: canaries.look_at_error(error) if error else None)  # fmt: skip
    logging.getLogger().addHandler(canaries)
    logging.getLogger("aifs_media").setLevel(logging.DEBUG)
    logging.getLogger("httpx").setLevel(logging.INFO)


@pytest.fixture(scope="session")
def canaries() -> Canaries:
    """The detector, which watches from the first test on."""
    made = Canaries()
    watch(made)
    return made


@pytest.fixture(autouse=True)
def _no_canary_is_told(canaries: Canaries, request: pytest.FixtureRequest) -> Iterator[None]:
    # The tests of the emulator look at its URLs as they are, and fetch them with a client of their own that logs them.
    canaries.emulator_alone = "emulator" in request.path.parts
    # What is a key in one test may be the name of a model in another.
    canaries.secrets.clear()
    canaries.leaks.clear()
    yield
    if canaries.leaks:
        leaks, canaries.leaks = canaries.leaks, []
        pytest.fail("\n".join(dict.fromkeys(leaks)), pytrace=False)
