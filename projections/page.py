"""Pages of a query's answer, and how the one text column that a query gives becomes structs.

A query selects JSON made by Postgres and decodes it here: one typed pass instead of a loader
for each column. Times are in the session's time zone, which the pool sets to UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Generic, LiteralString, TypeVar

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

T = TypeVar("T")

_BOUNDS: Final[tuple[LiteralString, ...]] = (
    *("32", "128", "512", "2048", "8192", "32768", "131072", "524288", "2097152"),
)

_DECODERS: Final[dict[Any, msgspec.json.Decoder[Any]]] = {}
"""By shape: making a decoder costs more than using it."""


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """``total`` counts all that match, on whatever page; ``page`` counts from 1."""

    items: tuple[T, ...]
    total: int
    page: int
    page_size: int


class Found(Struct, Generic[T], frozen=True, kw_only=True):
    """What a list query selects: the rows of one page and how many there are in all."""

    items: tuple[T, ...]
    total: int


async def one(
    connection: AsyncConnection[Any],
    shape: type[T],
    statement: LiteralString,
    parameters: Mapping[str, Any],
) -> T | None:
    """The first row's JSON as ``shape``; ``None`` without a row."""
    cursor = await connection.execute(statement, parameters)
    row = await cursor.fetchone()
    if row is None:
        return None
    decoder = _DECODERS.get(shape)
    if decoder is None:
        decoder = _DECODERS[shape] = msgspec.json.Decoder(shape)
    found: T = decoder.decode(row[0])
    return found


def offset(page: int, page_size: int) -> int:
    """How many rows stand before ``page``."""
    return (page - 1) * page_size


def reach_of(page: int, page_size: int) -> LiteralString:
    """A number of rows in which the pages up to ``page`` stand, as text for a statement.

    Of a ``LIMIT`` that is a parameter Postgres guesses a tenth of the table, so that on a large
    one it takes its plan for all values to be dear and plans anew at each request. Few numbers,
    so that there are few statements.
    """
    wanted = page * page_size
    return next((bound for bound in _BOUNDS if int(bound) >= wanted), _BOUNDS[-1])
