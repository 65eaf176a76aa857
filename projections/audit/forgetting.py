"""Forgets erased persons in rows that nobody takes on to the event of their erasure.

What is fed shows nothing of them once it has folded that event. A generation that is paused,
was interrupted, waits for its switch, has stopped or is kept for a version that does not run
may never come to it. So where one stands behind an erasure, the person's fields in it are made
what the fold of that event makes of them: it may still be taken on, compared and shown.

Law: a personal column of a read model has the name of the fact's field and type ``text``, in a
table with the person's ``user_id``.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from msgspec import Struct
from psycopg import AsyncConnection, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable, UndefinedTable

from domain.catalogue import BUSINESS, personal_fields
from domain.envelope import Fence
from domain.facts import ERASED
from projections.audit.story import rows
from projections.statements import schema_of

LOG = structlog.get_logger(__name__)

CONNECT_S: Final = 3
PERSONAL: Final = sorted({name for fact in BUSINESS for name in personal_fields(fact)})
SESSION: Final = """
    SET LOCAL lock_timeout = '1s';
    -- a few people's rows, by key
    SET LOCAL enable_seqscan = off;
    SET LOCAL enable_hashjoin = off;
    SET LOCAL enable_mergejoin = off
"""
# what is at work comes to the event by itself, and is not disturbed
STANDING: Final = """
    SELECT read_model, generation, position FROM owl_read.checkpoints
    WHERE source = 'business' AND updated_at < now() - make_interval(secs => %(stood_s)s)
"""
# the words of the partial index ``events_of_erasures``
ERASED_SINCE: Final = """
    SELECT EXISTS (
        SELECT FROM owl_log.events
        WHERE topic = 'accounts.user_erased/1' AND notification_id > %(position)s
    )
"""
COLUMNS: Final = """
    SELECT nspname, relname, told.attname
    FROM pg_namespace
    JOIN pg_class ON relnamespace = pg_namespace.oid AND relkind = 'r'
    JOIN pg_attribute AS owner ON owner.attrelid = pg_class.oid AND owner.attname = 'user_id'
    JOIN pg_attribute AS told ON told.attrelid = pg_class.oid
        AND told.attname = ANY (%(personal)s) AND told.atttypid = 'text'::regtype
    WHERE nspname = ANY (%(schemas)s)
    ORDER BY 1, 2, 3
"""
BLANK: Final = sql.SQL("""
    UPDATE {table} AS told SET {column} = %(erased)s FROM owl_log.events
    WHERE topic = 'accounts.user_erased/1' AND notification_id > %(position)s
        AND told.user_id = originator_id AND told.{column} <> %(erased)s
""")
# such as a replay makes; what a read model is fed from is not among them
COPIES: Final = r"""
    SELECT array_agg(nspname) FROM pg_namespace
    WHERE nspname !~ '^(pg_|rm_|owl_)' AND nspname NOT IN ('information_schema', 'read')
"""
SHOWS: Final = sql.SQL("""
    SELECT EXISTS (
        SELECT FROM {table} WHERE user_id = %(user_id)s AND {column} <> %(erased)s
    )
""")


class Config(Struct, frozen=True, kw_only=True):
    """How often it looks, and how long rows must have stood to be nobody's work."""

    look_every_s: float = 5.0
    stood_s: float = 5.0


def copies_of(connection: psycopg.Connection[Any], user_id: UUID) -> list[str]:
    """The schemas beside the platform's own, such as replays, that still show the person."""
    (schemas,) = connection.execute(COPIES).fetchone() or ((),)
    found = set()
    named = {"schemas": schemas or [], "personal": PERSONAL}
    for schema, table, column in connection.execute(COLUMNS, named).fetchall():
        shows = SHOWS.format(table=sql.Identifier(schema, table), column=sql.Identifier(column))
        about = {"user_id": user_id, "erased": ERASED}
        with suppress(UndefinedTable):  # dropped since
            if connection.execute(shows, about).fetchone() == (True,):
                found.add(schema)
    return sorted(found)


class Forgetting:
    """The loop; led by one worker."""

    name = "forgetting"

    def __init__(self, conninfo: str, config: Config | None = None) -> None:
        self._conninfo = conninfo
        self._config = Config() if config is None else config

    async def run(self, _fence: Fence) -> None:
        """Look now and then until cancelled; what is forgotten twice is the same."""
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_S
        ) as connection:
            while True:
                if fields := await self.step(connection):
                    LOG.info("read_model.forgotten", fields=fields)
                await asyncio.sleep(self._config.look_every_s)

    async def step(self, connection: AsyncConnection[Any]) -> int:
        """Forget who was erased, in all generations at once; how many fields told of them."""
        try:
            async with connection.transaction():
                await connection.execute(SESSION)
                return await self._forget(connection)
        except (LockNotAvailable, DeadlockDetected, UndefinedTable):
            return 0  # they are indexed, switched or dropped just now: next time, then

    async def _forget(self, connection: AsyncConnection[Any]) -> int:
        found = await rows(connection, STANDING, {"stood_s": self._config.stood_s})
        standing = {schema_of(name, number): position for name, number, position in found}
        first = {"position": min(standing.values(), default=None)}
        if not (await rows(connection, ERASED_SINCE, first))[0][0]:
            return 0
        fields = 0
        named = {"schemas": list(standing), "personal": PERSONAL}
        for schema, table, column in await rows(connection, COLUMNS, named):
            blank = BLANK.format(
                table=sql.Identifier(schema, table), column=sql.Identifier(column)
            )
            about = {"erased": ERASED, "position": standing[schema]}
            fields += (await connection.execute(blank, about)).rowcount
        return fields
