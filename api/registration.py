"""Opening an account: what a command needs beyond what a person says. And the first admin.

The admin everybody knows exists in the ``dev`` profile only, which listens on loopback only;
elsewhere ``create_admin`` is what the command line calls.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from api.messages import Fault
from api.names import username_form
from api.platform import HttpConfig, Platform
from api.security import Tokens
from commands.accounts import RegisterUser, register_user
from domain.accounts.claim import EmailTaken
from domain.accounts.events import Role
from domain.envelope import Actor, Context
from domain.ids import uuid8

DEV_ADMIN_EMAIL: Final = "admin@example.com"
DEV_ADMIN_PASSWORD: Final = "admin123"  # noqa: S105 - printed in the published contract
OPERATOR: Final = """
SELECT user_id, token_version FROM owl_private.credentials
WHERE is_active AND role IN ('admin', 'super_admin')
ORDER BY email_claim = %(email_claim)s DESC, user_id
LIMIT 1
"""
_SUBJECT_KEY_BYTES: Final = 32
_OPERATOR: Final = Actor("system", "owl")


def password_faults(
    field: str, given: Mapping[str, Any], config: HttpConfig
) -> Iterator[tuple[str, Fault]]:
    """What is wrong with a new password: shorter than the operator asks for."""
    least = config.password_min_length
    if field in given and len(given[field]) < least:
        yield field, Fault("too_short", {"limit": least})


async def registration(
    platform: Platform,
    *,
    email: str,
    username: str,
    password: str,
    full_name: str = "",
    role: Role = "user",
) -> RegisterUser:
    """The command that opens an account.

    Raises:
        PasswordsBusy: too many passwords wait to be hashed.
    """
    shown_username = username_form(username)
    return RegisterUser(
        user_id=platform.ids(),
        email=email,
        username=shown_username,
        full_name=full_name,
        password_hash=await platform.passwords.hash(password),
        email_claim=platform.secrets.claim_id("email", email),
        username_claim=platform.secrets.claim_id("username", shown_username),
        subject_key=secrets.token_bytes(_SUBJECT_KEY_BYTES),
        role=role,
    )


async def create_admin(
    platform: Platform,
    *,
    email: str,
    username: str,
    password: str,
    full_name: str = "",
    role: Role = "admin",
) -> UUID:
    """Open an operator's account; returns its id.

    Raises:
        EmailTaken, UsernameTaken: somebody has the name already.
        OutOfReach: the log did not answer in time.
    """
    command = await registration(
        platform,
        email=email,
        username=username,
        password=password,
        full_name=full_name,
        role=role,
    )
    context = Context(
        command_id=platform.ids(), actor=_OPERATOR, correlation_id=f"owl-{platform.ids()}"
    )
    await platform.writer.run(register_user, command, context)
    return command.user_id


async def ensure_dev_admin(platform: Platform) -> bool:
    """Make the admin of the ``dev`` profile; ``False`` when it is there already.

    Two processes that start at once make one: both give the command the same id.
    """
    command = await registration(
        platform,
        email=DEV_ADMIN_EMAIL,
        username="admin",
        password=DEV_ADMIN_PASSWORD,
        full_name="管理员",
        role="admin",
    )
    digest = hmac.digest(platform.config.request_key, b"dev admin", hashlib.sha256)
    context = Context(command_id=uuid8(digest), actor=_OPERATOR, correlation_id="owl-dev-admin")
    try:
        await platform.writer.run(register_user, command, context)
    except EmailTaken:
        return False
    return True


async def operator_token(platform: Platform) -> str:
    """A token for what ``owl up`` does itself; who starts it holds the keys.

    That of the ``dev`` profile's admin, who is made if nobody administers yet and may have
    changed the password since; of another admin where that one may not any more.
    """
    row = await _operator(platform)
    if row is None:
        await ensure_dev_admin(platform)
        row = await _operator(platform)
    assert row is not None, "the last active admin stays"
    config = platform.config
    tokens = Tokens(config.token_keys, lifetime_s=config.token_lifetime_s)
    return tokens.issue(*row, now=platform.clock(), token_id=platform.ids())


async def _operator(platform: Platform) -> tuple[UUID, int] | None:
    known = {"email_claim": platform.secrets.claim_id("email", DEV_ADMIN_EMAIL)}
    async with platform.pool.connection() as connection:
        return await (await connection.execute(OPERATOR, known)).fetchone()
