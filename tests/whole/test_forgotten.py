"""Somebody who lived on the platform is forgotten: nothing tells who it was, all still proves.

What they were called, and what they wrote into a task, is looked for in every table, every
message that the broker keeps, every file, every new bundle and every answer. What an
administrator noted on a recharge code stays: it is found in each of these, so what looks there
would see them, too.
"""

from __future__ import annotations

import asyncio
import base64
import io
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import nats
import psycopg
import pyarrow.parquet as pq
from click.testing import CliRunner, Result
from msgspec import Struct

from api.cli import main
from domain.audit.checkpoint import VerifierKey, checkpoint_in
from domain.audit.merkle import leaf_hash
from domain.audit.proofs import verify_inclusion
from projections.audit.signature import is_signed
from tests.api.live import ok, refused
from tests.whole.every_answer import asked, every_answer
from tests.whole.farm import PASSWORD as FARM_PASSWORD
from tests.whole.farm import Client, Farm, new_name
from tests.whole.plaintext import Plaintext, files_in, messages_of, tables_of
from tests.whole.processes import wait_for

EMAIL, PASSWORD = "Lin.Vergissmein@Example.com", "Vergissmein-nicht-1"
FORMER, NAME, FULL_NAME = "lin-vergissmein", "lin.forgetmenot", "林·勿忘我"
ADDRESS = "127.0.0.77"
TITLE, WISH = "Kanarienvogel 42", "Meisenknödel"
WHO = (EMAIL.lower(), "vergissmein@", FORMER, NAME, FULL_NAME, ADDRESS, PASSWORD, TITLE, WISH)
NOTE = "Zaunkönig 43"
REACHED = """
    SELECT min(position) FROM owl_read.checkpoints WHERE source = 'business' AND state = 'live'
"""
ERASED = """
    SELECT max(notification_id) FROM owl_log.events WHERE topic = 'accounts.user_erased/1'
"""
NOTED = {"owl_log.events", "OWL_EVENTS", "parquet", "jsonl: events.jsonl"}
VERIFIER = Path(__file__).parents[2] / "docs" / "verify" / "owl_verify.py"


class Somebody(Struct):
    """Who it was, what they did last, and what was handed out about them before."""

    user_id: UUID
    task_id: str
    key: Path
    checkpoint: Path
    bundle: Path
    registered_at: int
    proof: str
    sums: Any


def owl(farm: Farm, *words: str) -> Result:
    """A program in this process, with the farm's settings."""
    done = CliRunner().invoke(main, words, env=farm.settings)
    assert done.exit_code == 0, done.output
    return done


def a_life(farm: Farm, admin: Client) -> tuple[UUID, str]:
    """Everything that says who somebody is, rightly and wrongly; their id, and their task's."""
    url = f"http://127.0.0.1:{farm.ports[0]}/api"
    there = httpx.HTTPTransport(local_address=ADDRESS)
    with httpx.Client(base_url=url, transport=there, timeout=20) as client:
        account = {"email": EMAIL, "password": PASSWORD, "username": FORMER}
        account["full_name"] = FULL_NAME
        key = {"Idempotency-Key": str(uuid4())}
        for _ in range(2):
            ok(asked(client, "POST", "/auth/register", json=account, headers=key))
        assert asked(client, "POST", "/auth/register", json=account).status_code == 409
        assert asked(
            client, "POST", "/auth/register", json={**account, "email": FORMER}
        ).is_client_error
        login = {"email": EMAIL, "password": PASSWORD}
        guess = {**login, "password": f"{PASSWORD}?"}
        refused(asked(client, "POST", "/auth/login", json=guess), 401, "INVALID_CREDENTIALS")
        told = ok(asked(client, "POST", "/auth/login", json=login))
        client.headers["Authorization"] = f"Bearer {told['access_token']}"
        ok(asked(client, "PUT", "/users/me", json={"username": NAME}, headers=key))
        ok(asked(client, "PUT", "/users/me", json={"full_name": f"{FULL_NAME} II"}))
        code = farm.codes(amount=20, description=NOTE)[0]
        for _ in range(2):
            asked(client, "POST", "/recharge/redeem", json={"code": code})
        order = {"title": TITLE, "description": f"{WISH} …", "task_type": "test"}
        task = ok(asked(client, "POST", "/tasks", json=order, headers=key))["id"]
        listed = ok(asked(client, "GET", "/tasks"))["items"][0]
        for seen in (listed, ok(asked(client, "GET", f"/tasks/{task}"))):
            assert (seen["title"], seen["description"]) == (TITLE, f"{WISH} …")
        asked(client, "POST", "/tasks", json={**order, "task_type": FULL_NAME})
        asked(client, "GET", f"/users/{EMAIL}?search={EMAIL}")
    user_id = UUID(told["user"]["id"])
    assert admin.ended(task)["status"] == "completed"
    ok(asked(admin.http, "PUT", f"/admin/users/{user_id}", json={"balance": 33.0}))
    for searched in ("/admin/users", "/logs/system"):
        asked(admin.http, "GET", f"{searched}?search={EMAIL}")
    return user_id, task


def told(reader: Client, path: str) -> Any:
    return ok(asked(reader.http, "GET", path))


def auditor_of(farm: Farm) -> Client:
    """A new auditor."""
    name = new_name()
    known = told(farm.user(name), "/users/me")["id"]
    farm.admin().ask("PUT", f"/admin/users/{known}", {"role": "auditor"})
    account = {"email": f"{name}@example.com", "password": FARM_PASSWORD}
    return farm.signed_in(account)


def handed_out(farm: Farm, auditor: Client, about: tuple[UUID, str], to: Path) -> Somebody:
    """What auditors and others keep of before."""
    position = told(auditor, f"/audit/events?stream={about[0]}&limit=1")["items"][0]["position"]
    last = told(auditor, "/audit/events?order=desc&limit=1")["items"][0]["position"]
    wait_for(lambda: proof_of(auditor, last), "all that they did is signed")
    owner = Somebody(
        *about,
        key=to / "key",
        checkpoint=to / "checkpoint",
        bundle=to / "before.owlb",
        registered_at=position,
        proof=proof_of(auditor, position),
        sums=sums_of(auditor, about[0]),
    )
    owner.key.write_text(asked(auditor.http, "GET", "/audit/log/key").text)
    owner.checkpoint.write_text(asked(auditor.http, "GET", "/audit/log/checkpoint").text)
    owl(farm, "audit", "export", "-o", str(owner.bundle))
    return owner


def proof_of(auditor: Client, position: int) -> str:
    """That an event is in the log; nothing before that is signed."""
    answer = asked(auditor.http, "GET", f"/audit/events/{position}?proof=true")
    return str(ok(answer)["proof"]) if answer.is_success else ""


def sums_of(auditor: Client, user_id: UUID) -> dict[str, Any]:
    """What an account adds up to; not how far that was compared."""
    found: dict[str, Any] = told(auditor, f"/audit/reconcile/{user_id}")
    assert found["is_right"] is True
    return {name: value for name, value in found.items() if name.endswith("_fen")}


def envelope_in(proof: str, position: int, key: VerifierKey) -> bytes:
    """What a proof is about, after a look at the proof."""
    head, _, note = proof.partition("\n\n")
    _, extra, index, *hashes = head.split("\n")
    assert index == f"index {position - 1}"
    envelope = base64.b64decode(extra.removeprefix("extra "))
    checkpoint = checkpoint_in(note, key, is_signed)
    verify_inclusion(
        index=position - 1,
        size=checkpoint.size,
        leaf=leaf_hash(envelope),
        proof=[base64.b64decode(each) for each in hashes],
        root=checkpoint.root,
    )
    return envelope


def position_of(farm: Farm, query: str) -> int:
    with psycopg.connect(farm.database_url) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return int(row[0])


async def last_published(farm: Farm) -> int:
    client = await nats.connect(farm.stack.nats_url)
    try:
        return (await client.jetstream().stream_info("OWL_EVENTS")).state.last_seq
    finally:
        await client.close()


def passed_on(farm: Farm, position: int) -> bool:
    """Whether an event has reached all rows, and the broker."""
    return min(position_of(farm, REACHED), asyncio.run(last_published(farm))) >= position


def stored(farm: Farm) -> Iterator[tuple[str, bytes]]:
    """Everything that is kept anywhere."""
    superuser = psycopg.conninfo.make_conninfo(
        farm.stack.stack.superuser_url(),
        dbname=psycopg.conninfo.conninfo_to_dict(farm.database_url)["dbname"],
    )
    yield from tables_of(superuser)
    yield from asyncio.run(messages_of(farm.stack.nats_url))
    yield from files_in(farm.directory)


def bundles(farm: Farm, to: Path) -> Iterator[tuple[str, bytes]]:
    """The whole log as it is handed out now, in either format."""
    for format_ in ("jsonl", "parquet"):
        path = to / f"after.{format_}"
        owl(farm, "audit", "export", "--format", format_, "-o", str(path))
        with tarfile.open(path) as bundle:
            for member in bundle.getmembers():
                content = bundle.extractfile(member)
                assert content is not None
                read = content.read()
                yield f"{format_}: {member.name}", read
                if member.name.endswith(".parquet"):
                    rows = pq.read_table(io.BytesIO(read)).to_pylist()
                    yield format_, "\n".join(str(row["state"]) for row in rows).encode()


def answers(reader: Client, owner: Somebody) -> Iterator[tuple[str, bytes]]:
    """Every ``GET`` that the platform documents, about them where it is about anything."""
    user = str(owner.user_id)
    head = told(reader, "/audit/events?order=desc&limit=1")["upto"]
    named = {
        **dict.fromkeys(("user_id", "account", "entity_id", "stream_id"), user),
        **dict.fromkeys(("event", "cause"), str(owner.registered_at)),
        "task_id": owner.task_id,
        "server_id": told(reader, "/gpu/servers")[0]["id"],
    }
    queries = {
        "/api/audit/diff": f"from=0&to={head}&entity=user:{user}",
        "/api/audit/events": f"entity=user:{user}&limit=1000",
        "/api/audit/log/proof/inclusion": f"position={owner.registered_at}",
        "/api/tasks": f"user_id={user}",
        "/api/logs/user-actions": f"user_id={user}&page_size=100",
    }
    yield from every_answer(reader.http, named, queries)


def prove(farm: Farm, auditor: Client, owner: Somebody, erased: int, to: Path) -> None:
    """All that was handed out before holds, and so does what is handed out now."""
    kept = ("--checkpoint", str(owner.checkpoint), "--pub", str(owner.key))
    said = owl(farm, "audit", "verify", *kept).output
    assert "nothing was altered" in said
    said += owl(farm, "audit", "reconcile").output
    said += owl(farm, "privacy", "report", str(owner.user_id)).output
    assert not Plaintext(WHO).among([("programs", said.encode())])
    for path in (owner.bundle, *to.glob("after.*")):
        owl(farm, "audit", "verify-bundle", str(path), "--pub", str(owner.key))
    for path in (owner.bundle, to / "after.jsonl"):
        alone = [sys.executable, str(VERIFIER), str(path), str(owner.key)]
        subprocess.run(alone, check=True, timeout=60, capture_output=True)
    key = VerifierKey.parse(owner.key.read_text().strip())
    wait_for(lambda: proof_of(auditor, erased), "the erasure is signed")
    assert proof_of(auditor, owner.registered_at) == owner.proof
    for position, proof in (
        (owner.registered_at, owner.proof),
        (erased, proof_of(auditor, erased)),
    ):
        assert owner.user_id.bytes in envelope_in(proof, position, key)
    assert sums_of(auditor, owner.user_id) == owner.sums


def test_who_lived_here_and_was_forgotten_is_nowhere_and_all_still_proves(
    farm: Farm, tmp_path: Path
) -> None:
    admin, auditor = farm.admin(), auditor_of(farm)
    owner = handed_out(farm, auditor, a_life(farm, admin), tmp_path)
    with psycopg.connect(farm.database_url, autocommit=True) as connection:
        connection.execute("ANALYZE")  # as autovacuum does, sooner or later
    seen = Plaintext(WHO).among(stored(farm))
    assert {place for _, place in seen} == {"rm_users_g1.users"}
    assert {word for word, _ in seen} >= {EMAIL.lower(), NAME, FULL_NAME}

    owl(farm, "privacy", "erase", str(owner.user_id), "--reason", "wish", "--yes")
    erased = position_of(farm, ERASED)
    wait_for(lambda: passed_on(farm, erased), "the erasure is passed on")

    looked = Plaintext((*WHO, NOTE))
    found = looked.among(stored(farm))
    found |= looked.among(bundles(farm, tmp_path))
    for reader in (farm.admin(), auditor):
        reader.http.headers["Owl-Min-Position"] = str(erased)
        assert told(reader, "/users/me")["role"] in {"auditor", "admin"}
        found |= looked.among(answers(reader, owner))
    assert {each for each in found if each[0] != NOTE} == set()
    assert {place for _, place in found} >= NOTED
    assert looked.among([("before", owner.bundle.read_bytes())]) == {(NOTE, "before")}
    prove(farm, auditor, owner, erased, tmp_path)
