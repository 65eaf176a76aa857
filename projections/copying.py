r"""Rows as ``COPY`` takes them, encoded by msgspec: the quickest way into a new table.

A row is encoded as a JSON array, and CSV whose quote is ``"`` and whose escape is ``\`` reads
such an array: strings are quoted alike, ``null`` stands unquoted. A value that is itself JSON
goes in as a string. What JSON escapes otherwise (a newline in a text, a NUL) CSV would take
literally: rows with any of that are told apart and go the slower way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import psycopg
from msgspec import Struct
from msgspec.structs import astuple
from psycopg import sql

from projections.read_model import Table
from projections.statements import as_parameter

_ENCODER: Final = msgspec.json.Encoder()
ROWS_AT_ONCE: Final = 250
COPY: Final = sql.SQL(r"""
    COPY {table} ({columns}) FROM STDIN (FORMAT csv, NULL 'null', ESCAPE '\')
""")
JSON_COLUMNS: Final = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = %(table)s::regclass AND atttypid IN ('jsonb'::regtype, 'json'::regtype)
"""


class Encoded(Struct, frozen=True):
    """Rows of one table: lines for ``COPY``, and what goes the slower way."""

    lines: list[bytes]
    unfit: list[str]


class Copying:
    """Puts rows into one table, none of which is there."""

    def __init__(
        self, connection: psycopg.Connection[Any], schema: str, table: Table, insert: str
    ) -> None:
        fields = table.row.__struct_fields__
        names = sql.SQL(", ").join(map(sql.Identifier, fields))
        identifier = sql.Identifier(schema, table.name)
        self._connection = connection
        self._copy = COPY.format(table=identifier, columns=names)
        self._insert = insert
        found = connection.execute(JSON_COLUMNS, {"table": identifier.as_string()}).fetchall()
        self._nested = [fields.index(name) for (name,) in found]

    def encoded(self, rows: Sequence[Struct]) -> Encoded:
        """``rows`` ready to be put; whatever is costly about it is done here."""
        encoded = Encoded([], [])
        for start in range(0, len(rows), ROWS_AT_ONCE):
            part = rows[start : start + ROWS_AT_ONCE]
            data = self._lines(part)
            if not _is_plain(data):
                plain = [_is_plain(self._lines([row])) for row in part]
                unfit = [row for row, fits in zip(part, plain, strict=True) if not fits]
                encoded.unfit.append(as_parameter(unfit))
                part = [row for row, fits in zip(part, plain, strict=True) if fits]
                data = self._lines(part) if part else b""
            encoded.lines.append(data)
        return encoded

    def put(self, encoded: Encoded) -> None:
        """Add the rows, in the caller's transaction."""
        if encoded.lines:
            with self._connection.cursor() as cursor, cursor.copy(self._copy) as copy:
                for data in encoded.lines:
                    copy.write(data)
        for rows in encoded.unfit:
            self._connection.execute(self._insert, [rows])

    def _lines(self, rows: Sequence[Struct]) -> bytes:
        encode, nested = _ENCODER.encode, self._nested
        lines = []
        for row in rows:
            line = list(astuple(row))
            for column in nested:
                line[column] = encode(line[column]).decode()
            lines.append(encode(line)[1:-1])
        lines.append(b"")
        return b"\n".join(lines)


def _is_plain(data: bytes) -> bool:
    r"""Whether nothing but quotes and backslashes is escaped; a nested ``\u0000`` is not."""
    if data.count(b"\\") == data.count(b'\\"'):  # by far the most, and quickly told
        return True
    rest = data.replace(b'\\"', b"").replace(b"\\\\", b"")
    return b"\\\\u0000" not in data and b"\\" not in rest
