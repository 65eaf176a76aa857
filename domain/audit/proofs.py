"""Proofs: that an event is in the tree, and that a tree is the beginning of a later one.

Sources: RFC 6962 sections 2.1.1 and 2.1.2 for making them, RFC 9162 sections 2.1.3.2 and
2.1.4.2 for checking them.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.audit.merkle import HASH_BYTES, Hash, NodeAt, joined, node_hash, range_nodes


class ProofInvalid(Exception):
    """The proof does not prove it."""


def inclusion_proof(index: int, size: int, node: NodeAt) -> list[Hash]:
    """The path from leaf ``index`` to the root over the first ``size`` leaves, leaf first.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"leaf {index} is not in a tree of {size}")
    begin, end, path = 0, size, []
    while end - begin > 1:
        middle = begin + _split(end - begin)
        if index < middle:
            path.append(joined(range_nodes(middle, end, node)))
            end = middle
        else:
            path.append(joined(range_nodes(begin, middle, node)))
            begin = middle
    return path[::-1]


def verify_inclusion(
    *, index: int, size: int, leaf: Hash, proof: Sequence[Hash], root: Hash
) -> None:
    """Check a path.

    Raises:
        ProofInvalid: it does not lead from this leaf to this root.
    """
    if not 0 <= index < size:
        raise ProofInvalid(f"leaf {index} is not in a tree of {size}")
    _require_hashes(leaf, root, *proof)
    here, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            raise ProofInvalid("the path is too long")
        if here & 1 or here == last:
            found = node_hash(sibling, found)
            while here & 1 == 0 and here:
                here, last = here >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise ProofInvalid("the path is too short")
    if found != root:
        raise ProofInvalid("the path leads to another root")


def consistency_proof(old: int, new: int, node: NodeAt) -> list[Hash]:
    """What shows that the tree over ``old`` leaves is the beginning of that over ``new``.

    Raises:
        ValueError: ``old`` is the larger one, or below 0.
    """
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} cannot be the beginning of one of {new}")
    begin, end, known, path = 0, new, True, []
    if old == 0:
        return []
    while old != end:
        middle = begin + _split(end - begin)
        if old <= middle:
            path.append(joined(range_nodes(middle, end, node)))
            end = middle
        else:
            path.append(joined(range_nodes(begin, middle, node)))
            begin, known = middle, False
    if not known:
        path.append(joined(range_nodes(begin, end, node)))
    return path[::-1]


def verify_consistency(
    *, old: int, new: int, old_root: Hash, new_root: Hash, proof: Sequence[Hash]
) -> None:
    """Check that a tree grew out of an older one.

    Raises:
        ProofInvalid: it does not show that.
    """
    if not 0 < old <= new:
        raise ProofInvalid(f"a tree of {old} is no beginning to show of one of {new}")
    _require_hashes(old_root, new_root, *proof)
    if old == new:
        if proof or old_root != new_root:
            raise ProofInvalid("trees of one size have one root and need no proof")
        return
    older, newer = _both_roots(old, new, list(proof) if old & (old - 1) else [old_root, *proof])
    if older != old_root or newer != new_root:
        raise ProofInvalid("the proof leads to other roots: the history forked")


def _require_hashes(*hashes: Hash) -> None:
    if any(len(each) != HASH_BYTES for each in hashes):
        raise ProofInvalid(f"a hash has {HASH_BYTES} bytes")


def _both_roots(old: int, new: int, path: Sequence[Hash]) -> tuple[Hash, Hash]:
    if not path:
        raise ProofInvalid("the proof is empty")
    here, last = old - 1, new - 1
    while here & 1:
        here, last = here >> 1, last >> 1
    older = newer = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise ProofInvalid("the proof is too long")
        if here & 1 or here == last:
            older, newer = node_hash(sibling, older), node_hash(sibling, newer)
            while here & 1 == 0 and here:
                here, last = here >> 1, last >> 1
        else:
            newer = node_hash(newer, sibling)
        here, last = here >> 1, last >> 1
    if last:
        raise ProofInvalid("the proof is too short")
    return older, newer


def _split(size: int) -> int:
    """The largest power of two below ``size``."""
    return 1 << ((size - 1).bit_length() - 1)
