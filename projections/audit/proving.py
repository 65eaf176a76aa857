"""Proofs out of the stored tree: that an event stands in the log, that the log only grew."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from domain.audit.canonical import envelope_of
from domain.audit.checkpoint import Checkpoint, parts
from domain.audit.merkle import Hash, joined, range_nodes
from domain.audit.proofs import consistency_proof, inclusion_proof
from domain.audit.tlog_proof import tlog_proof
from projections.audit.stored import StoredLog


class NotSigned(Exception):
    """No checkpoint covers the position yet, or there is no such event."""


def prove_event(log: StoredLog, position: int) -> str:
    """The event's inclusion in the first checkpoint that covers it, as a C2SP tlog-proof.

    Raises:
        NotSigned: there is none.
    """
    note = log.checkpoint_for(position)
    event = next(log.events(position - 1, position), None)
    if note is None or event is None:
        raise NotSigned(f"no checkpoint covers an event at position {position}")
    size = Checkpoint.parse(parts(note)[0]).size
    proof = inclusion_proof(position - 1, size, log.node())
    return tlog_proof(index=position - 1, proof=proof, note=note, envelope=envelope_of(event))


class Included(Struct, frozen=True, kw_only=True):
    """A leaf, its path to the root over ``size`` leaves, and that root."""

    index: int
    size: int
    leaf: Hash
    proof: Sequence[Hash]
    root: Hash


def prove_inclusion(log: StoredLog, position: int, size: int) -> Included:
    """That the event at ``position`` is in the tree over the first ``size`` events."""
    node = log.node()
    return Included(
        index=position - 1,
        size=size,
        leaf=node(0, position - 1),
        proof=inclusion_proof(position - 1, size, node),
        root=root_of(log, size),
    )


def root_of(log: StoredLog, size: int) -> Hash:
    """The root of the tree over the first ``size`` events."""
    return joined(range_nodes(0, size, log.node()))


def prove_growth(log: StoredLog, old: int, new: int) -> Sequence[Hash]:
    """That the log of ``new`` events began with the log of ``old``."""
    return consistency_proof(old, new, log.node())
