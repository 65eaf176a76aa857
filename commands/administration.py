"""Command of admins about a user: role, activity and balance, all of it or nothing."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from commands.rows import CredentialChange
from domain.accounts.admins import ADMINS, appoint, dismiss, is_active_admin
from domain.accounts.events import Role
from domain.accounts.standing import authorise, change_role, keep_own_office, set_active
from domain.accounts.user import USER, User, existing
from domain.ids import ADMINS_STREAM, account_stream
from domain.money import Fen
from domain.ports import UnitOfWork
from domain.wallet.wallet import WALLET, adjust


class UpdateUser(Struct, frozen=True, kw_only=True):
    """Change a user; ``None`` means left as it is.

    ``balance_fen`` is what the balance shall be, holds included. ``actor_id`` is the admin who
    wants it; ``None`` is the operator of the machine.
    """

    user_id: UUID
    actor_id: UUID | None
    role: Role | None = None
    is_active: bool | None = None
    balance_fen: Fen | None = None
    reason: str = ""

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        streams = [self.user_id]
        if self.actor_id is not None:
            streams.append(self.actor_id)
        if self.balance_fen is not None:
            streams.append(account_stream(self.user_id))
        return tuple(streams)


class UserNow(Struct, frozen=True):
    """The user after the command."""

    user_id: UUID
    role: Role
    is_active: bool
    token_version: int


def update_user(command: UpdateUser, work: UnitOfWork) -> UserNow:
    """Change role, activity and balance; what is so already is not recorded again.

    Raises:
        NotFound: no such user.
        Denied: the actor may not, or no longer.
        LastAdmin: nobody would be left to administer the platform.
        InvalidState: admins would end their own office, or the balance fall below the holds.
    """
    user = work.load(USER, command.user_id)
    before = existing(user.state)
    actor = None if command.actor_id is None else work.load(USER, command.actor_id).state
    if command.actor_id is not None:
        authorise(actor, before, role=command.role)
    if command.role is not None:
        user.append(*change_role(before, command.role, reason=command.reason))
    if command.is_active is not None:
        facts = set_active(
            existing(user.state), is_active=command.is_active, reason=command.reason
        )
        user.append(*facts)
    after = existing(user.state)
    _keep_an_admin(before, after, work)
    if actor is not None:
        keep_own_office(actor, after)
    if command.balance_fen is not None:
        _set_balance(command, command.balance_fen, work)
    if after != before:
        work.keep(
            CredentialChange(
                user_id=command.user_id,
                token_version=after.token_version,
                role=after.role,
                is_active=after.is_active,
            )
        )
    return UserNow(command.user_id, after.role, after.is_active, after.token_version)


def _keep_an_admin(before: User, after: User, work: UnitOfWork) -> None:
    if is_active_admin(before) == is_active_admin(after):
        return
    admins = work.load(ADMINS, ADMINS_STREAM)
    if is_active_admin(after):
        admins.append(*appoint(admins.state, user_id=after.user_id))
    else:
        admins.append(*dismiss(admins.state, user_id=after.user_id))


def _set_balance(command: UpdateUser, target_fen: Fen, work: UnitOfWork) -> None:
    wallet = work.load(WALLET, account_stream(command.user_id))
    if wallet.state.balance_fen != target_fen:
        wallet.append(
            adjust(
                wallet.state,
                user_id=command.user_id,
                target_fen=target_fen,
                reason=command.reason,
            )
        )
