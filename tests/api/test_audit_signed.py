"""Keys, checkpoints and receipts over HTTP, while the key that signs the log is changed."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from commands.log_keys import RotateLogKey, rotate_log_key
from commands.signatures import SigningKey
from domain.audit.checkpoint import Checkpoint, NoteInvalid, VerifierKey, checkpoint_in
from domain.audit.merkle import leaf_hash
from domain.audit.proofs import verify_inclusion
from domain.audit.rotation import KeyChain, Link, Rotation
from domain.envelope import Actor, Context
from projections.audit.proving import prove_event
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from tests.api.live import LiveApi, Person, field_errors, ok, refused
from tests.api.opened import new_id
from tests.audit.conftest import KEY, sign_all, verifier_key
from tests.proof import proved_database
from tests.stack import LiveStack

LOG = "/api/audit/log"
RECEIPTS = "/api/audit/receipts"
SECOND, THIRD = SigningKey(b"2" * 32), SigningKey(b"3" * 32)


@pytest.fixture
def fresh_api(session_stack: LiveStack) -> Iterator[LiveApi]:
    with proved_database(session_stack, KEY, SECOND) as url, LiveApi(url) as live:
        yield live


@pytest.fixture
def asker(fresh_api: LiveApi) -> Iterator[Person]:
    with fresh_api.someone("auditor") as person:
        yield person


def rotate(api: LiveApi, old: SigningKey, new: SigningKey) -> Rotation:
    """What `owl audit keys rotate` records; the server is told nothing of it."""
    with StoredLog.open(api.database_url) as log:
        keys = [VerifierKey(log.origin(), each.public_key) for each in (old, new)]
        change = Rotation(log.head(), *keys)
    command = RotateLogKey(note=change.signed_by(old.sign, new.sign))
    command_id = new_id()
    context = Context(
        command_id=command_id,
        actor=Actor("system", "owl-audit/test"),
        correlation_id=str(command_id),
    )
    api.call(api.platform.writer.run(rotate_log_key, command, context))
    return change


def key_of(person: Person) -> VerifierKey:
    return VerifierKey.parse(person.client.get(f"{LOG}/key").text)


def checkpoints(person: Person, query: str = "") -> Any:
    return ok(person.client.get(f"{LOG}/checkpoints{query}"))


def receipt(person: Person, event: str) -> str:
    answer = person.client.get(f"{RECEIPTS}/{event}")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    return answer.text


def proved(text: str, key: VerifierKey) -> Checkpoint:
    """The checkpoint of a receipt that proves its event, with nothing but a key."""
    head, _, note = text.partition("\n\n")
    _, extra, index, *hashes = head.split("\n")
    found = checkpoint_in(note, key, is_signed)
    verify_inclusion(
        index=int(index.removeprefix("index ")),
        size=found.size,
        leaf=leaf_hash(base64.b64decode(extra.removeprefix("extra "))),
        proof=[base64.b64decode(each) for each in hashes],
        root=found.root,
    )
    return found


def test_a_running_server_shows_another_key_and_what_it_signs(
    fresh_api: LiveApi, asker: Person
) -> None:
    asyncio.run(sign_all(fresh_api.database_url, KEY))
    old = key_of(asker)
    assert old == verifier_key(fresh_api.database_url)
    assert ok(asker.client.get(f"{LOG}/keys")) == [
        {"key": str(old), "since": 0, "signs_now": True, "rotation": None}
    ]
    before = checkpoints(asker)["items"][-1]

    change = rotate(fresh_api, KEY, SECOND)
    size = asyncio.run(sign_all(fresh_api.database_url, SECOND, KEY))
    assert key_of(asker) == change.new

    first, second = ok(asker.client.get(f"{LOG}/keys"))
    assert (first["key"], first["signs_now"]) == (str(old), False)
    assert (second["key"], second["signs_now"]) == (str(change.new), True)
    # who held the first key believes the second one for what both have signed
    links = [Link(second["since"], second["rotation"])]
    chain = KeyChain.of(old, links, is_signed)
    *_, was, now = checkpoints(asker)["items"]
    assert was == before
    assert (was["key_id"], now["key_id"]) == (old.key_id.hex(), change.new.key_id.hex())
    assert chain.checkpoint_in(was["note"], is_signed).root.hex() == was["root"]
    assert checkpoint_in(now["note"], change.new, is_signed).size == now["size"] == size
    with pytest.raises(NoteInvalid):
        checkpoint_in(now["note"], old, is_signed)
    assert asker.client.get(f"{LOG}/checkpoint").text == now["note"]
    assert proved(receipt(asker, "1"), old).size == was["size"]
    assert proved(receipt(asker, str(second["since"])), change.new).size == size


def test_a_log_whose_keys_do_not_lead_to_the_servers_own_is_refused_with_what_to_do(
    session_stack: LiveStack,
) -> None:
    database_url = session_stack.create_database()  # nothing proves this one
    try:
        with LiveApi(database_url) as api, api.someone("auditor") as person:
            rotate(api, SECOND, THIRD)
            for path in ("key", "keys"):
                answer = person.client.get(f"{LOG}/{path}")
                refused(answer, 409, "INVALID_STATE")
                assert "owl audit verify" in answer.json()["message"]
    finally:
        session_stack.drop_database(database_url)


def test_checkpoints_are_found_by_position_and_time_and_read_on(
    fresh_api: LiveApi, asker: Person
) -> None:
    assert checkpoints(asker) == {"items": [], "next_at": None}
    for _ in range(3):
        asyncio.run(sign_all(fresh_api.database_url, KEY))
        key_of(asker)  # a look, so that there is something to sign
    whole = checkpoints(asker)
    sizes = [each["size"] for each in whole["items"]]
    assert len(sizes) >= 3
    assert sizes == sorted(sizes)
    assert whole["next_at"] is None
    page = checkpoints(asker, "?limit=1")
    assert page == {"items": whole["items"][-1:], "next_at": sizes[-2]}
    older = checkpoints(asker, f"?limit=1&at={page['next_at']}")
    assert older["items"] == whole["items"][-2:-1]
    assert checkpoints(asker, f"?at={sizes[-1] - 1}")["items"] == whole["items"][:-1]
    # the notary of the tests signs at the noon of one day
    signed_at = datetime.fromisoformat(whole["items"][0]["signed_at"]).astimezone(UTC)
    then = signed_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    assert checkpoints(asker, f"?at={then}") == whole
    assert checkpoints(asker, "?at=2001-01-01T00:00:00Z")["items"] == []
    assert set(field_errors(asker.client.get(f"{LOG}/checkpoints?at=noon"))) == {"at"}
    assert set(field_errors(asker.client.get(f"{LOG}/checkpoints?limit=0"))) == {"limit"}


def test_a_receipt_is_the_file_that_the_command_writes(
    fresh_api: LiveApi, asker: Person
) -> None:
    refused(asker.client.get(f"{RECEIPTS}/1"), 409, "INVALID_STATE")
    signed = asyncio.run(sign_all(fresh_api.database_url, KEY))
    with StoredLog.open(fresh_api.database_url) as log:
        wanted = prove_event(log, signed)
    assert receipt(asker, str(signed)) == wanted
    event = ok(asker.client.get(f"/api/audit/events/{signed}"))
    assert receipt(asker, event["event_id"]) == wanted
    refused(asker.client.get(f"{RECEIPTS}/{signed + 1}"), 409, "INVALID_STATE")
    for nothing in ("0", "01", "x", "999999", f"{new_id()}/1", f"{asker.user_id}/0"):
        refused(asker.client.get(f"{RECEIPTS}/{nothing}"), 404, "RESOURCE_NOT_FOUND")


def test_users_are_shown_none_of_it(fresh_api: LiveApi) -> None:
    with fresh_api.someone() as person:
        for path in (f"{LOG}/keys", f"{LOG}/checkpoints", f"{RECEIPTS}/1"):
            refused(person.client.get(path), 403, "ACCESS_DENIED")
