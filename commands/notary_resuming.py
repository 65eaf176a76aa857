"""How the notary takes up the tree where it was signed last; and what makes it refuse to.

The newest checkpoint of the database has to be signed by the log's key, and the stored hashes
have to give its root. It must be the tree that is remembered outside, or have grown out of it:
where that is older or another one, checkpoints were removed, or the database was put back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import structlog
from msgspec import Struct

from commands.last_signed import LastSigned
from commands.signatures import is_signed
from domain.audit.checkpoint import (
    Checkpoint,
    NoteInvalid,
    VerifierKey,
    checkpoint_in,
    parts,
)
from domain.audit.merkle import HASH_BYTES
from domain.audit.proofs import ProofInvalid, consistency_proof, verify_consistency
from domain.audit.rotation import ChainBroken, KeyChain
from domain.audit.tiles import TilesMissing, Tree, edge_places, node_in, tile_hashes
from domain.ids import LOG_KEYS_STREAM
from domain.system.log_keys import TAG as ROTATED
from domain.system.log_keys import link_of

LOG = structlog.get_logger(__name__)

READ_IDENTITY = """
    SELECT origin, (SELECT coalesce(min(notification_id), 1) FROM owl_log.events)
    FROM owl_log.identity
"""
READ_LAST = "SELECT note FROM owl_log.signed_checkpoints ORDER BY size DESC LIMIT 1"
READ_ROTATIONS = """
    SELECT notification_id, originator_id, originator_version, topic, state
    FROM owl_log.events WHERE originator_id = %(stream)s
    ORDER BY notification_id LIMIT %(limit)s
"""
READ_TILES = """
    SELECT level, number, hashes FROM owl_log.tiles
    JOIN unnest(%(levels)s::smallint[], %(numbers)s::bigint[]) AS place (level, number)
        USING (level, number)
"""
TAG = 3  # the column of an event's tag

Rows: TypeAlias = Callable[..., list[tuple[Any, ...]]]
"""Answers a query, with its parameters."""


class HistoryAltered(Exception):
    """What is stored is not what was signed: run ``owl audit verify`` to learn where."""


class Taken(Struct, frozen=True):
    """The tree as it was signed last, by which keys, and the note that says so."""

    tree: Tree
    chain: KeyChain
    note: str | None


def take_up(rows: Rows, own: bytes, remembered: LastSigned | None) -> Taken:
    """Read the tree that was signed last, and check that it is that.

    ``own``: this platform's public key, which signed first unless the log has known others.

    Raises:
        HistoryAltered: it is not.
    """
    origin, first = rows(READ_IDENTITY)[0]
    chain = _first_key(rows, VerifierKey(origin, own))
    if first < 1:
        raise HistoryAltered(f"an event stands at {first}, before the first position")
    last = rows(READ_LAST)
    newest = None
    if last:
        newest, chain = _signed_by_us(rows, last[0][0], chain)
    if remembered is not None:
        _check_memory(rows, remembered, origin, newest)
    if newest is None:
        return Taken(Tree(), chain, None)
    tree = _stored(rows, newest)
    LOG.info("notary.resumes", size=tree.size, key=str(chain.newest))
    return Taken(tree, chain, last[0][0])


def with_rotations(chain: KeyChain, rows: Sequence[Any]) -> KeyChain:
    """The chain as these events leave it.

    Raises:
        HistoryAltered: one says that another key signs, and the keys do not.
    """
    for position, stream, *_, state in [row for row in rows if row[TAG] == ROTATED]:
        if stream == LOG_KEYS_STREAM.bytes:
            first = not chain.links
            try:
                chain = chain.with_link(link_of(position, state), is_signed, is_first=first)
            except ChainBroken as error:
                raise HistoryAltered(f"position {position}: {error}") from error
    return chain


def _first_key(rows: Rows, own: VerifierKey) -> KeyChain:
    rotations = rows(READ_ROTATIONS, {"stream": LOG_KEYS_STREAM, "limit": 1})
    return KeyChain(with_rotations(KeyChain(((0, own),)), rotations).keys[:1])


def _signed_by_us(rows: Rows, note: str, chain: KeyChain) -> tuple[Checkpoint, KeyChain]:
    try:
        checkpoint = Checkpoint.parse(parts(note)[0])
    except NoteInvalid as error:
        raise HistoryAltered(f"the last checkpoint does not read: {error}") from error
    rotations = rows(READ_ROTATIONS, {"stream": LOG_KEYS_STREAM, "limit": None})
    covered = [row for row in rotations if row[0] <= checkpoint.size]
    chain = with_rotations(chain, covered)
    try:
        checkpoint_in(note, chain.newest, is_signed)
    except NoteInvalid as error:
        whose = f"the log's key {chain.newest}" if rotations else "this key"
        message = f"the checkpoint of size {checkpoint.size} is not by {whose}: {error}"
        raise HistoryAltered(message) from error
    return checkpoint, chain


def _stored(rows: Rows, newest: Checkpoint) -> Tree:
    tiles = _tiles(rows, edge_places(newest.size))
    try:
        tree = Tree.of(newest.size, tiles)
    except TilesMissing as error:
        raise HistoryAltered(str(error)) from error
    if tree.frontier.root != newest.root:
        raise HistoryAltered(f"the hashes do not give the root signed at {newest.size}")
    return tree


def _tiles(rows: Rows, places: Sequence[tuple[int, int]]) -> dict[tuple[int, int], bytes]:
    wanted = {"levels": [at for at, _ in places], "numbers": [number for _, number in places]}
    return {(at, number): hashes for at, number, hashes in rows(READ_TILES, wanted)}


def _check_memory(
    rows: Rows, remembered: LastSigned, origin: str, newest: Checkpoint | None
) -> None:
    note = remembered.read()
    if note is None:
        if newest is not None:  # an operator's act, so it is on record
            path = str(remembered.path)
            LOG.warning("notary.believes_the_database", size=newest.size, missing=path)
        return
    try:
        _require_grown(rows, Checkpoint.parse(parts(note)[0]), origin, newest)
    except (NoteInvalid, ProofInvalid, TilesMissing) as error:
        raise HistoryAltered(
            f"this is not the log that was signed last, which {remembered.path} tells: {error};"
            f" ask `owl audit verify --checkpoint {remembered.path}`, and if you put an older"
            " database in its place yourself, move that file away: then this one is signed"
        ) from error


def _require_grown(
    rows: Rows, known: Checkpoint, origin: str, newest: Checkpoint | None
) -> None:
    """The database's newest checkpoint is of a tree that has grown out of the known one."""
    if known.origin != origin:
        raise ProofInvalid(f"that is of {known.origin}, and this log is {origin}")
    size = 0 if newest is None else newest.size
    if newest is None or size < known.size:
        raise ProofInvalid(f"{known.size} events were signed, and the database says {size}")

    def tile(level: int, number: int) -> bytes:
        wanted = tile_hashes(size, level, number) * HASH_BYTES
        found = _tiles(rows, [(level, number)]).get((level, number), b"")[:wanted]
        if len(found) < wanted:
            raise TilesMissing(level, number)
        return found

    verify_consistency(
        old=known.size,
        new=size,
        old_root=known.root,
        new_root=newest.root,
        proof=consistency_proof(known.size, size, node_in(tile)),
    )
