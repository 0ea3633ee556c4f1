"""Whatever the size, an asset passes through in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from aifs_media.testing.emulator import Emulator

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.s3 import S3Server

MEBIBYTE = 1024 * 1024
LIMIT = 120
"""MiB above the same process before the download begins."""

# The kernel's own mark: what getrusage tells begins with what the parent held when it started the child.
PEAK = """
import json, sys
import anyio
from aifs_media import MediaGenerator

def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:")) / 1024
"""

CHILD = """

async def main():
    async with MediaGenerator.from_env() as media:
        await media.image("first, so that everything is loaded", model="poe:imagen-4")
        idle = peak()
        asset = await media.video("large", model="poe:kling-v3-pro", timeout=600)
        print(json.dumps({"idle": idle, "peak": peak(), "size": asset.size, "sha256": asset.sha256, "key": asset.object_key}))

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_gibibyte_passes_in_120_mebibytes(s3_server: S3Server, backend: str) -> None:
    """Provider to S3 over TLS, 1 GiB of unknown length: the child's peak stays within the bound."""
    size = 1024 * MEBIBYTE
    with Emulator() as emulator:
        emulator.fault("poe.chat", "big_output", size=size, match="large")
        environ = {
            **os.environ,
            **emulator.settings(),
            "S3_ENDPOINT": s3_server.https,
            "S3_BUCKET": s3_server.bucket,
            "S3_REGION": "us-east-1",
            "S3_ACCESS_KEY_ID": s3_server.keys.access_key_id,
            "S3_SECRET_ACCESS_KEY": s3_server.keys.secret_access_key,
            "S3_CA_BUNDLE": s3_server.certificates.authority,
        }
        done = subprocess.run(
            [sys.executable, "-c", PEAK + CHILD, backend],
            env=environ,
            capture_output=True,
            text=True,
            timeout=580,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    print(f"{backend}: {seen['peak'] - seen['idle']:.0f} MiB above idle for {seen['size'] / MEBIBYTE:.0f} MiB")
    assert seen["size"] == size
    head = s3_server.client().head_object(Bucket=s3_server.bucket, Key=seen["key"])
    assert head["ContentLength"] == size
    s3_server.client().delete_object(Bucket=s3_server.bucket, Key=seen["key"])
    assert seen["peak"] - seen["idle"] <= LIMIT


INLINE = """
async def main():
    async with MediaGenerator.from_env() as media:
        await media.image("first, so that everything is loaded", size="256x256")
        idle = peak()
        assets = await media.images("large", n=8, size="256x256")
        print(json.dumps({"idle": idle, "peak": peak(), "size": sum(asset.size for asset in assets)}))

anyio.run(main, backend=sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_pictures_inside_an_answer_exist_twice_at_most(backend: str, tmp_path: Path) -> None:
    """Eight pictures in one answer of nearly the largest size, to a folder: as they arrived and decoded, and no third time."""
    with Emulator() as emulator:
        emulator.fault("openai.create", "big_output", size=5_800_000, match="large")
        environ = {**os.environ, **emulator.settings(), "IMAGE_PROVIDER": "openai", "MEDIA_LOCAL_DIR": str(tmp_path)}
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PEAK + INLINE, backend],
            env=environ,
            capture_output=True,
            text=True,
            timeout=50,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    print(
        f"{backend}: {seen['peak'] - seen['idle']:.0f} MiB above idle for {seen['size'] / MEBIBYTE:.0f} MiB of pictures"
    )
    assert seen["size"] == 8 * 5_800_000
    assert seen["peak"] - seen["idle"] <= LIMIT
