"""Arrays in PostgreSQL's binary format, joined from elements that were encoded once.

Source: ``array_send`` in PostgreSQL's ``arrayfuncs.c``: dimensions, a null flag, the element
type, then length and lower bound, then each element behind its length. psycopg's own dumper
costs some 2 µs per element; here most elements are constants of a command.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

UUID_OID = 2950
INT8_OID = 20
TEXT_OID = 25
BYTEA_OID = 17
TIMESTAMPTZ_OID = 1184

_HEADER = struct.Struct(">iiIii")
_LENGTH = struct.Struct(">i")
_INT8 = struct.Struct(">q")
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_US_PER_S = 1_000_000
_S_PER_DAY = 86_400

LENGTH_16 = _LENGTH.pack(16)
LENGTH_8 = _LENGTH.pack(8)
NULL = _LENGTH.pack(-1)


def int8(value: int) -> bytes:
    """A bigint."""
    return _INT8.pack(value)


def timestamptz(value: datetime) -> bytes:
    """An instant: microseconds since 2000."""
    since = value - _EPOCH
    seconds = since.days * _S_PER_DAY + since.seconds
    return _INT8.pack(seconds * _US_PER_S + since.microseconds)


def instant(value: bytes) -> datetime:
    """What ``timestamptz`` encoded."""
    return _EPOCH + timedelta(microseconds=int.from_bytes(value, "big", signed=True))


def element(value: bytes) -> bytes:
    """One element behind its length."""
    return _LENGTH.pack(len(value)) + value


def of_element(value: bytes) -> bytes | None:
    """What ``element`` was made of; of ``NULL`` nothing."""
    return None if value == NULL else value[_LENGTH.size :]


def array(oid: int, elements: Sequence[bytes]) -> bytes:
    """An array of elements that stand behind their lengths."""
    if not elements:
        return _HEADER.pack(0, 0, oid, 0, 0)[:12]
    return _HEADER.pack(1, 1, oid, len(elements), 1) + b"".join(elements)


def array_of_16(oid: int, values: Sequence[bytes]) -> bytes:
    """An array of bare 16-byte values: uuids."""
    if not values:
        return array(oid, ())
    return _HEADER.pack(1, 0, oid, len(values), 1) + LENGTH_16 + LENGTH_16.join(values)


def array_of_8(oid: int, values: Sequence[bytes]) -> bytes:
    """An array of bare 8-byte values."""
    if not values:
        return array(oid, ())
    return _HEADER.pack(1, 0, oid, len(values), 1) + LENGTH_8 + LENGTH_8.join(values)


def array_of_int8(values: Sequence[int]) -> bytes:
    """An array of bigints."""
    return array_of_8(INT8_OID, [_INT8.pack(value) for value in values])
