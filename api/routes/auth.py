"""Registering and logging in. Source: the published contract, 认证机制 and 用户注册."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from litestar import Router, post
from litestar.di import NamedDependency
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.body import RequestBody
from api.crowding import at_once
from api.envelope import Envelope, shown
from api.exchange import Exchange
from api.fields import Email, FullName, NewUsername, Password
from api.messages import Fault, Text
from api.passwords import AT_ONCE_PER_CALLER
from api.platform import HttpConfig
from api.policy import OPEN_IN_MAINTENANCE, PUBLIC
from api.refusals import refuses
from api.refused_logins import note_refused
from api.registration import password_faults, registration
from api.rejection import Unauthenticated
from commands.accounts import LoggedIn, LogIn, Registered, log_in, register_user
from domain.accounts.events import Role
from domain.envelope import Actor
from domain.ports import OutOfReach
from domain.system.accesses import WhyRefused
from projections.users import UserRow, user_by_id

REGISTERED = Text("注册成功", "Registered")
LOGGED_IN = Text("登录成功", "Logged in")
WRONG = Text(
    "邮箱或密码错误，请检查后重试", "Wrong e-mail address or password: check both, try again"
)


class RegisterRequest(RequestBody):
    """A new account."""

    email: Email
    username: NewUsername
    password: Password
    full_name: FullName = ""

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """A new password has the length that the operator asks for."""
        yield from password_faults("password", given, config)


class LoginRequest(RequestBody):
    """Who says they are whom."""

    email: Annotated[str, Meta(min_length=1, max_length=254, examples=["user@example.com"])]
    password: Password


class RegisteredUser(Struct, kw_only=True):
    """The account that was opened."""

    id: UUID
    email: str
    username: str
    full_name: str
    role: Role
    created_at: datetime | None


class SignedIn(Struct, kw_only=True):
    """Whose token it is."""

    id: UUID
    email: str
    username: str
    role: Role


class LoginAnswer(Struct, kw_only=True):
    """A token, good for ``expires_in`` seconds."""

    access_token: str
    token_type: str
    expires_in: int
    user: SignedIn


@post(
    "/register",
    opt=PUBLIC | at_once(AT_ONCE_PER_CALLER) | refuses("EMAIL_TAKEN", "USERNAME_TAKEN"),
    status_code=200,
)
async def register(
    data: JSONBody[RegisterRequest], exchange: NamedDependency[Exchange]
) -> Envelope[RegisteredUser]:
    """用户注册: open an account. E-mail address and username are unique."""
    await exchange.platform.throttle.judge_registration(exchange.client_address)
    command = await registration(
        exchange.platform,
        email=data.email,
        username=data.username,
        password=data.password,
        full_name=data.full_name,
    )
    registered = await exchange.run(
        register_user,
        command,
        Registered,
        actor=Actor("user", str(command.user_id)),
        claimant=command.email_claim,
    )
    return exchange.reply(
        RegisteredUser(
            id=registered.user_id,
            email=command.email,
            username=command.username,
            full_name=command.full_name,
            role=command.role,
            created_at=shown(exchange.recorded_at),
        ),
        REGISTERED,
    )


@post(
    "/login",
    opt=PUBLIC
    | OPEN_IN_MAINTENANCE
    | at_once(AT_ONCE_PER_CALLER)
    | refuses("INVALID_CREDENTIALS"),
    status_code=200,
)
async def login(
    data: JSONBody[LoginRequest], exchange: NamedDependency[Exchange]
) -> Envelope[LoginAnswer]:
    """登录: give a token for a password. Unknown, wrong and inactive are one answer."""
    platform, address = exchange.platform, exchange.client_address
    claim = platform.secrets.claim_id("email", data.email)
    platform.throttle.check_login(claim, address)
    found = await exchange.desk.credentials.by_email(claim)
    matches = await platform.passwords.verify(
        found.password_hash if found else None, data.password
    )
    right = matches and found is not None and found.is_active
    closed = await platform.throttle.judge_login(claim, address, right=right)
    if found is None or not right:
        reason: WhyRefused = "inactive" if matches else "wrong_password"
        await note_refused(
            exchange,
            claim,
            reason if found else "unknown",
            user_id=found.user_id if found else None,
            closed_until=closed,
        )
        raise Unauthenticated(WRONG)
    is_outdated = platform.passwords.is_outdated(found.password_hash)
    command = LogIn(
        user_id=found.user_id,
        token_version=found.token_version,
        address=address,
        password_hash=await platform.passwords.hash(data.password) if is_outdated else None,
    )
    actor = Actor("user", str(found.user_id))
    logged_in = await exchange.run(log_in, command, LoggedIn, actor=actor, claimant=claim)
    user = await _readable(exchange, found.user_id)
    return exchange.reply(
        LoginAnswer(
            access_token=exchange.token_of(found.user_id, logged_in.token_version),
            token_type="bearer",  # noqa: S106 - RFC 6750's name for the kind of token
            expires_in=exchange.desk.tokens.lifetime_s,
            user=SignedIn(
                id=user.user_id, email=user.email, username=user.username, role=logged_in.role
            ),
        ),
        LOGGED_IN,
    )


async def _readable(exchange: Exchange, user_id: UUID) -> UserRow:
    async with exchange.reading() as connection:
        user = await user_by_id(connection, user_id)
    if user is None:
        raise OutOfReach("the user is recorded but not yet readable")
    return user


ROUTER = Router(path="/auth", route_handlers=[register, login], tags=["认证 Authentication"])
