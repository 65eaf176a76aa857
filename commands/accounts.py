"""Commands about who a user is: register, log in.

What users change of themselves stands in ``profile``, what admins do in ``administration``.
"""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from commands.rows import Credential, CredentialChange, SubjectKey
from domain.accounts import user as users
from domain.accounts.admins import ADMIN_ROLES, ADMINS, appoint
from domain.accounts.claim import CLAIM, claim
from domain.accounts.events import Role, UserRegistered
from domain.accounts.user import USER
from domain.ids import ADMINS_STREAM
from domain.ports import UnitOfWork


class RegisterUser(Struct, frozen=True, kw_only=True):
    """Open an account.

    The claims are the streams of the normalised e-mail address and username; ``subject_key``
    encrypts what is personal.
    """

    user_id: UUID
    email: str
    username: str
    full_name: str
    password_hash: str
    email_claim: UUID
    username_claim: UUID
    subject_key: bytes
    role: Role = "user"

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        names = (self.email_claim, self.username_claim)
        return (*names, ADMINS_STREAM) if self.role in ADMIN_ROLES else names


class Registered(Struct, frozen=True):
    """The account is open."""

    user_id: UUID


def register_user(command: RegisterUser, work: UnitOfWork) -> Registered:
    """Claim both names, then open the account: all of it, or nothing.

    Raises:
        EmailTaken, UsernameTaken: another user has the name.
    """
    email = work.load(CLAIM, command.email_claim)
    username = work.load(CLAIM, command.username_claim)
    user = work.create(USER, command.user_id)
    email.append(*claim(email.state, "email", user_id=command.user_id))
    username.append(*claim(username.state, "username", user_id=command.user_id))
    user.append(
        UserRegistered(
            user_id=command.user_id,
            email=command.email,
            username=command.username,
            full_name=command.full_name,
            role=command.role,
            username_claim=command.username_claim,
        )
    )
    if command.role in ADMIN_ROLES:
        admins = work.load(ADMINS, ADMINS_STREAM)
        admins.append(*appoint(admins.state, user_id=command.user_id))
    work.keep(SubjectKey(user_id=command.user_id, key=command.subject_key))
    work.keep(
        Credential(
            user_id=command.user_id,
            email_claim=command.email_claim,
            password_hash=command.password_hash,
            token_version=1,
            role=command.role,
            is_active=True,
        )
    )
    return Registered(command.user_id)


class LogIn(Struct, frozen=True, kw_only=True):
    """Note that a user's password was accepted; ``address`` is where they came from.

    ``token_version`` is the one at which it was. ``password_hash`` is a new hash of the same
    password, when the old one was made at another cost than today's.
    """

    user_id: UUID
    token_version: int
    address: str | None = None
    password_hash: str | None = None

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.user_id,)


class LoggedIn(Struct, frozen=True):
    """The login is on record; a token may be given for this role and version."""

    user_id: UUID
    role: Role
    token_version: int


def log_in(command: LogIn, work: UnitOfWork) -> LoggedIn:
    """Note a login.

    Raises:
        NotFound: no such user.
        InvalidState: the user is switched off.
        PasswordOutdated: it may have been changed since it was accepted.
    """
    user = work.load(USER, command.user_id)
    address, version = command.address, command.token_version
    user.append(users.log_in(user.state, token_version=version, address=address))
    known = user.state
    assert known is not None, "somebody logged in who was never registered"
    if command.password_hash is not None:
        work.keep(
            CredentialChange(
                user_id=command.user_id,
                token_version=known.token_version,
                password_hash=command.password_hash,
            )
        )
    return LoggedIn(command.user_id, known.role, known.token_version)
