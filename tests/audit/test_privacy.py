"""A person is forgotten, and everything still proves and adds up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg import sql

from api.cli import main
from api.keys import make_keys
from commands.accounts import LogIn, RegisterUser, log_in, register_user
from commands.event_log.log import EventLog
from commands.privacy import EraseUser, erase_user
from commands.recharge import IssueCodes, NewCode, RedeemCode, issue_codes, redeem_code
from commands.writer import Writer
from domain.audit.checkpoint import checkpoint_in
from domain.audit.refold import Refold
from domain.audit.rotation import KeyChain
from domain.errors import InvalidState
from domain.facts import ERASED
from projections.audit.bundle import Bundle
from projections.audit.export import Stretch, export
from projections.audit.person import report
from projections.audit.reconcile import reconcile
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification
from projections.catalogue import BUSINESS
from projections.migrate import prepare
from projections.runner import Runner
from tests.audit.conftest import KEY, sign_all, verifier_key
from tests.commands.accounting import NOON, SECRETS, clock, context, opened

pytestmark = pytest.mark.anyio

EMAIL, NAME, FULL_NAME = "mei.canary@example.com", "mei-canary", "梅金丝雀"
ADDRESS = "203.0.113.77"
WORDS = (EMAIL, NAME, FULL_NAME, ADDRESS)
TABLES = """
    SELECT schemaname, tablename FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
"""

SHOWN = """
    SELECT actor FROM owl_log.events WHERE topic = 'system.person_reported/1'
        AND convert_from(state, 'UTF8') LIKE %s
"""


async def registered(writer: Writer, user: UUID) -> RegisterUser:
    command = RegisterUser(
        user_id=user,
        email=EMAIL,
        username=NAME,
        full_name=FULL_NAME,
        password_hash="-",
        email_claim=SECRETS.claim_id("email", EMAIL),
        username_claim=SECRETS.claim_id("username", NAME),
        subject_key=user.bytes * 2,
    )
    await writer.run(register_user, command, context())
    return command


async def recharged(writer: Writer, user: UUID) -> None:
    code = uuid4()
    order = IssueCodes(
        batch_id=code,
        codes=(NewCode(code, "OWL-ABCD-****-****", "sealed"),),
        amount_fen=5_000,
        max_uses=1,
        expires_at=None,
        description="",
        at=NOON,
    )
    await writer.run(issue_codes, order, context())
    redeem = RedeemCode(code_id=code, user_id=user, record_id=uuid4(), at=NOON)
    await writer.run(redeem_code, redeem, context())


def project(log: EventLog) -> None:
    runner = Runner(log.feed(), log.conninfo, BUSINESS, projected=None)
    while runner.step():
        pass
    runner.close()


def plaintext(conninfo: str) -> set[str]:
    """Which of the words any row of any table shows, as text or as bytes."""
    found = set()
    with psycopg.connect(conninfo) as connection:
        for schema, table in connection.execute(TABLES).fetchall():
            name = sql.Identifier(schema, table)
            for (row,) in connection.execute(
                sql.SQL("SELECT t::text FROM {} AS t").format(name)
            ):
                found |= {w for w in WORDS if w in row or w.encode().hex() in row}
    return found


def test_what_stands_as_bytes_is_found_as_well(database_url: str) -> None:
    prepare(database_url)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE noted AS SELECT convert_to(%s, 'UTF8') AS it", (EMAIL,)
        )
    assert plaintext(database_url) == {EMAIL}


async def test_nothing_tells_who_it_was_and_every_proof_and_balance_holds(
    database_url: str, tmp_path: Path
) -> None:
    prepare(database_url)
    user, bundle, later = uuid4(), tmp_path / "before.owlb", tmp_path / "after.owlb"
    with opened(database_url) as log:
        async with Writer(log, clock) as writer:
            command = await registered(writer, user)
            await writer.run(
                log_in, LogIn(user_id=user, token_version=1, address=ADDRESS), context()
            )
            await recharged(writer, user)
            await asyncio.to_thread(project, log)
            size = await sign_all(database_url)
            assert plaintext(database_url) == {EMAIL, NAME, FULL_NAME}  # the read model's
            key = verifier_key(database_url)
            keys = KeyChain(((0, key),))
            with StoredLog.open(database_url) as stored:
                note = stored.last_checkpoint() or ""
                with bundle.open("wb") as file:
                    stretch = Stretch(first=1, last=size)
                    export(stored, file, stretch, keys=keys, sign=KEY.sign)
            erase = EraseUser(user_id=user, email_claim=command.email_claim, reason="wish")
            erased = await writer.run(erase_user, erase, context())
            assert erased.result.changed
            with pytest.raises(InvalidState):
                await writer.run(
                    log_in, LogIn(user_id=user, token_version=1, address=ADDRESS), context()
                )
            assert not (await writer.run(erase_user, erase, context())).result.changed
        log.forget_key(user)
        await asyncio.to_thread(project, log)
        said = [event.fact for event in log.read_streams([user])]
        assert {said[0].email, said[0].username, said[1].address} == {ERASED}
    assert plaintext(database_url) == set()
    await sign_all(database_url)
    held = checkpoint_in(note, key, is_signed)
    with StoredLog.open(database_url) as stored:
        found = Verification(stored, key=key, held=[held], refold=Refold()).run()
        assert found.findings == ()
        added_up = reconcile(stored)
        assert (added_up.findings, added_up.wallets_fen) == ((), 5_000)
        with later.open("wb") as file:
            stretch = Stretch(first=1, last=found.signed)
            export(stored, file, stretch, keys=keys, sign=KEY.sign)
    for path, checkpoint in ((bundle, held), (later, held)):
        with Bundle(path, key) as whole:
            whole.verify(held=checkpoint)
        content = path.read_bytes()
        assert not any(word.encode() in content for word in WORDS)


async def test_a_person_is_told_all_that_is_stored_about_them_and_nothing_of_others(
    database_url: str, tmp_path: Path
) -> None:
    prepare(database_url)
    user, other = uuid4(), uuid4()
    with opened(database_url) as log:
        async with Writer(log, clock) as writer:
            command = await registered(writer, user)
            entering = LogIn(user_id=user, token_version=1, address=ADDRESS)
            await writer.run(log_in, entering, context())
            await recharged(writer, user)
            await asyncio.to_thread(project, log)
            told = report(database_url, log.history(), log.texts, user)
            assert (told.is_readable, told.way_in is not None) == (True, True)
            assert {each.value for each in told.personal} == set(WORDS)
            assert {each.tag: each.events for each in told.events}[
                "accounts.user_logged_in/1"
            ] == 1
            assert "recharge.code_redeemed/1" in {each.tag for each in told.events}
            assert told.tables["users"] == told.tables["recharge_records"] == 1
            assert not report(database_url, log.history(), log.texts, other).events
            said = await asyncio.to_thread(run_report, database_url, tmp_path, user)
            assert all(word in said.stdout for word in WORDS)
            assert "system.person_reported/1" not in said.stdout
            again = await asyncio.to_thread(run_report, database_url, tmp_path, EMAIL.upper())
            assert "1  system.person_reported/1" in again.stdout
            with psycopg.connect(database_url) as connection:
                shown = connection.execute(SHOWN, (f"%{user}%",)).fetchall()
            assert [actor.partition("/")[0] for (actor,) in shown] == ["system:owl-privacy"] * 2
            erase = EraseUser(user_id=user, email_claim=command.email_claim, reason="wish")
            await writer.run(erase_user, erase, context())
        log.forget_key(user)
    said = await asyncio.to_thread(run_report, database_url, tmp_path, user)
    assert "personal fields are erased" in said.stdout
    assert not any(word in said.stdout for word in WORDS)
    said = await asyncio.to_thread(run_report, database_url, tmp_path, other)
    assert "nothing is stored" in said.stderr


def run_report(url: str, secrets: Path, user: UUID | str) -> Result:
    return run(url, secrets, "report", str(user))


def run_erase(url: str, nats_url: str, secrets: Path, user: UUID | str) -> Result:
    arguments = (str(user), "--reason", "wish", "--yes")
    return run(url, secrets, "erase", *arguments, nats_url=nats_url)


def run(url: str, secrets: Path, *arguments: str, nats_url: str | None = None) -> Result:
    make_keys(secrets)
    (secrets / "pepper").write_text(SECRETS.pepper.hex())
    (secrets / "sealing-key").write_text(SECRETS.sealing_key.hex())
    environment = {
        "OWL_PROFILE": "test",
        "OWL_DATABASE_URL": url,
        "OWL_NATS_URL": nats_url,
        "OWL_SECRETS_DIR": str(secrets),
    }
    return CliRunner().invoke(main, ["privacy", *arguments], env=environment)


async def test_the_command_erases_whom_it_is_told_and_says_whom_it_does_not_know(
    database_url: str, nats_url: str, tmp_path: Path
) -> None:
    prepare(database_url)
    user, unknown = uuid4(), uuid4()
    with opened(database_url) as log:
        async with Writer(log, clock) as writer:
            await registered(writer, user)
        await asyncio.to_thread(project, log)
    said = await asyncio.to_thread(run_erase, database_url, nats_url, tmp_path, unknown)
    assert said.exit_code == 1
    assert f"no user has the id {unknown}: `owl admin users list`" in said.stderr
    asked = await asyncio.to_thread(
        run, database_url, tmp_path, "erase", str(user), "--reason", "wish", nats_url=nats_url
    )
    assert asked.exit_code == 1, "nobody answered"
    for shown in (f"username: {NAME}", f"e-mail: {EMAIL}", "balance: ¥0.00"):
        assert shown in asked.stderr.partition("for ever?")[0]
    named = EMAIL.upper().replace("MEI", "mei")
    said = await asyncio.to_thread(run_erase, database_url, nats_url, tmp_path, named)
    assert (said.exit_code, said.stdout) == (0, f"{user} is forgotten\n")
    assert f"username: {NAME}" in said.stderr
    said = await asyncio.to_thread(run_erase, database_url, nats_url, tmp_path, EMAIL)
    assert f"nobody logs in as {EMAIL}: `owl admin users list`" in said.stderr
    assert said.exit_code == 1
    said = await asyncio.to_thread(run_erase, database_url, nats_url, tmp_path, user)
    assert "was forgotten before" in said.stdout
    with opened(database_url) as log:
        await asyncio.to_thread(project, log)
    assert plaintext(database_url) == set()


async def test_the_names_are_free_again(database_url: str) -> None:
    first, second = uuid4(), uuid4()
    with opened(database_url) as log:
        async with Writer(log, clock) as writer:
            command = await registered(writer, first)
            erase = EraseUser(user_id=first, email_claim=command.email_claim, reason="wish")
            await writer.run(erase_user, erase, context())
            await registered(writer, second)
        assert [event.fact.user_id for event in log.read_streams([second])] == [second]


async def test_what_was_rebuilt_after_an_erasure_is_what_lives(database_url: str) -> None:
    prepare(database_url)
    user = uuid4()
    with opened(database_url) as log:
        async with Writer(log, clock) as writer:
            command = await registered(writer, user)
            await asyncio.to_thread(project, log)
            erase = EraseUser(user_id=user, email_claim=command.email_claim, reason="wish")
            await writer.run(erase_user, erase, context())
        await asyncio.to_thread(project, log)
    live = rows(database_url)
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "DROP SCHEMA owl_read, read CASCADE; DROP SCHEMA rm_users_g1 CASCADE"
        )
        for (schema,) in connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname LIKE 'rm\\_%'"
        ).fetchall():
            connection.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(schema)))
    prepare(database_url)
    with opened(database_url) as log:
        await asyncio.to_thread(project, log)
    assert rows(database_url) == live
    assert live[0][1:4] == (ERASED, ERASED, ERASED)


def rows(conninfo: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(conninfo) as connection:
        return connection.execute("SELECT * FROM read.users").fetchall()
