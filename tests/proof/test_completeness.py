"""The seams are all there is: whatever the system saw a process do to the world happened between a seam's before and its after.

What neither way of looking can tell: which task of the process made a call (a call beside another's open seam counts as inside it),
writes to memory that is mapped from a file (SQLite's `-shm`, which is no data), and what a library might do in the kernel
without a call (`io_uring` would show by its name). strace sees sends, writes and syncs; Python's own audit events see connections,
files opened to write, renames and removals, and no sends.
"""

from __future__ import annotations

import shutil
from collections import Counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from tests.proof.cases import Bucket, Folder, SqliteLedgers, Worlds
from tests.proof.enumeration import EFFECTS
from tests.proof.processes import Zygote
from tests.proof.watching import STRACE, Contact, contacts

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.s3 import S3Server

PORT_OF_EVENT = {
    "sqlite3.connect": "ledger", "open": "storage", "os.rename": "storage", "os.remove": "storage", "os.mkdir": "storage",
}  # fmt: skip


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("name", ["image", "film"])
def test_python_saw_nothing_else(worlds: Worlds, name: str, backend: str) -> None:
    """Connections, files opened to write, renames and removals, as `sys.addaudithook` tells of them."""
    with worlds.case(name) as case:
        run = case.start("make", backend=backend, watched=True)
        assert case.note(run) == 0, case.output
        api, delivery = (urlsplit(url).port for url in (case.emulator.base_url, case.emulator.delivery_url))
    ports = {f"127.0.0.1:{api}": "provider", f"127.0.0.1:{delivery}": "file"}
    between: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    for line in case.traces[0]:
        if line.endswith("/result.json"):
            # The test's own, written when all is over.
            continue
        if line.startswith("! "):
            _, event, target = line.split(" ", 2)
            port = ports[target] if event == "socket.connect" else PORT_OF_EVENT[event]
            assert any(call.startswith(f"{port}.") for call in +between), f"{line} between {dict(+between)}"
            seen[event] += 1
        else:
            call, _, moment = line.partition("#")[0].rpartition(".")
            between[call] += 1 if moment == "before" else -1
    print(dict(seen))
    assert {"socket.connect", "open", "os.rename", "os.mkdir", "sqlite3.connect"} <= seen.keys()


def seen_by_strace(
    tmp_path: Path, name: str, backend: str, s3_server: S3Server | None
) -> tuple[list[Contact], set[str]]:
    """Run one job under strace; return its contacts, and which of its calls are said to change the world."""
    if shutil.which(STRACE[0]) is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "strace"
    place = Folder() if s3_server is None else Bucket(s3_server)
    with Zygote([*STRACE, "-o", str(log)]) as zygote:
        with Worlds(zygote, tmp_path, place, SqliteLedgers()).case(name) as case:
            run = case.start("make", backend=backend)
            assert case.note(run) == 0, case.output
            api, delivery = (urlsplit(url).port or 0 for url in (case.emulator.base_url, case.emulator.delivery_url))
        lines = log.read_text().splitlines()
    forker = int(lines[0].split()[0])
    ports = {api: "provider", delivery: "delivery"}
    if s3_server is not None:
        ports[urlsplit(s3_server.https).port or 0] = "bucket"
    found = list(contacts(lines, forker=forker, folder=str(case.folder), ports=ports))
    passed = {label.partition("#")[0].rpartition(".")[0] for label in case.traces[0]}
    return found, passed & EFFECTS


def every_effect_is_one(found: list[Contact], effects: set[str]) -> None:
    """Seen the other way, which also shows that the check can fail: without any one of these seams, something is not explained."""
    for effect in sorted(effects):
        left = [contact for contact in found if not contact.is_noted_without(effect)]
        assert left, f"{effect} is called an effect, and nothing was seen to happen in it"


def check(found: list[Contact]) -> None:
    """Every contact happened inside a call that may make it."""
    print(dict(Counter(contact.target for contact in found)))
    unnoted = [contact for contact in found if not contact.is_noted_without()]
    assert not unnoted, "\n".join(f"{contact.call} between {sorted(contact.between)}" for contact in unnoted)


@pytest.mark.timeout(120)
def test_the_system_saw_nothing_else(tmp_path: Path) -> None:
    """An image into a folder: every send, write, sync and rename."""
    found, effects = seen_by_strace(tmp_path, "image", "trio", None)
    check(found)
    every_effect_is_one(found, effects)
    assert {"ledger", "new ledger", "provider", "delivery", "folder"} == {contact.target for contact in found}


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
@pytest.mark.parametrize("name", ["image", "two images", "film", "chat", "videos"])
def test_the_system_saw_nothing_else_of_any_job(tmp_path: Path, name: str, backend: str) -> None:
    """Every kind of job into a folder."""
    # Two outputs are stored side by side, so that here the seams of one may explain what the other did.
    found, _ = seen_by_strace(tmp_path, name, backend, None)
    check(found)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", ["film", "long film"])
def test_the_system_saw_nothing_else_on_the_way_to_s3(tmp_path: Path, s3_server: S3Server, name: str) -> None:
    """Into a bucket, in one request and in parts."""
    found, effects = seen_by_strace(tmp_path, name, "asyncio", s3_server)
    check(found)
    every_effect_is_one(found, effects)
    assert "bucket" in {contact.target for contact in found}
