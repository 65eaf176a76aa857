"""Personal fields: never in the clear on disk, readable while the key exists, gone with it."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from cryptography.exceptions import InvalidTag
from msgspec import Struct

from commands.event_log.personal import (
    MARK,
    PERSONAL,
    KeyGone,
    as_read,
    open_text,
    opened,
    owner,
    sealed,
)
from commands.event_log.secrets import Secrets
from commands.rows import SubjectKey
from domain.accounts.events import ProfileChanged, UserRegistered
from domain.accounts.user import USER
from domain.catalogue import decode, encode
from domain.facts import ERASED, SealedText
from domain.ports import UnitOfWork
from domain.tasks.events import TaskSubmitted
from tests.commands import accounting
from tests.commands.accounting import context, random_key, writing
from tests.domain.cast import submitted

ADDRESS = "夜鹰@例子.中国"
NAME = "夏洛克·福尔摩斯"
ERASE = "DELETE FROM owl_private.subject_keys WHERE user_id = %s"


def registered(user_id: UUID) -> UserRegistered:
    return UserRegistered(user_id=user_id, email=ADDRESS, username="Holmes", full_name=NAME)


class Register(Struct, frozen=True, kw_only=True):
    """Open an account."""

    user_id: UUID
    key: bytes


def register(command: Register, work: UnitOfWork) -> None:
    work.keep(SubjectKey(user_id=command.user_id, key=command.key))
    work.create(USER, command.user_id).append(registered(command.user_id))


def rename(command: Register, work: UnitOfWork) -> None:
    change = ProfileChanged(user_id=command.user_id, full_name="另一个")
    work.load(USER, command.user_id).append(change)


def run(url: str, *handlers: Any, command: Register) -> None:
    async def run_all() -> None:
        async with writing(url) as writer:
            for handler in handlers:
                await writer.run(handler, command, context())

    asyncio.run(run_all())


def test_nothing_personal_is_in_the_tables_in_the_clear(database_url: str) -> None:
    command = Register(user_id=uuid4(), key=random_key())
    run(database_url, register, rename, command=command)
    with psycopg.connect(database_url) as connection:
        states = connection.execute("SELECT state FROM owl_log.events").fetchall()
        keys = connection.execute("SELECT key FROM owl_private.subject_keys").fetchall()
        story = connection.execute("SELECT fact ->> 'email' FROM owl_log.story").fetchall()
    stored = b"".join(state for (state,) in states)
    for value in (ADDRESS, NAME, "Holmes", "另一个"):
        assert value.encode() not in stored
    assert command.key not in keys[0][0]
    assert story[0][0].startswith(MARK)


def test_readers_see_what_was_said_until_the_key_is_destroyed(database_url: str) -> None:
    command = Register(user_id=uuid4(), key=random_key())
    run(database_url, register, command=command)
    with accounting.opened(database_url) as log:
        assert log.feed().read(0, 9)[0].fact == registered(command.user_id)
    with accounting.opened(database_url) as log:
        with psycopg.connect(database_url) as connection:
            connection.execute(ERASE, [command.user_id])
        [event] = log.feed().read(0, 9)
        assert {event.fact.email, event.fact.username, event.fact.full_name} == {ERASED}
        assert event.fact.user_id == command.user_id


def test_a_reader_that_knew_the_key_stops_when_told(database_url: str) -> None:
    command = Register(user_id=uuid4(), key=random_key())
    run(database_url, register, command=command)
    with accounting.opened(database_url) as log:
        assert log.read_streams([command.user_id])[0].fact.full_name == NAME
        with psycopg.connect(database_url) as connection:
            connection.execute(ERASE, [command.user_id])
        log.forget_key(command.user_id)
        assert log.read_streams([command.user_id])[0].fact.full_name == ERASED


def test_nothing_personal_is_recorded_about_somebody_without_a_key(database_url: str) -> None:
    command = Register(user_id=uuid4(), key=random_key())
    run(database_url, register, command=command)
    with psycopg.connect(database_url) as connection:
        connection.execute(ERASE, [command.user_id])
    with pytest.raises(KeyGone):
        run(database_url, rename, command=command)


def test_a_sealed_value_opens_only_in_its_own_field_and_under_its_own_key() -> None:
    user_id, key = uuid4(), os.urandom(32)
    stored = sealed(registered(user_id), {user_id: key}.get)
    assert isinstance(stored, UserRegistered)
    assert opened(decode(encode(stored)), {user_id: key}.get) == registered(user_id)
    swapped = UserRegistered(
        user_id=user_id, email=stored.username, username=stored.email, full_name=NAME
    )
    for fact, wrong_key in ((swapped, key), (stored, os.urandom(32))):
        with pytest.raises(InvalidTag):
            opened(fact, {user_id: wrong_key}.get)


def test_what_was_never_said_stays_unsaid() -> None:
    user_id = uuid4()
    fact = ProfileChanged(user_id=user_id, full_name=NAME)
    stored: Any = sealed(fact, {user_id: os.urandom(32)}.get)
    assert stored.username is None


def test_every_fact_with_personal_fields_names_the_user_they_belong_to() -> None:
    for fact, names in PERSONAL.items():
        assert not names or "user_id" in fact.__struct_fields__, fact
    assert owner(registered(UUID(int=1))) == UUID(int=1)


def test_secrets_derive_the_same_ids_everywhere_and_open_only_their_own() -> None:
    one, other = (Secrets(pepper=byte * 32, sealing_key=byte * 32) for byte in (b"1", b"2"))
    assert one.claim_id("email", "A@B.cn") == one.claim_id("email", "a@b.CN")
    assert one.claim_id("email", "a") != one.claim_id("username", "a")
    assert one.claim_id("email", "a") != other.claim_id("email", "a")
    assert one.code_id("ABCD") != other.code_id("ABCD")
    assert one.unseal(one.seal("猫头鹰")) == "猫头鹰"
    with pytest.raises(InvalidTag):
        other.unseal(one.seal("猫头鹰"))
    with pytest.raises(ValueError, match="32 bytes"):
        Secrets(pepper=b"short", sealing_key=b"s" * 32)


def test_what_a_user_wrote_for_themselves_stays_sealed_until_somebody_is_shown_it() -> None:
    key, said = random_key(), submitted(title="夜鹰", description="")
    stored = sealed(said, lambda _: key)
    assert isinstance(stored, TaskSubmitted)
    assert "夜鹰".encode() not in encode(stored)
    assert stored.description == "", "nothing is told by what is empty"
    assert opened(stored, lambda _: key) == stored == as_read(said, stored)
    text = SealedText(TaskSubmitted, "title", stored.user_id, stored.title)
    assert open_text(text, key) == "夜鹰"
    assert open_text(text, None) == ERASED
    elsewhere = text._replace(field="description")
    assert open_text(elsewhere, key) == stored.title, "moved to another place it does not open"


@pytest.mark.parametrize("title", ["夜鹰", f"{MARK}夜鹰", f"{MARK}AAAA"])
def test_what_was_written_before_it_was_sealed_is_shown_as_it_is_while_the_key_exists(
    title: str,
) -> None:
    text = SealedText(TaskSubmitted, "title", submitted().user_id, title)
    assert open_text(text, random_key()) == title
    assert open_text(text, None) == ERASED
