"""What every test stands on: both event loops, no network beyond loopback, no real waiting, no settings from outside."""

from __future__ import annotations

import ipaddress
import os
import socket
from typing import TYPE_CHECKING

import pytest
import stamina
from tests import evidence

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["tests.canaries", "tests.servers.s3", "tests.servers.postgres"]

SETTINGS_PREFIXES = (
    "AIFS_",
    "AWS_",
    "CLOUDFLARE_",
    "FAL_",
    "IMAGE_",
    "MEDIA_",
    "OPENAI_",
    "POE_",
    "R2_",
    "REPLICATE_",
    "RUNWAY",
    "S3_",
    "STABILITY_",
    "TEXT_",
    "VIDEO_",
)
PROXY_NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a person ask for what takes half an hour."""
    parser.addoption(
        "--every-pair",
        action="store_true",
        help="kill twice at every pair of seams, also where the first kill is like another",
    )


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    """Run every async test on both event loops."""
    return str(request.param)


@pytest.fixture(autouse=True)
def _clean_environment(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "live" in request.keywords:
        return
    for name in list(os.environ):
        if name.startswith(SETTINGS_PREFIXES) or name.upper() in PROXY_NAMES:
            monkeypatch.delenv(name)
    # boto3 would otherwise ask a metadata address, and read a person's own credentials.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)


@pytest.fixture(autouse=True)
def _loopback_only(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test can leave this machine, so none can spend."""
    if "live" in request.keywords:
        return
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def check(address: object) -> None:
        if isinstance(address, tuple):
            host = str(address[0])
            if not ipaddress.ip_address(host.partition("%")[0]).is_loopback:
                pytest.fail(f"a test tried to connect to {host}")

    def guarded_connect(self: socket.socket, address: object) -> object:
        check(address)
        return connect(self, address)  # type: ignore[arg-type]

    def guarded_connect_ex(self: socket.socket, address: object) -> object:
        check(address)
        return connect_ex(self, address)  # type: ignore[arg-type]

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)


@pytest.fixture(autouse=True)
def _no_waiting_between_retries() -> Iterator[None]:
    with stamina.set_testing(True, attempts=3, cap=True):
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what costs money or minutes unless it is asked for by name."""
    wanted = str(config.getoption("-m"))
    for item in items:
        for mark in ("live", "slow"):
            if mark in item.keywords and mark not in wanted:
                item.add_marker(pytest.mark.skip(reason=f"runs with -m {mark}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many tests ran on trio, and how whole the providers are by what was run."""
    number = sum("trio" in report.nodeid for report in terminalreporter.stats.get("passed", []))
    terminalreporter.write_line(f"{number} passed tests ran on trio")
    outcomes: dict[str, set[str]] = {}
    for outcome in ("passed", "failed"):
        for report in terminalreporter.stats.get(outcome, []):
            test = report.nodeid.partition("[")[0].removeprefix("tests/")
            outcomes.setdefault(test, set()).add(outcome)
    for line in evidence.summary(outcomes) if len(outcomes) > 1 else ():
        terminalreporter.write_line(line)
