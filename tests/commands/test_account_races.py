"""Two processes decide about the same users at the same time: exact results each time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar
from uuid import UUID, uuid4

import psycopg
import pytest
from msgspec import Struct

from commands.accounts import RegisterUser, register_user
from commands.administration import UpdateUser, update_user
from commands.profile import ChangePassword, ChangeProfile, change_password, change_profile
from commands.writer import Writer
from domain.accounts.admins import ADMINS
from domain.accounts.claim import CLAIM, UsernameTaken
from domain.accounts.events import Role
from domain.accounts.user import USER, PasswordOutdated
from domain.errors import Refused
from domain.ids import ADMINS_STREAM
from domain.ports import UnitOfWork
from tests.commands.accounting import context, opened, random_key, writing

pytestmark = pytest.mark.anyio
ROUNDS = 12
C = TypeVar("C", bound=Struct)
R = TypeVar("R")
CREDENTIALS = """
    SELECT user_id, password_hash, token_version, role, is_active FROM owl_private.credentials
"""


async def register(writer: Writer, role: Role = "user") -> UUID:
    user = uuid4()
    command = RegisterUser(
        user_id=user,
        email=f"{user}@example.com",
        username=user.hex,
        full_name="",
        password_hash="first",
        email_claim=uuid4(),
        username_claim=uuid4(),
        subject_key=random_key(),
        role=role,
    )
    await writer.run(register_user, command, context())
    return user


async def refusal_of(writer: Writer, handler: Callable[[C, UnitOfWork], R], command: C) -> str:
    """The name of the refusal, or nothing."""
    try:
        await writer.run(handler, command, context())
    except Refused as refusal:
        return type(refusal).__name__
    return ""


async def test_of_two_admins_who_demote_each_other_one_stays(database_url: str) -> None:
    async with writing(database_url) as one, writing(database_url) as two:
        for _ in range(ROUNDS):
            a, b = await register(one, "admin"), await register(two, "admin")
            done = await asyncio.gather(
                refusal_of(one, update_user, UpdateUser(user_id=a, actor_id=b, role="user")),
                refusal_of(two, update_user, UpdateUser(user_id=b, actor_id=a, role="user")),
            )
            assert sorted(done) == ["", "Denied"]
            with opened(database_url) as log:
                admins = ADMINS.fold(e.fact for e in log.read_streams([ADMINS_STREAM]))
            assert admins.active & {a, b} == {(b, a)[done.index("")]}


async def test_an_operator_on_each_machine_leaves_one_admin(database_url: str) -> None:
    async with writing(database_url) as one, writing(database_url) as two:
        admins = [await register(one, "admin") for _ in range(ROUNDS)]
        done = await asyncio.gather(
            *(
                refusal_of(
                    (one, two)[turn % 2],
                    update_user,
                    UpdateUser(user_id=admin, actor_id=None, is_active=False),
                )
                for turn, admin in enumerate(admins)
            )
        )
        assert sorted(done) == [""] * (ROUNDS - 1) + ["LastAdmin"]


async def test_what_the_log_says_of_a_user_the_credential_says_too(database_url: str) -> None:
    async with writing(database_url) as one, writing(database_url) as two:
        admin, user = await register(one, "admin"), await register(two)
        wishes: list[tuple[Role, bool]] = [
            (role, active)
            for role in ("user", "admin", "auditor")
            for active in (True, False)
            for _ in range(4)
        ]
        await asyncio.gather(
            *(
                refusal_of(
                    (one, two)[turn % 2],
                    update_user,
                    UpdateUser(user_id=user, actor_id=admin, role=role, is_active=active),
                )
                for turn, (role, active) in enumerate(wishes)
            )
        )
    with opened(database_url) as log:
        state = USER.fold(e.fact for e in log.read_streams([user]))
    assert state is not None
    with psycopg.connect(database_url) as connection:
        rows = {row[0]: row[1:] for row in connection.execute(CREDENTIALS)}
    assert rows[user] == ("first", state.token_version, state.role, state.is_active)


async def test_a_password_is_changed_once_on_one_proof(database_url: str) -> None:
    async with writing(database_url) as one, writing(database_url) as two:
        user = await register(one)
        done = await asyncio.gather(
            *(
                refusal_of(
                    (one, two)[turn % 2],
                    change_password,
                    ChangePassword(user_id=user, password_hash=f"new {turn}", token_version=1),
                )
                for turn in range(20)
            )
        )
        assert sorted(done) == [""] + [PasswordOutdated.__name__] * 19
        won = done.index("")
    with psycopg.connect(database_url) as connection:
        row = connection.execute(CREDENTIALS).fetchone()
    assert row == (user, f"new {won}", 2, "user", True)


async def test_a_wanted_name_goes_to_one_and_nobody_ends_with_two(database_url: str) -> None:
    async with writing(database_url) as one, writing(database_url) as two:
        users = [await register(one) for _ in range(4)]
        names = [uuid4() for _ in range(3)]
        done = await asyncio.gather(
            *(
                refusal_of(
                    (one, two)[(turn + at) % 2],
                    change_profile,
                    ChangeProfile(user_id=user, username=str(name), username_claim=name),
                )
                for turn, name in enumerate(names * 4)
                for at, user in enumerate(users)
            )
        )
    assert set(done) == {"", UsernameTaken.__name__}
    with opened(database_url) as log:
        owners = [CLAIM.fold(e.fact for e in log.read_streams([name])).owner for name in names]
        states = [USER.fold(e.fact for e in log.read_streams([user])) for user in users]
    for name, owner in zip(names, owners, strict=True):
        holders = [s.user_id for s in states if s is not None and s.username_claim == name]
        assert holders == ([] if owner is None else [owner])
