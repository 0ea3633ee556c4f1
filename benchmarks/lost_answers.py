"""What clients do when the answer to a paid create is lost: PyPI's clients and ours, against one faulty server.

    nox -s lost_answers
    python benchmarks/lost_answers.py [--only aifs-media] [--venvs FOLDER]

Each client runs unchanged, in an environment of its own with its own dependencies, pointed at the server by the setting that its
documentation names (`clients/use_*.py`). The fault strikes one answer; the next request is served normally. Counted by the
server: creates it accepted for one call, cancels it was sent after the caller's task was cancelled, and whether a fresh process gets
the media back after SIGKILL.

Ends with 1 if ours accepts more than one create, sends no cancel, or does not get the media back.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from faulty_server import SLOW, FaultyServer

if TYPE_CHECKING:
    import ssl

    from faulty_server import Fault

HERE = Path(__file__).parent
SHORT, LONG = 1.0, 30.0  # the client's own limit of time, in seconds, where it is meant to run out and where not
OURS = "aifs-media"


@dataclass(frozen=True)
class Client:
    """One row of the table."""

    name: str
    file: str
    requirements: tuple[str, ...]
    note: str
    environ: dict[str, str] = field(default_factory=dict, hash=False)
    needs_https: bool = False


NO_RETRIES = {"RETRIES": "0"}
CLIENTS = (
    Client("replicate 1.0.7", "use_replicate_1.py", ("replicate==1.0.7",), "repeats reads only. predictions.list() shows the lost job; which one it is, the caller finds out"),
    Client("replicate 2.0.0b4", "use_replicate_2.py", ("replicate==2.0.0b4",), "max_retries is 2 by default. predictions.list() as above"),
    Client("  max_retries=0", "use_replicate_2.py", ("replicate==2.0.0b4",), "the same client with that setting", NO_RETRIES),
    Client("fal-client", "use_fal.py", ("fal-client",), "no setting for the number of tries; start_timeout= and client_timeout= turn the repeats after a time-out off, and client_timeout= cancels at fal when it runs out. No list of requests"),
    Client("openai", "use_openai.py", ("openai",), "videos.create_and_poll. max_retries is 2 by default. videos.list() shows the lost job. DELETE is what cancels"),
    Client("  max_retries=0", "use_openai.py", ("openai",), "the same client with that setting", NO_RETRIES),
    Client("runwayml", "use_runway.py", ("runwayml",), "max_retries is 2 by default. No list of tasks. DELETE is what cancels"),
    Client("  max_retries=0", "use_runway.py", ("runwayml",), "the same client with that setting", NO_RETRIES),
    Client("genblaze + replicate", "use_genblaze.py", ("genblaze", "genblaze-replicate"), "on top of replicate 1.x. on_submit tells the id to a caller that keeps it; aresume(id) goes on. replicate below it has a list, and gives its creates no time-out where wait= is not asked for", needs_https=True),
    Client(OURS, "use_aifs_media.py", (), "SQLite ledger, on_cancel=\"cancel\" (with this ledger the default is to detach). The create's own time-out is no option; timeout= is the wait for the media"),
)  # fmt: skip


def python_of(client: Client, venvs: Path) -> str:
    """Return the interpreter of a client's own environment, made on first use."""
    if not client.requirements:
        return sys.executable
    folder = venvs / "-".join(client.requirements).replace("==", "-")
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *client.requirements], check=True)
        (folder / "ready").touch()
    return str(python)


class Bench:
    """One client and a server of its own."""

    def __init__(self, client: Client, python: str, server: FaultyServer, folder: Path, authority: Path) -> None:
        self._client, self._python, self._server, self._folder = client, python, server, folder
        self._environ = {
            **{name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
            "PYTHONPATH": "",
            "SERVER": server.url,
            "FAL_QUEUE_RUN_HOST": server.tls_host,
            "FAL_RUN_HOST": server.tls_host,
            "SSL_CERT_FILE": str(authority),
            "REPLICATE_BASE_URL": f"{server.url}/replicate",
            "REPLICATE_POLL_INTERVAL": "0.2",
            **client.environ,
        }
        self.ends: dict[str, str] = {}

    def _start(self, step: str, folder: Path, limit: float) -> subprocess.Popen[str]:
        folder.mkdir(exist_ok=True)
        return subprocess.Popen(
            [self._python, str(HERE / "clients" / self._client.file), step],
            env={**self._environ, "FOLDER": str(folder), "TIMEOUT": str(limit)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _said(self, child: subprocess.Popen[str]) -> dict[str, Any]:
        out, errors = child.communicate(timeout=180)
        lines = [line for line in out.splitlines() if line.startswith("{")]
        if not lines:
            raise SystemExit(f"{self._client.name} said nothing: {errors[-2000:]}")
        said: dict[str, Any] = json.loads(lines[-1])
        return said

    def creates(self, fault: Fault) -> int:
        """Return how many creates one call makes when its first one's answer suffers this."""
        self._server.begin(fault, finishing=True)
        said = self._said(self._start("call", self._folder / fault, SHORT if fault == "slow" else LONG))
        self.ends[fault] = said["ended"]
        return len(self._server.jobs)

    def cancels(self) -> int:
        """Return how many cancels reach the provider after the waiting task was cancelled."""
        self._server.begin("none", finishing=False)
        folder = self._folder / "cancel"
        child = self._start("cancel", folder, LONG)
        if not self._server.polled.wait(60):
            raise SystemExit(f"{self._client.name} never asked how its job stands: {child.communicate()}")
        (folder / "polled").touch()
        self._said(child)
        return self._server.cancels

    def recovered(self, *, answered: bool) -> tuple[dict[str, int], int]:
        """Kill the process after its create was accepted, before or after it knows; return what a fresh one gets back."""
        self._server.begin("none" if answered else "hold", finishing=False)
        folder = self._folder / f"kill-{answered}"
        child = self._start("work", folder, LONG)
        event = self._server.polled if answered else self._server.accepted
        if not event.wait(60):
            raise SystemExit(f"{self._client.name} did not get that far: {child.communicate()}")
        child.kill()
        child.communicate()
        self._server.finish()
        said = self._said(self._start("restart", folder, LONG))
        if "ended" in said:
            raise SystemExit(f"{self._client.name} failed to restart: {said}")
        return said, len(self._server.jobs)


@dataclass
class Result:
    """One client's figures."""

    creates: dict[str, int]
    ends: dict[str, str]
    cancels: int
    unanswered: dict[str, int]
    answered: dict[str, int]
    creates_after_kill: int


def measure(client: Client, python: str, folder: Path, context: ssl.SSLContext, authority: Path) -> Result:
    """Take a client through everything."""
    with FaultyServer(context) as server:
        if client.needs_https:
            server.files_url = f"https://{server.tls_host}"
        bench = Bench(client, python, server, folder, authority)
        creates = {fault: bench.creates(fault) for fault in ("none", "drop", "500", "502", "slow")}  # type: ignore[arg-type]
        cancels = bench.cancels()
        unanswered, number = bench.recovered(answered=False)
        answered, other = bench.recovered(answered=True)
        return Result(creates, bench.ends, cancels, unanswered, answered, max(number, other))


def got_back(one: dict[str, int]) -> str:
    """Say what came back: by the client itself, and in brackets what the caller gets with the client's calls."""
    by_caller = [f"{way} {one[way]}" for way in ("id", "list") if one[way]]
    return f"{one['client']}" + (f" ({', '.join(by_caller)})" if by_caller and not one["client"] else "")


def show(results: dict[Client, Result]) -> None:
    """Print the table and its notes."""
    print("creates accepted for one call when the first answer is        after SIGKILL, media back")
    print(f"{'':21}{'lost':>6}{'500':>6}{'502':>6}{'late':>6}{'cancels':>9}  {'id unknown':14}{'id known':18}")
    for client, one in results.items():
        counts = "".join(f"{one.creates[fault]:6}" for fault in ("drop", "500", "502", "slow"))
        print(f"{client.name:21}{counts}{one.cancels:9}  {got_back(one.unanswered):14}{got_back(one.answered):18}")
    print(
        textwrap.dedent(f"""
        lost: connection closed without an answer. late: the answer takes {SLOW:g} s, the client's time-out is {SHORT:g} s.
        cancels: sent to the provider after the waiting task was cancelled; 1 stops the bill.
        id unknown: killed while the create's answer was on its way; id known: killed while waiting for the media. The number is
        what the client brings back by itself in a fresh process. In brackets what the caller can fetch: `id`, if he kept the
        id himself when the client told it, `list`, if he looks through the client's list of jobs and knows his own.
        How each call ended (lost / 500 / 502 / late), and notes:""")
    )
    for client, one in results.items():
        ends = " / ".join(one.ends[fault] for fault in ("drop", "500", "502", "slow"))
        print(f"- {client.name.strip()}: {ends}")
        print(textwrap.indent(textwrap.fill(client.note, 118), "    "))


def broken(result: Result) -> list[str]:
    """Return which of our promises this result breaks."""
    wrong = [f"{number} creates when {fault}" for fault, number in result.creates.items() if number != 1]
    if result.cancels < 1:
        wrong.append("no cancel")
    if result.unanswered["client"] != 1 or result.answered["client"] != 1:
        wrong.append("media not recovered")
    if result.creates_after_kill != 1:
        wrong.append("created again after a kill")
    return wrong


def main() -> int:
    """Measure all, print, and judge ours."""
    parser = argparse.ArgumentParser(description="What clients do when the answer to a paid create is lost.")
    parser.add_argument(
        "--venvs", type=Path, default=Path(".nox/lost_answers-clients"), help="where environments are made"
    )
    parser.add_argument("--only", default="", help="clients whose name contains this")
    options = parser.parse_args()
    chosen = [client for client in CLIENTS if options.only in client.name]
    pythons = {client: python_of(client, options.venvs.absolute()) for client in chosen}
    with tempfile.TemporaryDirectory(prefix="aifs-media-lost-") as name, ThreadPoolExecutor(3) as pool:
        folder = Path(name)
        certificates = trustme.CA()
        authority = folder / "authority.pem"
        certificates.cert_pem.write_to_path(str(authority))
        context = server_context(certificates)
        running = {}
        for number, client in enumerate(chosen):
            own = folder / str(number)
            own.mkdir()
            running[client] = pool.submit(measure, client, pythons[client], own, context, authority)
        results = {client: future.result() for client, future in running.items()}
    show(results)
    void = [client.name for client, one in results.items() if (one.creates["none"], one.ends["none"]) != (1, "media")]
    if void:
        print(f"\nVOID: not even an undisturbed call worked with {void}")
        return 1
    wrong = [text for client, one in results.items() if client.name == OURS for text in broken(one)]
    print("\nBROKEN: " + "; ".join(wrong) if wrong else f"\n{OURS}: all bounds hold")
    return 1 if wrong else 0


def server_context(certificates: trustme.CA) -> ssl.SSLContext:
    """Return a context for a server called localhost."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificates.issue_cert("localhost").configure_cert(context)
    return context


if __name__ == "__main__":
    sys.exit(main())
