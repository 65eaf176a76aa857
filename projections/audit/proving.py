"""Proofs out of the stored tree: that an event stands in the log, that the log only grew."""

from __future__ import annotations

from collections.abc import Sequence

from domain.audit.canonical import envelope_of
from domain.audit.checkpoint import Checkpoint, parts
from domain.audit.merkle import Hash
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


def prove_growth(log: StoredLog, old: int, new: int) -> Sequence[Hash]:
    """That the log of ``new`` events began with the log of ``old``."""
    return consistency_proof(old, new, log.node())
