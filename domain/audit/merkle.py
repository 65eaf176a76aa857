"""The Merkle tree over the log: hashes, the frontier that grows it, the nodes of any range.

Source: RFC 6962 section 2.1 (the same as RFC 9162 section 2.1). Leaf ``i`` is the event at
position ``i + 1``: positions are gapless, so nothing else need be remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from typing import Final, TypeAlias

from msgspec import Struct

Hash: TypeAlias = bytes
"""32 bytes of SHA-256."""

HASH_BYTES: Final = 32
LEAF: Final = b"\x00"
NODE: Final = b"\x01"
EMPTY_ROOT: Final[Hash] = sha256(b"").digest()

NodeAt: TypeAlias = Callable[[int, int], Hash]
"""Gives the root of the full subtree ``index`` at ``level``: 2**level leaves, the first of them
``index << level``."""


def leaf_hash(entry: bytes) -> Hash:
    """The leaf of an entry."""
    return sha256(LEAF + entry).digest()


def node_hash(left: Hash, right: Hash) -> Hash:
    """The parent of two nodes."""
    return sha256(NODE + left + right).digest()


def full_root(hashes: Sequence[Hash]) -> Hash:
    """The root of a full subtree over a power of two of nodes of one level."""
    assert hashes, "a full subtree has a leaf"
    assert len(hashes) & (len(hashes) - 1) == 0, "a full subtree has a power of two of leaves"
    level = hashes
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=True)
        level = [sha256(NODE + left + right).digest() for left, right in pairs]
    return level[0]


def joined(nodes: Sequence[Hash]) -> Hash:
    """The root over full subtrees that stand side by side, largest first."""
    if not nodes:
        return EMPTY_ROOT
    root = nodes[-1]
    for left in reversed(nodes[:-1]):
        root = node_hash(left, root)
    return root


def full_subtrees(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The fewest full subtrees that cover leaves ``begin`` up to, not including, ``end``.

    Each as level and index, from left to right.
    """
    while begin < end:
        level = (end - begin).bit_length() - 1
        if begin:
            level = min(level, (begin & -begin).bit_length() - 1)
        yield level, begin >> level
        begin += 1 << level


def range_nodes(begin: int, end: int, node: NodeAt) -> list[Hash]:
    """The hashes of ``full_subtrees``: what stands for the leaves of a range in a proof."""
    return [node(level, index) for level, index in full_subtrees(begin, end)]


def root_of(size: int, node: NodeAt) -> Hash:
    """The root of the tree over the first ``size`` leaves."""
    return joined(range_nodes(0, size, node))


class Frontier(Struct, frozen=True):
    """All that is needed to grow the tree: the full subtrees over ``size`` leaves."""

    size: int = 0
    nodes: tuple[Hash, ...] = ()

    @property
    def root(self) -> Hash:
        """The root of the tree so far."""
        return joined(self.nodes)

    def with_leaves(self, leaves: Sequence[Hash]) -> Frontier:
        """The tree with more leaves at its end."""
        grown, at = self, 0
        for level, index in full_subtrees(self.size, self.size + len(leaves)):
            assert index << level == grown.size, "subtrees follow one another"
            grown = grown.with_subtree(level, full_root(leaves[at : at + (1 << level)]))
            at += 1 << level
        return grown

    def with_subtree(self, level: int, root: Hash) -> Frontier:
        """The tree with one more full subtree of 2**level leaves.

        Raises:
            ValueError: such a subtree cannot stand at this place.
        """
        if self.size & ((1 << level) - 1):
            raise ValueError(f"a subtree of level {level} cannot follow {self.size} leaves")
        nodes, at = list(self.nodes), level
        while self.size >> at & 1:
            root = node_hash(nodes.pop(), root)
            at += 1
        return Frontier(self.size + (1 << level), (*nodes, root))
