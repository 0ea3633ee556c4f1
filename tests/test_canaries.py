"""The detector of every test is able to find what it looks for."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from tests.canaries import KEY, SIGNATURE

from aifs_media import _row, events
from aifs_media._clock import SystemClock
from aifs_media._secrets import Secret
from aifs_media.errors import JobError, MediaError
from aifs_media.ledger.memory import MemoryLedger
from aifs_media.records import Attempt, Job, MediaRequest, Part, RemoteFile
from aifs_media.toolkit import HttpProvider

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.canaries import Canaries

SIGNED = f"https://a.test/b?sig={SIGNATURE}"
NOW = datetime(2026, 11, 2, tzinfo=UTC)


def job(stage: str = "storing", **fields: Any) -> Job:
    attempt = Attempt(submit_key="k", provider="p", model="m", started_at=NOW, send_by=NOW, ref={"at": SIGNED})
    values: dict[str, Any] = {
        "job_id": "one", "request": MediaRequest(kind="image", prompt="a fox"), "created_at": NOW, "timeout": 1.0,
        "lifetime": 1.0, "on_cancel": "detach", "stage": stage, "attempts": (attempt,),
        "parts": (Part(index=0, output=RemoteFile(url=SIGNED)),), **fields,
    }  # fmt: skip
    return Job.model_validate(values)


def found(canaries: Canaries) -> str:
    """Return what was found since the last time, which would otherwise fail this test."""
    leaks, canaries.leaks = canaries.leaks, []
    return "\n".join(leaks)


class Talking(HttpProvider):
    """A provider that shows its key."""

    name = "talking"
    base_url = "https://a.test"

    def __repr__(self) -> str:
        return f"Talking({self._key.reveal()})"


def raise_with_cause() -> None:
    with pytest.raises(MediaError):
        raise MediaError("The call failed.") from ValueError(f"bad header {KEY}")


def raise_with_member() -> None:
    with pytest.raises(MediaError):
        error = MediaError("The call failed.")
        error.details = {"headers": [KEY]}  # type: ignore[attr-defined]
        raise error


def log_an_error() -> None:
    try:
        raise ValueError(SIGNED)  # noqa: TRY301 - it is raised to be logged
    except ValueError:
        logging.getLogger("aifs_media.jobs").exception("it failed")


def tell() -> None:
    row = _row.JobRow(job(), ledger=MemoryLedger(), clock=SystemClock(), on_event=None)
    row.tell(events.Failed, code="x", message=f"at {SIGNED}")


@pytest.mark.parametrize(
    ("leak", "where"),
    [
        (lambda: logging.getLogger("aifs_media.jobs").debug("sent with %s", KEY), "log record of aifs_media.jobs"),
        (lambda: logging.getLogger("aifs_media.jobs").info("sent", extra={"url": SIGNED}), "log record"),
        (lambda: logging.getLogger("httpx").info("GET %s", SIGNED), "log record of httpx"),
        (log_an_error, "ValueError"),
        (lambda: MediaError(f"refused {KEY}"), "MediaError.message"),
        (lambda: MediaError("refused", hint=SIGNED), "MediaError.hint"),
        (raise_with_cause, "ValueError"),
        (raise_with_member, "pickled media_error"),
        (tell, "event Failed"),
        (lambda: Talking(api_key=KEY), "repr"),
    ],
)
def test_a_leak_is_found(canaries: Canaries, leak: Callable[[], object], where: str) -> None:
    """Each of the places is looked at."""
    Secret(KEY)
    leak()
    assert where in found(canaries)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("row", "leaks"),
    [
        (job(), False),
        (job("stored"), True),
        (job("stored", attempts=(), parts=(Part(index=0, error=f"HTTP 404 at {SIGNED}"),)), True),
        (job(parts=(Part(index=0, error=f"HTTP 404 at {SIGNED}"),)), True),
        (job(warnings=(f"the key {KEY}",)), True),
        (job("stored", attempts=(), parts=()), False),
    ],
)
async def test_rows_are_looked_at(canaries: Canaries, row: Job, *, leaks: bool) -> None:
    """Outputs and handles of an unfinished row may be signed; nothing else, and nothing of a job that has ended."""
    Secret(KEY)
    await MemoryLedger().create_or_load(row)
    assert bool(found(canaries)) is leaks


def test_an_error_may_hold_an_unfinished_job(canaries: Canaries) -> None:
    """Whoever goes on with it needs the addresses."""
    with pytest.raises(JobError):
        raise JobError("The wait ran out.", job=job())
    assert not found(canaries)


def test_a_key_too_short_to_be_found_is_refused(canaries: Canaries) -> None:
    """A test with such a key would prove nothing."""
    Secret("short")
    assert "use canaries.KEY" in found(canaries)


def test_the_test_with_the_leak_fails(tmp_path: Path) -> None:
    """In a process of its own, with nothing but the detector."""
    path = tmp_path / "test_leak.py"
    path.write_text(
        "import logging\n"
        "from aifs_media._secrets import Secret\n"
        f"def test_quiet():\n    Secret({KEY!r})\n"
        f"def test_leak():\n    Secret({KEY!r})\n    logging.getLogger('aifs_media').debug({KEY!r})\n"
    )
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.canaries",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:randomly",
    ]
    done = subprocess.run([*command, "-c", "/dev/null", str(path)], capture_output=True, text=True, check=False)
    assert "2 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "a log record of aifs_media holds" in done.stdout
