"""What the system saw of a process, with the seams that it was between at that moment."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SHOWN = (
    "connect", "sendto", "sendmsg", "sendmmsg", "sendfile", "splice", "write", "writev", "pwrite64", "pwritev", "pwritev2",
    "openat", "open", "creat", "fsync", "fdatasync", "sync_file_range", "msync", "ftruncate", "truncate", "fallocate",
    "rename", "renameat", "renameat2", "unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "link", "linkat", "symlink", "symlinkat",
    "io_uring_enter",
)  # fmt: skip
# A `?` before a name: one that this machine does not have is no mistake.
STRACE = ("strace", "-f", "-yy", "-s", "80", "-e", f"trace={','.join(f'?{name}' for name in SHOWN)}")
"""Shows calls that send or change something, with the file or the connection behind each descriptor."""

CALL = re.compile(r"(?P<pid>\d+) +(?P<name>\w+)\((?P<rest>.*)")
SEAM = re.compile(r'write\(\d+<[^>]*/trace>, "(?P<name>[\w.]+)\.(?P<moment>before|after)#\d+\\n"')
PATH = re.compile(r'[<"](?P<path>/[^>"]*)[>"]')
PEER = re.compile(r"->127\.0\.0\.1:(?P<port>\d+)\]>|sin_port=htons\((?P<to>\d+)\)")
DESCRIPTOR = re.compile(r"\d+(?=<)")
READING = re.compile(r"open(at)?\((?!.*O_(WRONLY|RDWR|CREAT))")
POSTGRES = ".s.PGSQL."


@dataclass(frozen=True)
class Contact:
    """A system call that reached the world: which part of it, and the calls of ours that were open meanwhile, in any thread."""

    target: str
    call: str
    between: frozenset[str]

    def is_noted_without(self, call: str = "") -> bool:
        """Whether it happened inside a call, other than the one named, that may do it: kills are tried right before and after."""
        return any(may_do(name, self.target) for name in self.between if name != call)


def may_do(name: str, target: str) -> bool:
    """Whether a call, named `port.verb`, is one that touches that part of the world itself, not one around it."""
    port, _, verb = name.partition(".")
    match target:
        case "ledger":
            return verb in {"commit", "close"} and port == "ledger"
        case "new ledger" | "server of the ledger":
            return port == "ledger"
        case "folder" | "bucket":
            return port == "storage" and verb not in {"put", "url", "discard_partial"}
        case "delivery":
            return name == "file.open"
        case "provider":
            # Poe hands out the files of its video jobs at the address of its API.
            return port == "provider" or name == "file.open"
        case _:
            return port == target


def contacts(lines: Iterable[str], *, forker: int, folder: str, ports: Mapping[int, str]) -> Iterator[Contact]:
    """Read what strace wrote of a process and its copy.

    Args:
        lines: the lines.
        forker: the process id of the one that only forks.
        folder: the case's folder: files elsewhere are none of the job's.
        ports: the parts of the world by their port on this machine.
    """
    between: Counter[str] = Counter()
    clock = ""
    committed = False
    connected: dict[str, Contact] = {}
    for line in lines:
        call = CALL.match(line)
        if call is None or int(call["pid"]) == forker:
            continue
        if seam := SEAM.search(line):
            between[seam["name"]] += 1 if seam["moment"] == "before" else -1
            committed = committed or (seam["name"], seam["moment"]) == ("ledger.commit", "after")
            continue
        descriptor = found[0] if (found := DESCRIPTOR.match(call["rest"])) else ""
        if "POST /_clock " in line:
            # The emulator's clock is no part of the world; its connection was made before.
            clock = descriptor
            connected.pop(clock, None)
        if READING.search(line) or (clock and descriptor == clock):
            continue
        target = _target(line, folder, ports, committed=committed)
        if target:
            contact = Contact(target, line.strip(), frozenset(+between))
            if call["name"] == "connect":
                # Told when it is used, since only then it is known not to be the clock's.
                connected[descriptor] = contact
                continue
            if descriptor in connected:
                yield connected.pop(descriptor)
            yield contact
    yield from connected.values()


def _target(line: str, folder: str, ports: Mapping[int, str], *, committed: bool) -> str:
    if POSTGRES in line:
        return "server of the ledger"
    if peer := PEER.search(line):
        port = int(peer["port"] or peer["to"])
        return ports.get(port, f"unknown port {port}")
    paths = [found["path"] for found in PATH.finditer(line) if found["path"].startswith(f"{folder}/")]
    if not paths:
        return ""
    name = paths[-1].removeprefix(f"{folder}/")
    if name.startswith("jobs.db"):
        # Opening a new file writes before anything is committed; it is empty for whoever comes next.
        return "ledger" if committed else "new ledger"
    return "folder" if name.startswith("media") else "" if name in {"trace", "output", "result.json"} else name
