"""Lets queries see another generation, in one commit; and the way back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

from projections.building import drop_schema
from projections.migrate import point_views
from projections.read_model import ReadModel
from projections.statements import schema_of

LIVE: Final = """
    SELECT generation, fingerprint, position, stopped_at IS NOT NULL AS stopped
    FROM owl_read.checkpoints WHERE read_model = %(read_model)s AND state = 'live'
"""
LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '5s'"
NO_APPEND: Final = "SELECT pg_advisory_xact_lock(%s, %s)"
HOLD_LIVE: Final = LIVE + "FOR UPDATE"
DROP_KEPT: Final = """
    DELETE FROM owl_read.checkpoints
    WHERE read_model = %(read_model)s AND state = 'kept' AND generation <> %(but)s
    RETURNING generation
"""
KEEP: Final = """
    UPDATE owl_read.checkpoints SET state = 'kept', updated_at = now()
    WHERE read_model = %(read_model)s AND state = 'live'
"""
SHOW: Final = """
    UPDATE owl_read.checkpoints SET state = 'live', updated_at = now()
    WHERE read_model = %(read_model)s AND generation = %(generation)s
"""


class Live(Struct, frozen=True, kw_only=True):
    """The generation that queries see."""

    generation: int
    fingerprint: str
    position: int
    stopped: bool


def live_of(connection: psycopg.Connection[Any], read_model: ReadModel) -> Live:
    """The generation that queries see now."""
    with connection.cursor(row_factory=class_row(Live)) as cursor:
        live = cursor.execute(LIVE, {"read_model": read_model.name}).fetchone()
    assert live is not None, f"{read_model.name} was never prepared"
    return live


def switch(
    conninfo: str,
    read_model: ReadModel,
    generation: int,
    *,
    append_lock: tuple[int, int],
    catch_up: Callable[[], int],
) -> int:
    """Show ``generation``, keep the one shown before, drop what was kept until now.

    ``append_lock`` is the key of the advisory lock that every append to the log takes.
    ``catch_up`` brings the generation to the head of the log and says where that is. It runs
    while appends wait and the live generation stands still, so nobody is ever shown less than
    before. Only that last stretch is waited for: catch up before.

    Raises:
        psycopg.errors.LockNotAvailable: something held appends or the checkpoint for too long.
    """
    names = {"read_model": read_model.name}
    with psycopg.connect(conninfo) as connection:
        connection.execute(LOCK_TIMEOUT)
        connection.execute(NO_APPEND, append_lock)
        connection.execute(HOLD_LIVE, names)
        position = catch_up()
        dropped = connection.execute(DROP_KEPT, {**names, "but": generation}).fetchall()
        connection.execute(KEEP, names)
        connection.execute(SHOW, {**names, "generation": generation})
        point_views(connection, read_model, generation)
        for (number,) in dropped:
            drop_schema(connection, schema_of(read_model.name, number))
    return position
