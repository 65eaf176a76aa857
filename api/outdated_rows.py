"""Rows that another version's folds made: said once at the start, with what brings them on.

A new version builds them by itself; an older one only when it is told to, so that two versions
never build to and fro.
"""

from __future__ import annotations

from typing import Final

import psycopg
from msgspec import Struct

from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprints
from projections.migrate import prepare
from projections.versions import superseded

SEEN: Final = "SELECT read_model, fingerprint FROM owl_read.versions"
KEPT: Final = """
    SELECT read_model, fingerprint FROM owl_read.checkpoints
    WHERE state = 'kept' AND stopped_at IS NULL
"""


class OutdatedRows(Struct, frozen=True, kw_only=True):
    """Read models by what becomes of them: ``left_alone`` ones wait for an order."""

    building: tuple[str, ...] = ()
    to_roll_back: tuple[str, ...] = ()
    to_rebuild: tuple[str, ...] = ()

    @property
    def left_alone(self) -> tuple[str, ...]:
        """Those that nobody builds by itself."""
        return self.to_roll_back + self.to_rebuild

    def sentences(self) -> tuple[str, ...]:
        """What to tell a person; nothing where all rows are this version's."""
        told = []
        if self.building:
            told.append(
                f"the rows of {', '.join(self.building)} are another version's and are built"
                " anew: owl projections status --watch"
            )
        if self.left_alone:
            acts = [f"owl projections rollback {name}" for name in self.to_roll_back]
            if self.to_rebuild:
                acts.append(f"owl projections rebuild {' '.join(self.to_rebuild)}")
            told.append(
                f"the rows of {', '.join(self.left_alone)} are another version's and stand"
                f" still until you order: {'; '.join(acts)}"
            )
        return tuple(told)


def outdated_rows(conninfo: str) -> OutdatedRows:
    """Which there are, by this program's folds."""
    outdated = prepare(conninfo)
    if not outdated:
        return OutdatedRows()
    prints = fingerprints(READ_MODELS)
    with psycopg.connect(conninfo) as connection:
        seen = set(connection.execute(SEEN).fetchall())
        kept = set(connection.execute(KEPT).fetchall())
        others_came_later = superseded(connection, prints)
    # folds that were never here are the newest as soon as a worker with them leads
    alone = [
        name for name in outdated if name in others_came_later and (name, prints[name]) in seen
    ]
    return OutdatedRows(
        building=tuple(name for name in outdated if name not in alone),
        to_roll_back=tuple(name for name in alone if (name, prints[name]) in kept),
        to_rebuild=tuple(name for name in alone if (name, prints[name]) not in kept),
    )
