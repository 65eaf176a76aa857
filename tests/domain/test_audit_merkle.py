"""The tree against the reference vectors, and against its definition for any size."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import asdict, replace

from domain.audit.merkle import (
    EMPTY_ROOT,
    Frontier,
    Hash,
    NodeAt,
    full_root,
    full_subtrees,
    joined,
    leaf_hash,
    node_hash,
    range_nodes,
    root_of,
)
from domain.audit.proofs import (
    ProofInvalid,
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from domain.audit.tiles import WIDTH, TilesMissing, Tree, edge_places, node_in, tile_hashes

# the inputs and roots of the reference implementation of RFC 6962 (Certificate Transparency)
INPUTS = [
    bytes.fromhex(text)
    for text in (
        *("", "00", "10", "2021", "3031", "40414243", "5051525354555657"),
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
PATHS = {
    (0, 8): ("96a296d224f285c6", "5f083f0a1a33ca07", "6b47aaf29ee3c2af"),
    (5, 8): ("bc1a0643b12e4d2d", "ca854ea128ed050b", "d37ee418976dd957"),
    (2, 3): ("fac54203e7cc696c",),
    (1, 5): ("6e340b9cffb37a98", "5f083f0a1a33ca07", "bc1a0643b12e4d2d"),
}
GROWTHS = {
    (1, 8): ("96a296d224f285c6", "5f083f0a1a33ca07", "6b47aaf29ee3c2af"),
    (6, 8): ("0ebc5d3437fbe2db", "ca854ea128ed050b", "d37ee418976dd957"),
    (2, 5): ("5f083f0a1a33ca07", "bc1a0643b12e4d2d"),
    (8, 8): (),
}


def leaves(count: int) -> list[Hash]:
    return [leaf_hash(str(n).encode()) for n in range(count)]


def node_over(hashes: Sequence[Hash]) -> NodeAt:
    return lambda level, index: full_root(hashes[index << level : (index + 1) << level])


def tree_hash(hashes: Sequence[Hash]) -> Hash:
    """MTH of RFC 6962, word by word."""
    if not hashes:
        return sha256(b"").digest()
    if len(hashes) == 1:
        return hashes[0]
    split = 1
    while split * 2 < len(hashes):
        split *= 2
    return node_hash(tree_hash(hashes[:split]), tree_hash(hashes[split:]))


def starts(hashes: Sequence[Hash]) -> tuple[str, ...]:
    return tuple(item.hex()[:16] for item in hashes)


class Claimed(Struct):
    index: int
    size: int
    leaf: Hash
    proof: tuple[Hash, ...]
    root: Hash


class Grown(Struct):
    old: int
    new: int
    old_root: Hash
    new_root: Hash
    proof: tuple[Hash, ...]


REFERENCE = [leaf_hash(entry) for entry in INPUTS]
SIZES = st.integers(0, 700)


@pytest.mark.parametrize("size", range(9))
def test_roots_are_those_of_the_reference_implementation(size: int) -> None:
    assert Frontier().with_leaves(REFERENCE[:size]).root.hex() == ROOTS[size]


@pytest.mark.parametrize(("case", "path"), PATHS.items())
def test_inclusion_paths_are_those_of_the_reference(
    case: tuple[int, int], path: tuple[str, ...]
) -> None:
    assert starts(inclusion_proof(*case, node_over(REFERENCE))) == path


@pytest.mark.parametrize(("case", "path"), GROWTHS.items())
def test_consistency_proofs_are_those_of_the_reference(
    case: tuple[int, int], path: tuple[str, ...]
) -> None:
    assert starts(consistency_proof(*case, node_over(REFERENCE))) == path


@settings(deadline=None)
@given(SIZES, SIZES)
def test_a_frontier_grown_in_two_steps_has_the_root_of_the_definition(a: int, b: int) -> None:
    hashes = leaves(a + b)
    frontier = Frontier().with_leaves(hashes[:a]).with_leaves(hashes[a:])
    assert frontier.size == a + b
    assert frontier.root == tree_hash(hashes) == root_of(a + b, node_over(hashes))


@settings(deadline=None)
@given(st.integers(1, 700), st.data())
def test_every_leaf_is_proved_and_no_other_leaf_place_or_path_is(
    size: int, data: st.DataObject
) -> None:
    hashes = leaves(size)
    index = data.draw(st.integers(0, size - 1))
    root, proof = tree_hash(hashes), inclusion_proof(index, size, node_over(hashes))
    verify_inclusion(index=index, size=size, leaf=hashes[index], proof=proof, root=root)
    right = Claimed(index, size, hashes[index], tuple(proof), root)
    other = leaf_hash(b"other")
    for wrong in (
        replace(right, leaf=other),
        replace(right, root=other),
        replace(right, index=(index + 1) % size if size > 1 else 1),
        replace(right, proof=(*right.proof, root)),
        replace(right, proof=right.proof[:-1]) if proof else replace(right, size=0),
        replace(right, index=-1),
        replace(right, leaf=b"", root=b"", index=0, size=1, proof=()),
    ):
        with pytest.raises(ProofInvalid):
            verify_inclusion(**asdict(wrong))


@settings(deadline=None)
@given(SIZES, SIZES)
def test_growth_is_proved_and_a_fork_is_not(old: int, more: int) -> None:
    new, hashes = old + more, leaves(old + more)
    proof = consistency_proof(old, new, node_over(hashes))
    old_root, new_root = tree_hash(hashes[:old]), tree_hash(hashes)
    honest = Grown(old, new, old_root, new_root, tuple(proof))
    if old == 0:  # it begins every tree, whatever its root is said to be: that shows nothing
        with pytest.raises(ProofInvalid):
            verify_consistency(**asdict(honest))
        return
    verify_consistency(**asdict(honest))
    with pytest.raises(ProofInvalid):
        verify_consistency(**asdict(replace(honest, old_root=b"", new_root=b"")))
    forked = [leaf_hash(b"forged"), *hashes[1:]]
    again = consistency_proof(old, new, node_over(forked))
    for root, path in ((tree_hash(forked), again), (tree_hash(forked), proof)):
        with pytest.raises(ProofInvalid):
            verify_consistency(old=old, new=new, old_root=old_root, new_root=root, proof=path)
    for path in ([*proof, new_root], proof[:-1] if proof else [new_root]):
        with pytest.raises(ProofInvalid):
            verify_consistency(
                old=old, new=new, old_root=old_root, new_root=new_root, proof=path
            )


@settings(deadline=None)
@given(SIZES, SIZES, SIZES)
def test_a_range_and_what_stands_left_and_right_of_it_give_the_root(
    left: int, inside: int, right: int
) -> None:
    hashes = leaves(left + inside + right)
    end, size = left + inside, left + inside + right
    frontier = Frontier()
    before = range_nodes(0, left, node_over(hashes))
    for (level, _), node in zip(full_subtrees(0, left), before, strict=True):
        frontier = frontier.with_subtree(level, node)
    frontier = frontier.with_leaves(hashes[left:end])
    after = range_nodes(end, size, node_over(hashes))
    for (level, _), node in zip(full_subtrees(end, size), after, strict=True):
        frontier = frontier.with_subtree(level, node)
    assert frontier.root == tree_hash(hashes)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 400), max_size=6), st.sampled_from([0, WIDTH, WIDTH * WIDTH]))
def test_tiles_grown_in_any_steps_hold_every_node(steps: list[int], start: int) -> None:
    base = [leaf_hash(b"x")] * start
    hashes: list[Hash] = []
    tree, tiles = Tree(), dict[tuple[int, int], bytes]()
    for step in ([start] if start else []) + steps:
        more = base if len(hashes) < start else leaves(step)
        tree, changed = tree.with_leaves(more)
        hashes += more
        tiles.update({(tile.level, tile.number): tile.hashes for tile in changed})
    size = len(hashes)
    for (level, number), stored in tiles.items():
        assert len(stored) == 32 * tile_hashes(size, level, number)
    node = node_in(lambda level, number: tiles[level, number])
    assert root_of(size, node) == Frontier().with_leaves(hashes).root == tree.frontier.root
    edge = {place: tiles[place] for place in edge_places(size)}
    assert Tree.of(size, edge).with_leaves(leaves(300)) == tree.with_leaves(leaves(300))
    for place in edge:
        with pytest.raises(TilesMissing):
            Tree.of(size, edge | {place: tiles[place][:-1]})


def test_a_subtree_is_refused_where_it_cannot_stand() -> None:
    with pytest.raises(ValueError, match="cannot follow"):
        Frontier().with_leaves(leaves(3)).with_subtree(1, EMPTY_ROOT)


def test_nothing_joined_is_the_empty_tree() -> None:
    assert joined(()) == EMPTY_ROOT == Frontier().root
