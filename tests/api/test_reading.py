"""The pool of connections for reads."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import psycopg
from psycopg import sql

from api.reading import open_pool


def test_a_read_tells_times_in_utc_whatever_the_databases_zone(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as owner:
        name = sql.Identifier(owner.info.dbname)
        owner.execute(sql.SQL("ALTER DATABASE {} SET timezone = 'Asia/Shanghai'").format(name))

    async def asked() -> datetime:
        async with open_pool(database_url, most=1) as pool, pool.connection() as connection:
            row = await (await connection.execute("SELECT now()")).fetchone()
            assert row is not None
            at: datetime = row[0]
            return at

    assert asyncio.run(asked()).tzinfo is UTC
