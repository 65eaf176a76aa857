"""Which folds of a read model are the newest: the ones that came last, or were last ordered.

Two versions of the program may run at once while one is deployed. Each takes the other's rows
for outdated; only the newer one acts on that, so that rows are never built to and fro.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import psycopg

# what queries see was there before any worker of this version
SEE_LIVE: Final = """
    INSERT INTO owl_read.versions (read_model, fingerprint)
    SELECT read_model, fingerprint FROM owl_read.checkpoints WHERE state = 'live'
    ON CONFLICT DO NOTHING
"""
SEE: Final = """
    INSERT INTO owl_read.versions (read_model, fingerprint)
    SELECT * FROM unnest(%(names)s::text[], %(fingerprints)s::text[])
    ON CONFLICT DO NOTHING
"""
WANT: Final = """
    INSERT INTO owl_read.versions (read_model, fingerprint)
    VALUES (%(read_model)s, %(fingerprint)s)
    ON CONFLICT (read_model, fingerprint) DO UPDATE SET number = EXCLUDED.number
"""
NEWEST: Final = """
    SELECT DISTINCT ON (read_model) read_model, fingerprint FROM owl_read.versions
    ORDER BY read_model, number DESC
"""


def see(connection: psycopg.Connection[Any], fingerprints: Mapping[str, str]) -> None:
    """A worker with these folds, by read model, leads; if that is news, they are the newest."""
    connection.execute(SEE_LIVE)
    given = {"names": list(fingerprints), "fingerprints": list(fingerprints.values())}
    connection.execute(SEE, given)


def want(connection: psycopg.Connection[Any], read_model: str, fingerprint: str) -> None:
    """An operator wants rows by these folds, be they ever so old."""
    connection.execute(SEE_LIVE)
    connection.execute(WANT, {"read_model": read_model, "fingerprint": fingerprint})


def superseded(
    connection: psycopg.Connection[Any], fingerprints: Mapping[str, str]
) -> frozenset[str]:
    """The read models of which other folds came later than these, or were ordered."""
    newest: dict[str, str] = dict(connection.execute(NEWEST).fetchall())
    return frozenset(
        name for name, mine in fingerprints.items() if newest.get(name, mine) != mine
    )
