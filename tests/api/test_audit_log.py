"""The signed log over HTTP, as a tool for C2SP logs reads it: it believes nothing but bytes."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from typing import Any

import pytest

from api.app import _CHAPTERS
from domain.audit.checkpoint import Checkpoint, VerifierKey, checkpoint_in
from domain.audit.merkle import Frontier, leaf_hash
from domain.audit.proofs import verify_consistency, verify_inclusion
from domain.audit.tiles import WIDTH, split
from projections.audit.signature import is_signed
from tests.api.live import LiveApi, Person, field_errors, ok, refused
from tests.audit.conftest import sign_all

LOG = "/api/audit/log"


@pytest.fixture(scope="module")
def first(api: LiveApi, admin: Person, auditor: Person) -> Checkpoint:
    """A checkpoint that an auditor kept; the log goes on from it past a whole tile."""
    refused(auditor.client.get(f"{LOG}/checkpoint"), 404, "RESOURCE_NOT_FOUND")
    refused(auditor.client.get(f"{LOG}/proof/inclusion?position=1"), 409, "INVALID_STATE")
    asyncio.run(sign_all(api.database_url, events_max=4096))
    kept = newest(auditor)
    body = {"amount": 1, "batch_size": 100}
    for _ in range(3):
        ok(admin.client.post("/api/recharge/codes", json=body))
    asyncio.run(sign_all(api.database_url, events_max=4096))
    return kept


def newest(auditor: Person) -> Checkpoint:
    answer = auditor.client.get(f"{LOG}/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    key = VerifierKey.parse(auditor.client.get(f"{LOG}/key").text)
    return checkpoint_in(answer.text, key, is_signed)


def tile(auditor: Person, name: str) -> bytes:
    answer = auditor.client.get(f"{LOG}/tile/{name}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    assert "immutable" in answer.headers["cache-control"]
    return answer.content


def entries(bundle: bytes) -> list[bytes]:
    found = []
    while bundle:
        size = int.from_bytes(bundle[:2], "big")
        found.append(bundle[2 : 2 + size])
        bundle = bundle[2 + size :]
    return found


def test_the_tiles_give_the_root_of_the_checkpoint(auditor: Person, first: Checkpoint) -> None:
    now = newest(auditor)
    assert now.size > WIDTH > first.size
    rest = f"001.p/{now.size - WIDTH}"
    hashes = split(tile(auditor, "0/000")) + split(tile(auditor, f"0/{rest}"))
    assert len(hashes) == now.size
    assert Frontier().with_leaves(hashes).root == now.root
    assert Frontier().with_leaves(hashes[: first.size]).root == first.root
    above = split(tile(auditor, "1/000.p/1"))
    assert above == [Frontier().with_leaves(hashes[:WIDTH]).root]
    told = entries(tile(auditor, "entries/000")) + entries(tile(auditor, f"entries/{rest}"))
    assert [leaf_hash(each) for each in told] == hashes
    assert tile(auditor, "0/000.p/3") == b"".join(hashes[:3])


@pytest.mark.parametrize(
    "name",
    [
        "0/001",
        "0/0",
        "0/0000",
        "0/x000/001",
        "0/001.p/0",
        "0/000.p/256",
        "0/001.p/255",
        "64/000",
        "00/000",
        "-1/000",
        "entries/001",
        "entries/000.p/999",
        "data/000",
        "2/000",
    ],
)
def test_a_tile_that_is_not_there_yet_or_never_is_a_404(
    auditor: Person, first: Checkpoint, name: str
) -> None:
    refused(auditor.client.get(f"{LOG}/tile/{name}"), 404, "RESOURCE_NOT_FOUND")


def test_inclusion_is_proved_against_any_size(auditor: Person, first: Checkpoint) -> None:
    now = newest(auditor)
    for position, size in ((1, now.size), (first.size, first.size), (300, now.size)):
        query = f"position={position}&size={size}"
        found = ok(auditor.client.get(f"{LOG}/proof/inclusion?{query}"))
        verify_inclusion(
            index=position - 1,
            size=size,
            leaf=b64decode(found["leaf"]),
            proof=[b64decode(each) for each in found["proof"]],
            root=now.root if size == now.size else first.root,
        )
    beyond = auditor.client.get(f"{LOG}/proof/inclusion?position=1&size={now.size + 1}")
    assert set(field_errors(beyond)) == {"size"}
    outside = auditor.client.get(f"{LOG}/proof/inclusion?position={first.size + 1}&size=1")
    assert set(field_errors(outside)) == {"position"}


def test_a_kept_checkpoint_is_the_beginning_of_the_newest(
    auditor: Person, first: Checkpoint
) -> None:
    now = newest(auditor)
    query = f"from={first.size}&to={now.size}"
    found = ok(auditor.client.get(f"{LOG}/proof/consistency?{query}"))
    verify_consistency(
        old=first.size,
        new=now.size,
        old_root=first.root,
        new_root=now.root,
        proof=[b64decode(each) for each in found["proof"]],
    )
    assert ok(auditor.client.get(f"{LOG}/proof/consistency?from={first.size}"))["size"]
    beyond = auditor.client.get(f"{LOG}/proof/consistency?from={now.size + 1}")
    assert set(field_errors(beyond)) == {"from"}


def test_every_answer_of_the_audit_interface_is_one_event(
    api: LiveApi, auditor: Person, first: Checkpoint
) -> None:
    user = str(auditor.user_id)
    made_up = {
        "{event}": "1",
        "{stream_id}": user,
        "{version}": "1",
        "{kind}": "user",
        "{entity_id}": user,
        "{cause}": "1",
        "{account}": user,
        "{level}": "0",
        "{number}": "000.p/1",
    }
    needed = {"/diff": "from=0", "/inclusion": "position=1", "/consistency": "from=1"}
    paths = [
        route.path_format
        for chapter in _CHAPTERS
        for route in chapter.ROUTER.routes
        if route.path_format.startswith("/audit/") and route.path_format[-6:] != "stream"
    ]
    assert len(paths) >= 12
    for path in paths:
        address = f"/api{path}"
        for name, value in made_up.items():
            address = address.replace(name, value)
        query = next((q for end, q in needed.items() if path.endswith(end)), "")
        before = facts(api)
        answer = auditor.client.get(f"{address}?{query}")
        assert answer.status_code == 200, (address, answer.text)
        (fact,) = facts(api)[len(before) :]
        assert fact["type"] == "system.audit_accessed/1"
        assert fact["asked"] == address + (f"?{query}" if query else "")
        assert fact["user_id"] == user


def facts(api: LiveApi) -> list[Any]:
    rows = api.rows("""
        SELECT owl_log.readable(state) FROM owl_log.events ORDER BY notification_id
    """)
    return [row[0] for row in rows]
