"""Whose folds run: every worker says so for as long as it lives, by a lock of its session.

Rows can be fed by a program that has the folds which made them, and by no other. A lock that is
shared ends with the worker that holds it, however it ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg

ANNOUNCE: Final = """
    SELECT pg_advisory_lock_shared(hashtext('owl_read.feeders'), hashtext(name || ' ' || print))
    FROM unnest(%(names)s::text[], %(fingerprints)s::text[]) AS mine (name, print)
"""
# of a row with a read model and a fingerprint, which is called ``made``
FED: Final = """
    EXISTS (SELECT FROM pg_locks
        WHERE locktype = 'advisory' AND granted
            AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND classid::bigint = hashtext('owl_read.feeders')::bigint & 4294967295
            AND objid::bigint
                = hashtext(made.read_model || ' ' || made.fingerprint)::bigint & 4294967295)
"""
IS_FED: Final = """
    SELECT {fed}
    FROM (VALUES (%(read_model)s, %(fingerprint)s)) AS made (read_model, fingerprint)
""".replace("{fed}", FED)


def announce(connection: psycopg.Connection[Any], fingerprints: Mapping[str, str]) -> None:
    """A program with these folds, by read model, runs until the connection ends."""
    mine = {"names": list(fingerprints), "fingerprints": list(fingerprints.values())}
    connection.execute(ANNOUNCE, mine)


def is_fed(connection: psycopg.Connection[Any], read_model: str, fingerprint: str) -> bool:
    """Whether a worker that runs has the folds of this fingerprint."""
    made = {"read_model": read_model, "fingerprint": fingerprint}
    row = connection.execute(IS_FED, made).fetchone()
    return row is not None and bool(row[0])
