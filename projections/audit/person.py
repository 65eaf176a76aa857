"""``owl privacy report``: what is stored about a person, to be shown to that person.

The whole log is read, since an event in anybody's stream may name anybody.
"""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg import sql
from psycopg.rows import class_row

from domain.catalogue import BUSINESS, personal_fields, private_fields
from domain.facts import Fact, SealedText, tag_of
from domain.ids import account_stream
from domain.ports import EventHistory, PrivateTexts
from domain.tasks.events import TaskSubmittedInClear
from projections.statements import schema_of

EVENTS: Final = """
    SELECT topic AS tag, count(*) AS events, min(notification_id) AS first,
        max(notification_id) AS last
    FROM owl_log.events
    WHERE notification_id <= %(upto)s AND (originator_id = ANY (%(streams)s)
        OR actor = ANY (%(actors)s) OR position(%(named)s IN state) > 0)
    GROUP BY topic ORDER BY topic
"""
HEAD: Final = "SELECT coalesce(max(notification_id), 0) FROM owl_log.events"
WAY_IN: Final = """
    SELECT role, is_active, email_claim FROM owl_private.credentials
    WHERE user_id = %(user_id)s
"""
HAS_KEY: Final = """
    SELECT EXISTS (SELECT FROM owl_private.subject_keys WHERE user_id = %(user_id)s)
"""
# what queries read, by its name; other generations and replays with their schema
TABLES: Final = """
    SELECT nspname, relname
    FROM pg_namespace JOIN pg_class ON relnamespace = pg_namespace.oid
    JOIN pg_attribute ON attrelid = pg_class.oid
    WHERE attname = 'user_id' AND atttypid = 'uuid'::regtype
        AND (nspname = 'read' AND relkind = 'v'
            OR nspname <> ALL (%(others)s) AND relkind = 'r')
    ORDER BY nspname <> 'read', nspname, relname
"""
LIVE: Final = "SELECT read_model, generation FROM owl_read.checkpoints WHERE state = 'live'"
KEPT: Final = "SELECT count(*) FROM owl_private.snapshots WHERE user_id = %(user_id)s"
COUNT: Final = sql.SQL("SELECT count(*) FROM {table} WHERE user_id = %(user_id)s")


PRIVATE: Final = ["owl_log", "owl_private", "owl_read"]
IN_CLEAR: Final[dict[type[Fact], tuple[str, ...]]] = {
    TaskSubmittedInClear: ("title", "description")
}
"""What users wrote before it was sealed: told after an erasure too, which does not reach it."""


class Field(Struct, frozen=True, kw_only=True):
    """What an event says of somebody, in the clear, or as it reads after an erasure."""

    position: int
    recorded_at: datetime
    tag: str
    field: str
    value: str


class Mentions(Struct, frozen=True, kw_only=True):
    """Events that are the person's, were done by them, or name them."""

    tag: str
    events: int
    first: int
    last: int


class WayIn(Struct, frozen=True, kw_only=True):
    """What lets the person log in; the password is a hash, and the e-mail address a digest."""

    role: str
    is_active: bool
    email_claim: UUID


class Person(Struct, frozen=True, kw_only=True):
    """All of it, as of a position. ``is_readable``: their key is there, nothing is erased."""

    user_id: UUID
    position: int
    is_readable: bool
    way_in: WayIn | None
    personal: list[Field]
    events: list[Mentions]
    tables: dict[str, int]
    kept_states: int


def report(
    conninfo: str,
    history: EventHistory,
    texts: PrivateTexts,
    user_id: UUID,
    *,
    upto: int | None = None,
) -> Person:
    """Read the log up to a position, or the whole of it, and the read models."""
    with psycopg.connect(conninfo, autocommit=True, options="-c timezone=UTC") as connection:
        connection.read_only = True
        upto = _one(connection, HEAD, {}) if upto is None else upto
        about = {
            "upto": upto,
            "streams": [user_id, account_stream(user_id)],
            "actors": [f"user:{user_id}", f"admin:{user_id}"],
            "named": str(user_id).encode(),
        }
        with connection.cursor(row_factory=class_row(Mentions)) as mentions:
            events = mentions.execute(EVENTS, about).fetchall()
        with connection.cursor(row_factory=class_row(WayIn)) as ways:
            way_in = ways.execute(WAY_IN, {"user_id": user_id}).fetchone()
        return Person(
            user_id=user_id,
            position=upto,
            is_readable=bool(_one(connection, HAS_KEY, {"user_id": user_id})),
            way_in=way_in,
            personal=_personal(history, texts, user_id, upto),
            events=events,
            tables=_tables(connection, user_id),
            kept_states=_one(connection, KEPT, {"user_id": user_id}),
        )


def _personal(
    history: EventHistory, texts: PrivateTexts, user_id: UUID, upto: int
) -> list[Field]:
    fields = {
        fact: personal_fields(fact) + private_fields(fact) + IN_CLEAR.get(fact, ())
        for fact in BUSINESS
    }
    told = [fact for fact, names in fields.items() if names]
    return [
        Field(
            position=event.position,
            recorded_at=event.recorded_at,
            tag=tag_of(event.fact),
            field=name,
            value=_opened(event.fact, name, texts),
        )
        for events in history.read(0, upto, told)
        for event in events
        if event.fact.user_id == user_id
        for name in fields[type(event.fact)]
        if getattr(event.fact, name)
    ]


def _opened(fact: Any, name: str, texts: PrivateTexts) -> str:
    value = str(getattr(fact, name))
    kind: type[Fact] = type(fact)
    if name not in private_fields(kind):
        return value
    return texts.open([SealedText(kind, name, fact.user_id, value)])[0]


def _tables(connection: psycopg.Connection[Any], user_id: UUID) -> dict[str, int]:
    live = [schema_of(*each) for each in connection.execute(LIVE).fetchall()]
    others = {"others": PRIVATE + live}
    counted = {}
    for schema, table in connection.execute(TABLES, others).fetchall():
        count = COUNT.format(table=sql.Identifier(schema, table)).as_string()
        name = table if schema == "read" else f"{schema}.{table}"
        with suppress(psycopg.errors.UndefinedTable):  # dropped since
            counted[name] = _one(connection, count, {"user_id": user_id})
    return counted


def _one(connection: psycopg.Connection[Any], query: str, parameters: dict[str, Any]) -> int:
    row = connection.execute(query.encode(), parameters).fetchone()
    assert row is not None, "an aggregate gives one row"
    return int(row[0])
