"""A thousand proofs and notes, honest and not, judged alike by this program and by another's.

The other is written in JavaScript from the definitions of RFC 6962 and C2SP signed-note.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from commands.signatures import SigningKey
from domain.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey, opened, signed
from domain.audit.merkle import Frontier, full_root, leaf_hash
from domain.audit.proofs import (
    ProofInvalid,
    consistency_proof,
    inclusion_proof,
    verify_consistency,
    verify_inclusion,
)
from projections.audit.signature import is_signed
from tests.house.tree import ROOT

NODE = shutil.which("node")
VECTORS = 1_000
SIZE = 300
LEAVES = [leaf_hash(str(n).encode()) for n in range(SIZE)]
ROOTS = [Frontier().with_leaves(LEAVES[:n]).root for n in range(SIZE + 1)]
KEY = SigningKey(b"k" * 32)
VERIFIER = VerifierKey("owl-factory/vectors", KEY.public_key)


def node_at(level: int, index: int) -> bytes:
    return full_root(LEAVES[index << level : (index + 1) << level])


def inclusion(dice: random.Random) -> dict[str, Any]:
    size = dice.randrange(1, SIZE + 1)
    index = dice.randrange(size)
    proof = inclusion_proof(index, size, node_at)
    return {
        "kind": "inclusion",
        "index": index,
        "size": size,
        "leaf": LEAVES[index].hex(),
        "proof": [each.hex() for each in proof],
        "root": ROOTS[size].hex(),
    }


def consistency(dice: random.Random) -> dict[str, Any]:
    new = dice.randrange(SIZE + 1)
    old = dice.randrange(new + 1)
    return {
        "kind": "consistency",
        "old": old,
        "new": new,
        "old_root": ROOTS[old].hex(),
        "new_root": ROOTS[new].hex(),
        "proof": [each.hex() for each in consistency_proof(old, new, node_at)],
    }


def note(dice: random.Random) -> dict[str, Any]:
    size = dice.randrange(SIZE + 1)
    text = Checkpoint(VERIFIER.name, size, ROOTS[size]).text
    return {"kind": "note", "key": str(VERIFIER), "note": signed(text, VERIFIER, KEY.sign)}


def spoilt(vector: dict[str, Any], dice: random.Random) -> dict[str, Any]:
    """One thing about it is otherwise; sometimes that leaves it right."""
    name = dice.choice([name for name in vector if name != "kind"])
    value: Any = vector[name]
    if isinstance(value, int):
        value = max(0, value + dice.choice((-1, 1, 2)))
    elif isinstance(value, list):
        value = changed_path(value, dice)
    elif name in {"key", "note"}:
        at = dice.randrange(len(value))
        value = value[:at] + dice.choice("Aa1+ \n=—") + value[at + dice.randrange(2) :]
    else:
        value = flipped(value, dice)
    return {**vector, name: value}


def changed_path(path: list[str], dice: random.Random) -> list[str]:
    at, extra = dice.randrange(len(path) + 1), ROOTS[dice.randrange(SIZE)].hex()
    ways: list[Callable[[], list[str]]] = [
        lambda: [*path[:at], extra, *path[at:]],
        lambda: [*path[:at], *path[at + 1 :]],
        lambda: path[::-1],
        lambda: [flipped(each, dice) if n == at else each for n, each in enumerate(path)],
    ]
    return dice.choice(ways)()


def flipped(text: str, dice: random.Random) -> str:
    data = bytearray.fromhex(text)
    data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return data.hex()


def ours(vector: dict[str, Any]) -> bool:
    try:
        match vector["kind"]:
            case "inclusion":
                verify_inclusion(
                    index=vector["index"],
                    size=vector["size"],
                    leaf=bytes.fromhex(vector["leaf"]),
                    proof=[*map(bytes.fromhex, vector["proof"])],
                    root=bytes.fromhex(vector["root"]),
                )
            case "consistency":
                verify_consistency(
                    old=vector["old"],
                    new=vector["new"],
                    old_root=bytes.fromhex(vector["old_root"]),
                    new_root=bytes.fromhex(vector["new_root"]),
                    proof=[*map(bytes.fromhex, vector["proof"])],
                )
            case _:
                opened(vector["note"], VerifierKey.parse(vector["key"]), is_signed)
    except (ProofInvalid, NoteInvalid):
        return False
    return True


@pytest.mark.skipif(NODE is None, reason="this machine has no node")
def test_a_thousand_vectors_are_judged_alike_in_another_language() -> None:
    dice = random.Random(6962)
    honest = [dice.choice((inclusion, consistency, note))(dice) for _ in range(VECTORS)]
    vectors = [spoilt(each, dice) if n % 3 else each for n, each in enumerate(honest)]
    other = subprocess.run(
        [NODE or "", str(ROOT / "tests" / "audit" / "other_language.mjs")],
        input=json.dumps(vectors),
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = json.loads(other.stdout)
    assert all(theirs[::3])
    assert sum(theirs) < VECTORS / 2
    differing = [
        each for each, verdict in zip(vectors, theirs, strict=True) if ours(each) != verdict
    ]
    assert differing == []
