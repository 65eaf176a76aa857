"""The user's own account. Source: the published contract, 用户管理API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Final

from litestar import Router, get, post, put
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Struct

from api.body import ChangeBody, RequestBody
from api.credentials import Credential
from api.crowding import at_once
from api.envelope import Envelope, shown
from api.exchange import Exchange
from api.fields import FullName, Password, Username
from api.messages import Fault, Text
from api.names import is_reserved, username_form
from api.passwords import AT_ONCE_PER_CALLER
from api.platform import HttpConfig
from api.policy import ANYONE, MEMBER, REPEATABLE_WITH_ITS_TOKEN
from api.refusals import refuses
from api.refused_logins import note_refused
from api.registration import password_faults
from api.rejection import InvalidRequest, Unauthenticated
from api.user_shapes import Me, me_of
from api.validation import Faults
from commands.profile import (
    ChangePassword,
    ChangeProfile,
    PasswordNow,
    ProfileNow,
    change_password,
    change_profile,
)
from domain.accounts.claim import normalised
from domain.errors import NotFound
from domain.money import to_yuan
from projections.users import UserRow, user_by_id, user_statistics

CHANGED: Final = Text("用户信息已更新", "Profile changed")
PASSWORD_CHANGED: Final = Text(
    "密码已修改，其他登录已失效，请改用新令牌",
    "Password changed: every token given before is void, use the new one",
)
_ONLY_A_REPEAT: Final = 0
"""A token version that nobody has: what was not done before under its key is refused."""
WRONG: Final = Text(
    "当前密码不正确，请检查后重试", "The current password is wrong: check it, try again"
)


async def _judge_name(given: Mapping[str, Any], exchange: Exchange) -> Faults:
    """Whoever was given an office's name may repeat it; nobody may take one."""
    wanted = given.get("username")
    username = None if wanted is None else username_form(wanted)
    if username is None or not is_reserved(username):
        return {}
    present = _found(await exchange.desk.profiles.get(exchange.user.user_id))
    if normalised(username) == normalised(present.username):
        return {}
    return {"username": [Fault("reserved")]}


class ProfileRequest(ChangeBody):
    """What changes; at least one field."""

    judge = _judge_name
    full_name: FullName | None = None
    username: Username | None = None


class PasswordRequest(RequestBody):
    """The password as it is and as it shall be."""

    current_password: Password
    new_password: Password

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """The new one is another one, of the length that the operator asks for."""
        yield from password_faults("new_password", given, config)
        if given.get("new_password", "") == given.get("current_password"):
            yield "new_password", Fault("same")


class FreshToken(Struct, kw_only=True):
    """A token in place of all that were given before, good for ``expires_in`` seconds."""

    access_token: str
    token_type: str
    expires_in: int


class Statistics(Struct, kw_only=True):
    """Totals, money in yuan. A task counts by what it is now; deleted tasks count on."""

    total_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    total_cost: float
    current_balance: float
    last_task_date: datetime | None


@get("/me", opt=ANYONE)
async def read_me(exchange: NamedDependency[Exchange]) -> Envelope[Me]:
    """获取当前用户信息: the signed-in user."""
    user = await exchange.desk.profiles.get(exchange.user.user_id)
    return exchange.reply(me_of(_found(user)))


@put("/me", opt=MEMBER | refuses("USERNAME_TAKEN", "INVALID_STATE"))
async def change_me(
    data: JSONBody[ProfileRequest], exchange: NamedDependency[Exchange]
) -> Envelope[Me]:
    """更新用户信息: change what the signed-in user is called. The username stays unique."""
    user_id = exchange.user.user_id
    username = None if data.username is None else username_form(data.username)
    if faults := await _judge_name({"username": username}, exchange):
        raise InvalidRequest(faults)
    claim_id = exchange.platform.secrets.claim_id
    command = ChangeProfile(
        user_id=user_id,
        full_name=data.full_name,
        username=username,
        username_claim=None if username is None else claim_id("username", username),
    )
    await exchange.run(change_profile, command, ProfileNow)
    async with exchange.reading() as connection:
        user = await user_by_id(connection, user_id)
    return exchange.reply(me_of(_found(user)), CHANGED)


@post(
    "/change-password",
    opt=ANYONE
    | REPEATABLE_WITH_ITS_TOKEN
    | at_once(AT_ONCE_PER_CALLER)
    | refuses("INVALID_STATE"),
    status_code=200,
)
async def change_own_password(
    data: JSONBody[PasswordRequest], exchange: NamedDependency[Exchange]
) -> Envelope[FreshToken]:
    """修改密码: replace the password. Every older token is void; the answer has a new one."""
    user_id, passwords = exchange.user.user_id, exchange.platform.passwords
    found = await exchange.desk.credentials.by_id(user_id)
    if found is None:
        raise Unauthenticated
    is_first = not exchange.token_is_void and await _is_password(
        exchange, found, data.current_password, or_else=exchange.idempotency_key is None
    )
    if not is_first:  # a repeat, perhaps: whoever knows the new password made the first
        await _is_password(exchange, found, data.new_password, or_else=True)
    command = ChangePassword(
        user_id=user_id,
        password_hash=await passwords.hash(data.new_password),
        token_version=found.token_version if is_first else _ONLY_A_REPEAT,
    )
    changed = await exchange.run(change_password, command, PasswordNow)
    return exchange.reply(
        FreshToken(
            access_token=exchange.token_of(user_id, changed.token_version),
            token_type="bearer",  # noqa: S106 - RFC 6750's name for the kind of token
            expires_in=exchange.desk.tokens.lifetime_s,
        ),
        PASSWORD_CHANGED,
    )


@get("/stats", opt=ANYONE)
async def read_statistics(exchange: NamedDependency[Exchange]) -> Envelope[Statistics]:
    """获取用户统计信息: the signed-in user's totals."""
    async with exchange.reading() as connection:
        found = await user_statistics(connection, exchange.user.user_id)
    if found is None:
        raise NotFound
    return exchange.reply(
        Statistics(
            total_tasks=found.total_tasks,
            completed_tasks=found.completed_tasks,
            failed_tasks=found.failed_tasks,
            cancelled_tasks=found.cancelled_tasks,
            total_cost=to_yuan(found.total_cost_fen),
            current_balance=to_yuan(found.balance_fen),
            last_task_date=shown(found.last_task_at),
        )
    )


async def _is_password(
    exchange: Exchange, found: Credential, password: str, *, or_else: bool
) -> bool:
    """Whether it is the user's, counted as a login's would be.

    Raises:
        Unauthenticated: it is not, and ``or_else`` that is the answer.
    """
    throttle, address = exchange.platform.throttle, exchange.client_address
    account = await throttle.account_of(found.user_id)
    throttle.check_login(account, address)
    right = await exchange.platform.passwords.verify(found.password_hash, password)
    closed = await throttle.judge_login(account, address, right=right)
    if or_else and not right:
        await note_refused(
            exchange,
            account,
            "wrong_password",
            user_id=found.user_id,
            closed_until=closed,
        )
        raise Unauthenticated(None if exchange.token_is_void else WRONG)
    return right


def _found(user: UserRow | None) -> UserRow:
    if user is None:
        raise NotFound
    return user


ROUTER = Router(
    path="/users",
    route_handlers=[read_me, change_me, change_own_password, read_statistics],
    tags=["用户 Users"],
)
