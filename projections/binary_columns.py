r"""Columns of values as rows of ``COPY … (FORMAT binary)``, packed a column at a time.

The loops over values are those of ``map`` and ``zip``, in C. What is of fixed length and never
null stands at a row's beginning and is packed by one ``struct``; each other column gives pieces
that lie beside each other in the row.

Source: PostgreSQL documentation, "COPY", binary format, and the ``…_send`` functions of the
types. It spares the server from parsing what the client would only have written out: a third
of its share, and nearly half where rows are short.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain, repeat
from operator import add, attrgetter, floordiv, sub
from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

Values: TypeAlias = Sequence[Any]
Pieces: TypeAlias = tuple[Iterable[bytes], ...]

SIGNATURE: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
TRAILER: Final = b"\xff\xff"
NULL: Final = b"\xff\xff\xff\xff"
REMEMBERED: Final = 1_000
"""Texts that a column remembers packed; one with more different ones remembers none."""

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_LENGTH: Final = struct.Struct(">i").pack
_JSON: Final = msgspec.json.Encoder()
_NUL_IN_JSON: Final = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")
_NUMBER_OF: Final = attrgetter("int")
_BYTES_OF: Final[Any] = int.to_bytes


class _Fixed(Struct, frozen=True):
    """A type whose values are of one length: its ``struct`` format, and what that takes."""

    length: int
    format: str
    prepared: Callable[[Values], Iterable[Any]]


def _as_they_are(values: Values) -> Iterable[Any]:
    return values


def _uuid(values: Values) -> Iterable[bytes]:
    number: Iterable[bytes] = map(_BYTES_OF, map(_NUMBER_OF, values), repeat(16), repeat("big"))
    return number


def _timestamptz(values: Values) -> Iterable[int]:
    return map(floordiv, map(sub, values, repeat(_EPOCH)), repeat(_MICROSECOND))


class _Json(Struct, frozen=True):
    version: bytes

    def __call__(self, values: Values) -> Pieces:
        text = _JSON.encode_lines(values)
        if b"\\u0000" in text:  # as in ``statements.as_parameter``
            text = _NUL_IN_JSON.sub(rb"\1\\ufffd", text)
        documents = text.split(b"\n")
        documents.pop()
        lengths = map(add, map(len, documents), repeat(len(self.version)))
        return map(_LENGTH, lengths), repeat(self.version), documents


class _Text(dict[str, bytes]):
    """A column of text: the few texts that many columns consist of are packed once."""

    def __missing__(self, value: str) -> bytes:
        encoded = value.replace("\x00", "\ufffd").encode()
        packed = _LENGTH(len(encoded)) + encoded
        if len(self) < REMEMBERED:
            self[value] = packed
        return packed

    def __call__(self, values: Values) -> Pieces:
        if len(self) < REMEMBERED:
            return (map(self.__getitem__, values),)
        if "\x00" in "".join(values):
            values = [value.replace("\x00", "\ufffd") for value in values]
        encoded = list(map(str.encode, values))
        return map(_LENGTH, map(len, encoded)), encoded


FIXED: Final = {
    "bigint": _Fixed(8, "q", _as_they_are),
    "boolean": _Fixed(1, "?", _as_they_are),
    "double precision": _Fixed(8, "d", _as_they_are),
    "timestamp with time zone": _Fixed(8, "q", _timestamptz),
    "uuid": _Fixed(16, "16s", _uuid),
}
VARIABLE: Final[dict[str, Callable[[], Callable[[Values], Pieces]]]] = {
    "json": lambda: _Json(b""),
    "jsonb": lambda: _Json(b"\x01"),
    "text": _Text,
}


class _Nullable(Struct, frozen=True):
    pack: Callable[[Values], Pieces]

    def __call__(self, values: Values) -> Pieces:
        there = [value for value in values if value is not None]
        if not there:
            return (repeat(NULL),)
        pieces = self.pack(there)
        if len(there) == len(values):
            return pieces
        packed = map(b"".join, zip(*pieces, strict=False))
        return ([NULL if value is None else next(packed) for value in values],)


class Packing:
    """Packs rows of columns of these types, each nullable or not.

    Raises:
        KeyError: nobody has taught us a type.
    """

    def __init__(self, columns: Sequence[tuple[str, bool]]) -> None:
        numbers = range(len(columns))
        fixed = [n for n in numbers if columns[n][0] in FIXED and not columns[n][1]]
        others = [n for n in numbers if n not in set(fixed)]
        self.order = (*fixed, *others)
        """The numbers of the columns as they stand in a row."""
        types = [FIXED[columns[n][0]] for n in fixed]
        self._fixed = [
            (n, each.length, each.prepared) for n, each in zip(fixed, types, strict=True)
        ]
        self._head = struct.Struct(">h" + "".join(f"i{each.format}" for each in types)).pack
        self._others = [(n, _variable(*columns[n])) for n in others]
        self._count = len(columns)

    def packed(self, columns: Sequence[Values]) -> bytes:
        """Rows, given as their columns."""
        arguments: list[Iterable[Any]] = [repeat(self._count, len(columns[0]))]
        for n, length, prepared in self._fixed:
            arguments += repeat(length), prepared(columns[n])
        pieces = [piece for n, pack in self._others for piece in pack(columns[n])]
        heads = map(self._head, *arguments)
        return b"".join(chain.from_iterable(zip(heads, *pieces, strict=False)))


def _variable(type_name: str, nullable: bool) -> Callable[[Values], Pieces]:  # noqa: FBT001 - a column's two properties
    if type_name in FIXED:
        pack: Callable[[Values], Pieces] = _alone(FIXED[type_name])
    else:
        pack = VARIABLE[type_name]()
    return _Nullable(pack) if nullable else pack


def _alone(fixed: _Fixed) -> Callable[[Values], Pieces]:
    pack = struct.Struct(f">i{fixed.format}").pack
    return lambda values: (map(pack, repeat(fixed.length), fixed.prepared(values)),)
