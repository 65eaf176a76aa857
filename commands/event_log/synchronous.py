"""The prepared calls of the wire, made on an ordinary psycopg connection."""

from __future__ import annotations

from typing import Any

from psycopg import Cursor
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from commands.event_log.wire import Call


class Encoded:
    """A parameter that is in PostgreSQL's binary format already."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


class EncodedDumper(Dumper):
    """Passes it on; the statement's casts say of what type it is."""

    format = Format.BINARY

    def dump(self, obj: Any) -> Buffer | None:
        encoded: Encoded = obj
        return encoded.data


def execute(cursor: Cursor[Any], call: Call) -> None:
    """Make ``call``. ``cursor`` is a raw one: its placeholders are PostgreSQL's own, ``$1``."""
    cursor.adapters.register_dumper(Encoded, EncodedDumper)
    parameters = [None if value is None else Encoded(value) for value in call.parameters]
    cursor.execute(call.statement.sql.encode(), parameters, prepare=True, binary=True)
