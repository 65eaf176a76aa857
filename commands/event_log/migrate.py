"""Brings a database's schemas ``owl_log`` and ``owl_private`` to the version of this program.

Each numbered file in ``migrations/`` runs once, in a transaction of its own together with its
row in ``owl_log.migrations``. Several processes may do this at once. Works on PostgreSQL 15–18.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files

import psycopg
from msgspec import Struct

LOCK = "SELECT pg_advisory_lock(7305068, 3)"
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
    """
    # the session's end gives the lock back, whatever happens in between
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(LOCK)
        connection.execute(PREPARE)
        applied: dict[int, bytes] = dict(connection.execute(APPLIED).fetchall())
        for migration in known_migrations():
            digest = applied.get(migration.number)
            if digest is None:
                with connection.transaction():
                    connection.execute(migration.sql.encode())
                    row = (migration.number, migration.name, migration.digest)
                    connection.execute(NOTE, row)
            elif digest != migration.digest:
                raise MigrationChanged(migration.name)


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
