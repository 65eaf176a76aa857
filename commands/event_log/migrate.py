"""Brings a database's schemas ``owl_log`` and ``owl_private`` to the version of this program.

Each numbered file in ``migrations/`` runs once, in a transaction of its own together with its
row in ``owl_log.migrations``. Several processes may do this at once: one does, the others wait
for seconds, then say for whom. Works on PostgreSQL 15–18.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Any

import psycopg
from msgspec import Struct

LOCK = "SELECT pg_advisory_lock(7305068, 3)"
LOCK_TIMEOUT = "SET lock_timeout = '3s'"
HOLDER = """
    SELECT pid, coalesce(nullif(application_name, ''), 'no name'), coalesce(host(client_addr),
        'this machine'), extract(epoch FROM now() - xact_start)::int, left(query, 200)
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND (classid, objid) = (7305068, 3)
        AND pg_locks.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""
PREPARE = """
    CREATE SCHEMA IF NOT EXISTS owl_log;
    CREATE TABLE IF NOT EXISTS owl_log.migrations (
        number integer PRIMARY KEY,
        name text NOT NULL,
        digest bytea NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
    )
"""
APPLIED = "SELECT number, digest FROM owl_log.migrations"
NOTE = "INSERT INTO owl_log.migrations (number, name, digest) VALUES (%s, %s, %s)"


class MigrationChanged(Exception):
    """A migration that this database has run was edited since: write a new one instead."""


class MigrationWaits(psycopg.errors.LockNotAvailable):
    """Somebody holds what a migration needs; the message says who, since when, doing what."""


class Migration(Struct, frozen=True):
    """One file; the number at its front gives the order."""

    number: int
    name: str
    sql: str

    @property
    def digest(self) -> bytes:
        """What tells an edited file from the one that ran."""
        return hashlib.sha256(self.sql.encode()).digest()


def migrate(conninfo: str) -> None:
    """Run the migrations that this database lacks.

    Raises:
        MigrationChanged: one that it has was edited.
        MigrationWaits: another process migrates, or holds a table; nothing is half done.
    """
    # the session's end gives the lock back, whatever happens in between
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(LOCK_TIMEOUT)
        try:
            connection.execute(LOCK)
        except psycopg.errors.LockNotAvailable as error:
            raise MigrationWaits(_who_migrates(connection)) from error
        connection.execute(PREPARE)
        applied: dict[int, bytes] = dict(connection.execute(APPLIED).fetchall())
        for migration in known_migrations():
            digest = applied.get(migration.number)
            if digest is None:
                _run(connection, migration)
            elif digest != migration.digest:
                raise MigrationChanged(migration.name)


def _run(connection: psycopg.Connection[Any], migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.sql.encode())
            row = (migration.number, migration.name, migration.digest)
            connection.execute(NOTE, row)
    except psycopg.errors.LockNotAvailable as error:
        why = f"migration {migration.name} waits for a table that another session holds"
        raise MigrationWaits(f"{why}: pg_stat_activity says which") from error


def _who_migrates(connection: psycopg.Connection[Any]) -> str:
    row = connection.execute(HOLDER).fetchone()
    if row is None:
        return "another process was migrating the database until just now"
    pid, name, host, seconds, query = row
    since = "" if seconds is None else f" for {seconds} s"
    return (
        f"another process is migrating the database: session {pid} ({name}, from {host}) is at"
        f" it{since}, last with {' '.join(query.split())!r}; if it is stuck,"
        f" SELECT pg_terminate_backend({pid}) ends it and loses nothing"
    )


def known_migrations() -> list[Migration]:
    """This program's migrations, in order."""
    found = [
        Migration(int(file.name.partition("_")[0]), file.name, file.read_text("utf-8"))
        for file in (files("commands.event_log") / "migrations").iterdir()
        if file.name.endswith(".sql")
    ]
    found.sort(key=lambda migration: migration.number)
    numbers = [migration.number for migration in found]
    assert numbers == list(range(1, len(found) + 1)), "one file for each number"
    return found
