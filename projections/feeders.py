"""Whose folds run: every worker says so for as long as it lives, by a lock of its session.

Rows can be fed by a program that has the folds which made them, and by no other. A lock that is
shared ends with the worker that holds it, however it ends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import psycopg

from projections.fingerprint import fingerprint
from projections.not_possible import NotPossible
from projections.read_model import ReadModel
from projections.switching import live_of

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


def require_feeders(
    connection: psycopg.Connection[Any], read_models: Sequence[ReadModel]
) -> None:
    """Rows by other folds than the live ones need a worker that feeds them.

    Raises:
        NotPossible: none that runs has these folds.
    """
    for model in read_models:
        made = {"read_model": model.name, "fingerprint": fingerprint(model)}
        if live_of(connection, model).fingerprint == made["fingerprint"]:
            continue
        row = connection.execute(IS_FED, made).fetchone()
        if row is None or not row[0]:
            raise NotPossible(model.name, "nobody_feeds")
