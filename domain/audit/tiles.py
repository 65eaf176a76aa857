"""Tiles: the tree as it is stored, 256 hashes of one level side by side.

A full tile never changes; the last one of each level only grows at its end. Source: the C2SP
specification tlog-tiles, so that tools made for it can read ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from domain.audit.merkle import HASH_BYTES, Frontier, Hash, NodeAt, full_root, range_nodes

HEIGHT: Final = 8
WIDTH: Final = 1 << HEIGHT

TileAt: TypeAlias = Callable[[int, int], bytes]
"""Gives the hashes of tile ``number`` at tile level ``level``, joined; fewer at the edge."""


class TilesMissing(Exception):
    """A tile that the tree needs is not stored, or is shorter than its size says."""

    def __init__(self, level: int, number: int) -> None:
        super().__init__(f"tile {level}/{number} is missing or too short")
        self.level = level
        self.number = number


class Tile(Struct, frozen=True):
    """Hashes ``number * 256`` and following of tree level ``level * 8``, joined."""

    level: int
    number: int
    hashes: bytes


def split(hashes: bytes) -> list[Hash]:
    """Joined hashes, one by one."""
    return [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]


def node_in(tile: TileAt) -> NodeAt:
    """Finds any full subtree's root in tiles; costs at most 255 hashes."""

    def node(level: int, index: int) -> Hash:
        inside = level % HEIGHT
        first = index << inside
        at = first % WIDTH * HASH_BYTES
        hashes = tile(level // HEIGHT, first // WIDTH)
        return full_root(split(hashes[at : at + (HASH_BYTES << inside)]))

    return node


class Tree(Struct, frozen=True):
    """What is kept in memory to grow the tree: the tiles at its right end.

    ``edge`` holds the unfinished tile of each level, from the leaves up.
    """

    size: int = 0
    edge: tuple[bytes, ...] = ()

    @property
    def frontier(self) -> Frontier:
        """The full subtrees side by side. Some hundred hashes, so not for growing."""
        node = node_in(lambda level, _: self.edge[level])
        return Frontier(self.size, tuple(range_nodes(0, self.size, node)))

    @classmethod
    def of(cls, size: int, tiles: dict[tuple[int, int], bytes]) -> Tree:
        """The tree of ``size`` leaves from the tiles at ``edge_places``.

        Raises:
            TilesMissing: one of them is not there, or is too short.
        """

        def tile(level: int, number: int) -> bytes:
            wanted = tile_hashes(size, level, number) * HASH_BYTES
            found = tiles.get((level, number), b"")[:wanted]
            if len(found) < wanted:
                raise TilesMissing(level, number)
            return found

        levels = -(-size.bit_length() // HEIGHT)
        return cls(size, tuple(tile(at, size >> HEIGHT * (at + 1)) for at in range(levels)))

    def with_leaves(self, leaves: Sequence[Hash]) -> tuple[Tree, list[Tile]]:
        """The tree with more leaves, and the tiles that were begun, continued or finished.

        Every node is hashed once, when the tile below it is full.
        """
        edge: list[bytes] = []
        changed: list[Tile] = []
        size, arrived, level = self.size, list(leaves), 0
        full = WIDTH * HASH_BYTES
        while arrived or level < len(self.edge):
            known = self.edge[level] if level < len(self.edge) else b""
            number, hashes, at = size >> HEIGHT, known + b"".join(arrived), 0
            finished = []
            while len(hashes) - at >= full:
                tile = hashes[at : at + full]
                changed.append(Tile(level, number, tile))
                finished.append(full_root(split(tile)))
                number, at = number + 1, at + full
            rest = hashes[at:]
            if rest and rest != known:
                changed.append(Tile(level, number, rest))
            edge.append(rest)
            size, arrived, level = size >> HEIGHT, finished, level + 1
        return Tree(self.size + len(leaves), tuple(edge)), changed


def edge_places(size: int) -> list[tuple[int, int]]:
    """Where the unfinished tiles of a tree of ``size`` leaves are: level and number of each."""
    levels = range(-(-size.bit_length() // HEIGHT))
    return [
        (level, size >> HEIGHT * (level + 1))
        for level in levels
        if size >> HEIGHT * level & (WIDTH - 1)
    ]


def tile_hashes(size: int, level: int, number: int) -> int:
    """How many hashes the tile has in a tree of ``size`` leaves."""
    return max(0, min(WIDTH, (size >> (HEIGHT * level)) - number * WIDTH))
