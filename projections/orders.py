"""What administrators have ordered over the API, and what came of it.

An order is taken once, by the leading worker: a way back that is obeyed twice would lead forth.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Literal

import psycopg
from msgspec import Struct
from psycopg.rows import class_row

OrderState = Literal["at work", "done", "refused", "expired", "interrupted"]

SHOWN: Final = 10
TAKEN_UPTO: Final = "SELECT coalesce(max(position), 0) FROM owl_read.orders"
TAKE: Final = """
    INSERT INTO owl_read.orders (position, read_model, act, asked_by, asked_at, state)
    VALUES (%(position)s, %(read_model)s, %(act)s, %(asked_by)s, %(asked_at)s,
        CASE WHEN %(asked_at)s < now() - interval '10 minutes'
            THEN 'expired' ELSE 'at work' END)
    ON CONFLICT DO NOTHING RETURNING state = 'at work'
"""
PRUNE: Final = """
    DELETE FROM owl_read.orders WHERE position <
        (SELECT position FROM owl_read.orders ORDER BY position DESC OFFSET 199 LIMIT 1)
"""
END: Final = """
    UPDATE owl_read.orders
    SET state = %(state)s, told = %(told)s, told_zh = %(told_zh)s, ended_at = now()
    WHERE position = %(position)s
"""
INTERRUPTED: Final = """
    UPDATE owl_read.orders SET state = 'interrupted', ended_at = now() WHERE state = 'at work'
"""
WHO: Final = """
    SELECT asked_by, position FROM owl_read.orders
    WHERE read_model = %(read_model)s AND act IN ('rebuild', 'resume')
        AND state IN ('at work', 'done')
    ORDER BY position DESC LIMIT 1
"""
ORDERS: Final = """
    SELECT position, act, asked_by, asked_at, state, ended_at,
        CASE WHEN %(chinese)s AND told_zh <> '' THEN told_zh ELSE told END AS told
    FROM owl_read.orders
    WHERE read_model = %(read_model)s ORDER BY position DESC LIMIT %(limit)s
"""
TOLD_KEPT: Final = 2_000


class Order(Struct, frozen=True, kw_only=True):
    """``position`` is that of the event in the log; ``told`` is what the worker said of it."""

    position: int
    act: str
    asked_by: str
    asked_at: datetime
    state: OrderState
    told: str
    ended_at: datetime | None


def taken_upto(connection: psycopg.Connection[Any]) -> int:
    """The last order that a worker has taken."""
    row = connection.execute(TAKEN_UPTO).fetchone()
    assert row is not None, "an aggregate gives one row"
    return int(row[0])


def take(
    connection: psycopg.Connection[Any],
    *,
    position: int,
    read_model: str,
    act: str,
    asked_by: str,
    asked_at: datetime,
) -> bool:
    """Take an order on; no, if somebody has, or if it has waited too long for a worker."""
    about = {"position": position, "read_model": read_model, "act": act}
    about |= {"asked_by": asked_by, "asked_at": asked_at}
    row = connection.execute(TAKE, about).fetchone()
    connection.execute(PRUNE)
    return row is not None and bool(row[0])


def end(
    connection: psycopg.Connection[Any],
    position: int,
    state: OrderState,
    *,
    told: str,
    told_zh: str,
) -> None:
    """It was obeyed, or could not be."""
    about: dict[str, Any] = {"position": position, "state": state}
    about |= {"told": told[:TOLD_KEPT], "told_zh": told_zh[:TOLD_KEPT]}
    connection.execute(END, about)


def give_up_interrupted(connection: psycopg.Connection[Any]) -> None:
    """Whoever leads now has begun none."""
    connection.execute(INTERRUPTED)


def who_asked(connection: psycopg.Connection[Any], read_model: str) -> tuple[str, int] | None:
    """Who gave the order that a rebuild goes back to, and its position."""
    row = connection.execute(WHO, {"read_model": read_model}).fetchone()
    return None if row is None else (row[0], row[1])


async def orders_of(
    connection: psycopg.AsyncConnection[Any], read_model: str, *, in_chinese: bool
) -> tuple[Order, ...]:
    """The newest first."""
    async with connection.cursor(row_factory=class_row(Order)) as cursor:
        about = {"read_model": read_model, "limit": SHOWN, "chinese": in_chinese}
        return tuple(await (await cursor.execute(ORDERS, about)).fetchall())
