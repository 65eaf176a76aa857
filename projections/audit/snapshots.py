"""States that were folded before, so that an old entity need not be folded whole again.

Kept per ``EVERY`` events of a stream by a loop of the platform (``keeping``), by nobody else,
and read by whoever asks for a state. A cache: it may be deleted at any time, and nothing that
proves anything reads it. A row counts only under the digest of the fold that would be used
now, and under a seal by the platform's own key over the state and the very event it stands at:
who can write to the table, but has not that key, cannot change what an auditor is shown.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import cache
from typing import Any, Final
from uuid import UUID

import msgspec
from msgspec import Struct
from psycopg import AsyncConnection

from domain.catalogue import decode
from projections.audit.folds import Fold
from projections.audit.story import rows

EVERY: Final = 64
"""At most so many events of a stream are folded for a state, while states are small."""
BYTES_PER_EVENT: Final = 256
"""What may be kept for each event of a stream: a state that grows is kept more seldom."""
FIRST: Final = 2 * EVERY
"""Of so many a first look asks; of ``TOGETHER`` each further one."""
TOGETHER: Final = 1_000
FORMAT: Final = b"owl snapshot 1"

NEWEST: Final = """
    SELECT kept.version, kept.position, kept.state, kept.seal, event.command_id, event.state
    FROM (
        SELECT stream, version, position, state, seal FROM owl_private.snapshots
        WHERE fold = %(fold)s AND stream = %(stream)s AND position <= %(at)s
        ORDER BY position DESC LIMIT 1
    ) AS kept
    LEFT JOIN owl_log.events AS event ON event.notification_id = kept.position
        AND event.originator_id = kept.stream AND event.originator_version = kept.version
"""
# without a bound on the position: that could not stop a walk along the stream's index
FACTS: Final = """
    SELECT originator_version, notification_id, command_id, state FROM owl_log.events
    WHERE originator_id = %(stream)s AND originator_version > %(version)s
    ORDER BY originator_version LIMIT %(limit)s
"""

_ENCODER: Final = msgspec.msgpack.Encoder(uuid_format="bytes")


class Place(Struct, frozen=True):
    """The event that a state stands at."""

    stream: UUID
    version: int
    position: int
    command_id: UUID
    fact: bytes


class Folded(Struct, frozen=True):
    """A state, and the last event in it."""

    place: Place
    state: Any


class Snapshots:
    """What was kept under one key of the platform. Safe from any thread."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def fold_id(self, fold: Fold) -> bytes:
        """Under what the states of this fold are kept, by these rules and this key."""
        text = f"{fold.name} {fold.fingerprint}".encode()
        return hmac.digest(self._key, FORMAT + b" of " + text, hashlib.sha256)[:16]

    def seal(self, fold: Fold, place: Place, state: bytes) -> bytes:
        """What only this key could have put on ``state``, at this very event."""
        at = f"{place.stream} {place.version} {place.position} {place.command_id}".encode()
        said = self.fold_id(fold) + hashlib.sha256(place.fact).digest()
        return hmac.digest(self._key, FORMAT + at + said + state, hashlib.sha256)

    async def newest(
        self, connection: AsyncConnection[Any], fold: Fold, stream: UUID, at: int
    ) -> Folded | None:
        """The last state that was kept up to position ``at``; ``None`` where none counts."""
        wanted = {"fold": self.fold_id(fold), "stream": stream, "at": at}
        found = await rows(connection, NEWEST, wanted)
        if not found or found[0][4] is None:
            return None
        version, position, state, seal, command_id, fact = found[0]
        place = Place(stream, version, position, command_id, fact)
        if not hmac.compare_digest(seal, self.seal(fold, place, state)):
            return None
        return Folded(place, _decoder(fold.state).decode(state))


async def fold_upto(
    connection: AsyncConnection[Any],
    fold: Fold,
    stream: UUID,
    at: int,
    snapshots: Snapshots | None,
) -> Folded | None:
    """What a stream was after position ``at``; ``None`` when it is another's or not there yet.

    Without ``snapshots`` it is folded from its first event.
    """
    folded = None if snapshots is None else await snapshots.newest(connection, fold, stream, at)
    limit = FIRST
    while True:
        version = 0 if folded is None else folded.place.version
        wanted = {"stream": stream, "version": version, "limit": limit}
        found = await rows(connection, FACTS, wanted)
        for version, position, command_id, state in found:
            if position > at:
                return folded
            fact = decode(state)
            if folded is None and not fold.decider.begins(type(fact)):
                return None
            before = fold.decider.initial if folded is None else folded.state
            folded = Folded(
                Place(stream, version, position, command_id, state),
                fold.decider.evolve(before, fact),
            )
        if len(found) < limit:
            return folded
        limit = TOGETHER


def encoded(state: Struct) -> bytes:
    """A state as it is kept."""
    return _ENCODER.encode(state)


@cache
def _decoder(state: type[Struct]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(state)
