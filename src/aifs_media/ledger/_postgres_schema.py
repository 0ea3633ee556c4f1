"""The tables of the PostgreSQL ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aifs_media.errors import ConfigurationError

if TYPE_CHECKING:
    import psycopg

SCHEMA_VERSION = 1
CREATION_LOCK = 0x61696673  # any number that is ours; held while the tables are made
# An update changes nothing that an index holds until the job is done, and finds room for the new row beside the old one: then
# PostgreSQL leaves the indexes alone. Names sort by their bytes, as in the other ledgers, whatever language the database is set to.
SCHEMA = (
    """
    create table aifs_media_jobs (
        namespace text collate "C" not null,
        job_id text collate "C" not null,
        format integer not null,
        version bigint not null,
        stage text not null,
        done boolean not null,
        tags text[] not null,
        created_at timestamptz not null,
        changed_at timestamptz not null,
        expires_at timestamptz,
        lease_owner text,
        lease_fence bigint not null default 0,
        lease_expires_at timestamptz,
        held text not null,
        body text not null,
        primary key (namespace, job_id)
    ) with (fillfactor = 50)
    """,
    "create index on aifs_media_jobs (created_at) where not done",
    "create index on aifs_media_jobs (created_at)",
    "create index on aifs_media_jobs (changed_at) where done",
    "create index on aifs_media_jobs using gin (tags)",
    """
    create table aifs_media_refs (
        provider text not null,
        ref text not null,
        namespace text collate "C" not null,
        job_id text collate "C" not null,
        primary key (provider, ref)
    )
    """,
    "create index on aifs_media_refs (namespace, job_id)",
    "create table aifs_media_deliveries (delivery_id text primary key, claimed_at timestamptz not null)",
    "create index on aifs_media_deliveries (claimed_at)",
    "create table aifs_media_schema (version integer not null)",
)


def prepare(connection: psycopg.Connection) -> None:
    """Make the tables where there are none yet. Raises ConfigurationError if a newer version made them."""
    version = _version(connection)
    if version is None:
        with connection.transaction():
            connection.execute("select pg_advisory_xact_lock(%s)", [CREATION_LOCK])
            version = _version(connection)
            if version is None:
                for statement in SCHEMA:
                    connection.execute(statement)
                connection.execute("insert into aifs_media_schema (version) values (%s)", [SCHEMA_VERSION])
                version = SCHEMA_VERSION
    if version > SCHEMA_VERSION:
        raise ConfigurationError(
            "The tables of the PostgreSQL ledger were made by a newer version of aifs-media "
            f"(schema {version}; this one knows {SCHEMA_VERSION}).",
            hint="Update aifs-media in this process too.",
        )


def _version(connection: psycopg.Connection) -> int | None:
    found = connection.execute("select to_regclass('aifs_media_schema')").fetchone()
    if found is None or found[0] is None:
        return None
    row = connection.execute("select max(version) from aifs_media_schema").fetchone()
    return None if row is None else int(row[0])
