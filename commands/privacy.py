"""Command about a person's right to be forgotten."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from commands.rows import SubjectErasure
from domain.accounts.claim import CLAIM, ClaimKind, release
from domain.accounts.erasure import erase
from domain.accounts.user import USER, existing
from domain.ids import account_stream
from domain.ports import UnitOfWork
from domain.wallet.wallet import WALLET


class EraseUser(Struct, frozen=True, kw_only=True):
    """Destroy the user's key. ``email_claim`` is that of their way in, if they have one."""

    user_id: UUID
    email_claim: UUID | None
    reason: str

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.user_id, account_stream(self.user_id))


class Erased(Struct, frozen=True):
    """The person is forgotten; ``changed`` is false when they were so before."""

    user_id: UUID
    changed: bool


def erase_user(command: EraseUser, work: UnitOfWork) -> Erased:
    """Destroy key and way in and give the names free, in one commit; the money stays.

    Raises:
        NotFound: no such user.
        InvalidState: the user has open tasks, or administers the platform.
    """
    user = work.load(USER, command.user_id)
    wallet = work.load(WALLET, account_stream(command.user_id))
    facts = erase(user.state, wallet.state, reason=command.reason)
    if facts:
        names: tuple[tuple[ClaimKind, UUID | None], ...] = (
            ("email", command.email_claim),
            ("username", existing(user.state).username_claim),
        )
        for kind, stream in names:
            if stream is not None:
                held = work.load(CLAIM, stream)
                held.append(*release(held.state, kind, user_id=command.user_id))
        user.append(*facts)
        work.keep(SubjectErasure(user_id=command.user_id))
    return Erased(command.user_id, changed=bool(facts))
