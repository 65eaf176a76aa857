"""The log in stretches, hashed: here, or beside in a process of its own when it is long.

To hash is a third of the work of verifying, and another processor can do it while this one
refolds. Every event is read once: the rows that are refolded are those that were hashed. One
stretch is under way while another is worked on, never more.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from operator import itemgetter
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import psycopg

from domain.audit.canonical import leaves_of
from domain.audit.merkle import Hash, full_root
from domain.audit.tiles import HEIGHT, WIDTH, split
from projections.audit.stored import StoredLog

END: Final = b""
LONG: Final = 300_000
"""Events from which on a second process is worth its start: it saves 3.5 µs of each."""

Row: TypeAlias = tuple[int, bytes, int, str, bytes, bytes]
"""What the refold takes of an event: position, stream, version, tag, command, state."""
_ROW: Final[Callable[[Any], Row]] = itemgetter(0, 1, 2, 3, 8, 9)


class Hashed(NamedTuple):
    """A stretch: its rows and their leaves, and the stored hashes of the tiles over them.

    ``roots`` are those of full tiles by number, as far as they are worked out already.
    """

    rows: Sequence[Row]
    leaves: Sequence[Hash]
    stored: dict[int, bytes]
    above: dict[int, bytes]
    roots: dict[int, Hash]


class _Sent(NamedTuple):
    rows: Sequence[Row]
    leaves: bytes
    stored: dict[int, bytes]
    above: dict[int, bytes]
    roots: dict[int, bytes]


class _Failed(msgspec.Struct):
    """What PostgreSQL said; no ``sqlstate`` where it was out of reach."""

    sqlstate: str | None
    message: str

    def error(self) -> psycopg.Error:
        """As it was met there."""
        if self.sqlstate is None:
            return psycopg.OperationalError(self.message)
        return psycopg.errors.lookup(self.sqlstate)(self.message)


class ReadingEnded(Exception):
    """The process that read the log is gone."""


_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(_Sent | _Failed).decode


@contextmanager
def hashed(
    log: StoredLog, after: int, until: int, *, beside: str | None = None
) -> Iterator[Iterator[Hashed]]:
    """The events above ``after`` up to ``until``.

    ``beside``: the database, where a second process may read it if there is much to read.
    """
    if beside is None or until - after < LONG or (os.cpu_count() or 1) == 1:
        yield _here(log, after, until)
        return
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(
        target=_read, args=(beside, after, until, sending), name="hashing", daemon=True
    )
    process.start()
    sending.close()  # so that its end is heard
    try:
        yield _received(receiving)
    finally:
        receiving.close()
        process.kill()
        process.join()


def _here(log: StoredLog, after: int, until: int) -> Iterator[Hashed]:
    for rows in log.chunks(after, until):
        leaves = leaves_of(rows)
        stored, above = _tiles(log, after, after + len(rows))
        yield Hashed([_ROW(row) for row in rows], leaves, stored, above, {})
        after += len(rows)
        if not rows or rows[-1][0] != after:
            return  # something is missing, which whoever takes this stretch tells


def _tiles(log: StoredLog, begin: int, end: int) -> tuple[dict[int, bytes], dict[int, bytes]]:
    stored = log.tiles(0, begin >> HEIGHT, end >> HEIGHT)
    return stored, log.tiles(1, begin >> 2 * HEIGHT, end >> 2 * HEIGHT)


def _received(receiving: Connection) -> Iterator[Hashed]:
    while True:
        try:
            told = receiving.recv_bytes()
        except (EOFError, OSError):  # the latter where it ended in the midst of a message
            raise ReadingEnded("the process that reads the log ended before the log") from None
        if told == END:
            return
        sent = _DECODE(told)
        if isinstance(sent, _Failed):
            raise sent.error()
        yield Hashed(sent.rows, split(sent.leaves), sent.stored, sent.above, sent.roots)


def _read(conninfo: str, after: int, until: int, sending: Connection) -> None:
    """In the other process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the one that reads from it
    try:
        _send_all(conninfo, after, until, sending)
    except psycopg.Error as error:
        sending.send_bytes(_ENCODE(_Failed(error.sqlstate, str(error))))
    except BrokenPipeError:
        return  # nobody wants more


def _send_all(conninfo: str, after: int, until: int, sending: Connection) -> None:
    with StoredLog.open(conninfo) as log:
        for stretch in _here(log, after, until):
            leaves, end = stretch.leaves, after + len(stretch.leaves)
            firsts = range(-after % WIDTH, len(leaves) - WIDTH + 1, WIDTH)
            roots = {
                (after + at) >> HEIGHT: full_root(leaves[at : at + WIDTH]) for at in firsts
            }
            sent = _Sent(stretch.rows, b"".join(leaves), stretch.stored, stretch.above, roots)
            sending.send_bytes(_ENCODE(sent))
            after = end
    sending.send_bytes(END)
