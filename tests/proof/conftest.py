"""Processes to kill, and the places where their jobs leave something."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.proof.cases import Bucket, Folder, PostgresLedgers, SqliteLedgers, Worlds
from tests.proof.processes import Zygote

from aifs_media.testing.emulator.outputs import Picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.s3 import S3Server


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """The process that forks those that are killed."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    with Zygote() as process:
        yield process


@pytest.fixture(autouse=True)
def _drawn_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The emulator draws one picture of each kind for all jobs: what it shows does not matter here, and takes most of the time."""
    draw, drawn = Picture.encode, DRAWN

    def encode(picture: Picture) -> bytes:
        kind = (picture.width, picture.height, picture.format, picture.frames)
        if kind not in drawn:
            drawn[kind] = draw(picture)
        return drawn[kind]

    monkeypatch.setattr(Picture, "encode", encode)


DRAWN: dict[tuple[object, ...], bytes] = {}


@pytest.fixture
def worlds(zygote: Zygote, tmp_path: Path) -> Worlds:
    """Jobs recorded in SQLite and stored in a folder."""
    return Worlds(zygote, tmp_path, Folder(), SqliteLedgers())


@pytest.fixture
def s3_worlds(zygote: Zygote, tmp_path: Path, s3_server: S3Server) -> Worlds:
    """Jobs recorded in SQLite and stored in a real S3 server over TLS."""
    return Worlds(zygote, tmp_path, Bucket(s3_server), SqliteLedgers())


@pytest.fixture
def postgres_worlds(zygote: Zygote, tmp_path: Path, postgres_server: str) -> Worlds:
    """Jobs recorded in a real PostgreSQL server and stored in a folder."""
    return Worlds(zygote, tmp_path, Folder(), PostgresLedgers(postgres_server))
