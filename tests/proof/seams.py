"""Names for every contact that a process has with the world, and a death at any of them.

A seam is called `port.verb.before` or `port.verb.after`, with its number among those of that name: `ledger.commit.after#3`. The
ports are the ledger, the provider's HTTP, the download of files, and the storage. They are put around methods from outside, and a
call inside a call gives seams inside seams: `ledger.update.before`, `ledger.commit.before`, `ledger.commit.after`, ...
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import os
import signal
import sqlite3
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import botocore.client
import httpx
import psycopg
from botocore import xform_name

from aifs_media._files import FileAnswer, FileClient
from aifs_media.ledger.postgres import PostgresLedger
from aifs_media.ledger.sqlite import SqliteLedger
from aifs_media.storage import local
from aifs_media.storage.local import LocalStorage
from aifs_media.storage.s3 import S3Storage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

LEDGER_CALLS = (
    "create_or_load", "load", "update", "find_by_ref", "unfinished", "search", "acquire", "renew", "release", "aclose",
)  # fmt: skip
STORAGE_CALLS = ("put", "url", "discard_partial")


CONTACTS: dict[str, Callable[..., str]] = {
    "socket.connect": lambda _socket, address: ":".join(map(str, address)),
    "open": lambda path, _mode, flags: str(path) if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT) else "",
    "os.rename": lambda _source, target, *_: str(target),
    "os.remove": lambda path, *_: str(path),
    "os.mkdir": lambda path, *_: str(path),
    "sqlite3.connect": str,
}
"""The events of `sys.addaudithook` that are contacts with the world, and what they touch."""


class Connection(sqlite3.Connection):
    """Python's own, with a place for seams."""


class Seams:
    """Notes each seam in a file that outlives the process, and kills the process at one of them.

    Args:
        trace: path of the file, one name a line.
        kill_at: the seam to die at; empty for none.
    """

    def __init__(self, trace: str, kill_at: str) -> None:
        self._trace = os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._kill_at = kill_at
        self._passed: Counter[str] = Counter()
        # Parts of an upload and commits pass in worker threads.
        self._lock = threading.Lock()

    def reach(self, name: str) -> None:
        """Pass a seam, or die there."""
        with self._lock:
            self._passed[name] += 1
            label = f"{name}#{self._passed[name]}"
            os.write(self._trace, f"{label}\n".encode())
            if label == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, folder: str) -> None:
        """Note among the seams what Python itself tells of contacts with the world: `! event`."""

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            told = CONTACTS.get(event)
            target = told(*arguments) if told else ""
            if target.startswith((folder, "127.0.0.1:")):
                os.write(self._trace, f"! {event} {target}\n".encode())

        sys.addaudithook(hook)

    def around(self, owner: Any, method: str, port: str, verb: str | Callable[..., str] = "") -> None:
        """Put seams around a coroutine method or a function. `verb` may be computed from its arguments; empty for no seam."""
        inner = getattr(owner, method)
        verb = verb or method

        def name_of(arguments: tuple[Any, ...]) -> str:
            word = verb if isinstance(verb, str) else verb(*arguments)
            return word and f"{port}.{word}"

        @functools.wraps(inner)
        async def later(*arguments: Any, **options: Any) -> Any:
            with self._between(name_of(arguments)):
                return await inner(*arguments, **options)

        @functools.wraps(inner)
        def now(*arguments: Any, **options: Any) -> Any:
            with self._between(name_of(arguments)):
                return inner(*arguments, **options)

        setattr(owner, method, later if inspect.iscoroutinefunction(inner) else now)

    @contextlib.contextmanager
    def _between(self, name: str) -> Iterator[None]:
        if name:
            self.reach(f"{name}.before")
        try:
            yield
        finally:
            if name:
                self.reach(f"{name}.after")

    def install(self) -> None:
        """Put seams around everything that touches the world. Only a process that does nothing else may call this."""
        for ledger in (SqliteLedger, PostgresLedger):
            for method in LEDGER_CALLS:
                self.around(ledger, method, "ledger", "close" if method == "aclose" else method)
        sqlite3.connect = functools.partial(sqlite3.connect, factory=Connection)
        for connection in (Connection, psycopg.Connection):
            self.around(connection, "execute", "ledger", lambda _self, sql, *_: "commit" if sql == "commit" else "")
        self.around(httpx.AsyncClient, "send", "provider", lambda _self, request: request.method.lower())
        self.around(FileClient, "open", "file")
        self.around(FileAnswer, "read", "file")
        for storage in (LocalStorage, S3Storage):
            for method in STORAGE_CALLS:
                self.around(storage, method, "storage")
        self.around(LocalStorage, "preflight", "storage")
        self.around(local._PartialFile, "__init__", "storage", "create")
        self.around(local._PartialFile, "write", "storage")
        self.around(os, "fsync", "storage")
        self.around(Path, "replace", "storage", "rename")
        self.around(Path, "unlink", "storage")
        self.around(botocore.client.BaseClient, "_make_api_call", "storage", lambda _self, name, *_: xform_name(name))
