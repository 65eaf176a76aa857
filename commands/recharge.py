"""Commands about recharge codes: issue, redeem, revoke, reveal."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from domain.ids import account_stream
from domain.money import Fen
from domain.ports import UnitOfWork
from domain.recharge.code import CODE, issue, redeem, reveal, revoke
from domain.wallet.wallet import WALLET, recharge


class NewCode(Struct, frozen=True):
    """One code to be: its stream, what lists show of it, and its ciphertext."""

    code_id: UUID
    hint: str
    sealed: str


class IssueCodes(Struct, frozen=True, kw_only=True):
    """Create a batch of like codes."""

    batch_id: UUID
    codes: tuple[NewCode, ...]
    amount_fen: Fen
    max_uses: int
    expires_at: datetime | None
    description: str
    at: datetime


class Issued(Struct, frozen=True):
    """The batch exists."""

    batch_id: UUID
    count: int


def issue_codes(command: IssueCodes, work: UnitOfWork) -> Issued:
    """Create every code of the batch, or none.

    Raises:
        InvalidInput: the codes would be dead from the start.
    """
    for code in command.codes:
        work.create(CODE, code.code_id).append(
            issue(
                code_id=code.code_id,
                batch_id=command.batch_id,
                hint=code.hint,
                sealed=code.sealed,
                amount_fen=command.amount_fen,
                max_uses=command.max_uses,
                expires_at=command.expires_at,
                description=command.description,
                now=command.at,
            )
        )
    return Issued(command.batch_id, len(command.codes))


class RedeemCode(Struct, frozen=True, kw_only=True):
    """Turn a code into balance; ``at`` is when the user asked."""

    code_id: UUID
    user_id: UUID
    record_id: UUID
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.code_id, account_stream(self.user_id))


class Redeemed(Struct, frozen=True):
    """The money is there; ``new_balance_fen`` includes what is held."""

    amount_fen: Fen
    new_balance_fen: Fen
    record_id: UUID


def redeem_code(command: RedeemCode, work: UnitOfWork) -> Redeemed:
    """Spend one use of a code and credit the account: both streams, or neither.

    Raises:
        NotFound: no such code was ever issued.
        CodeAlreadyRedeemed, CodeEnded, CodeExhausted, CodeExpired: it gives nothing now.
    """
    code = work.load(CODE, command.code_id)
    wallet = work.load(WALLET, account_stream(command.user_id))
    redeemed = redeem(
        code.state, record_id=command.record_id, user_id=command.user_id, now=command.at
    )
    code.append(redeemed)
    wallet.append(
        recharge(
            user_id=command.user_id,
            amount_fen=redeemed.amount_fen,
            record_id=command.record_id,
            code_id=command.code_id,
        )
    )
    return Redeemed(redeemed.amount_fen, wallet.state.balance_fen, command.record_id)


class RevokeCode(Struct, frozen=True, kw_only=True):
    """End a code."""

    code_id: UUID

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.code_id,)


class Revoked(Struct, frozen=True):
    """The code is dead; ``changed`` is false when it was so before."""

    code_id: UUID
    changed: bool


def revoke_code(command: RevokeCode, work: UnitOfWork) -> Revoked:
    """End a code; who had redeemed it keeps the money.

    Raises:
        NotFound: no such code was ever issued.
        InvalidState: every use has been spent.
    """
    code = work.load(CODE, command.code_id)
    facts = revoke(code.state)
    code.append(*facts)
    return Revoked(command.code_id, changed=bool(facts))


class RevealCode(Struct, frozen=True, kw_only=True):
    """Look at a whole code."""

    code_id: UUID

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.code_id,)


class Revealed(Struct, frozen=True):
    """The ciphertext of the code, to be opened by whoever has the platform's key."""

    code_id: UUID
    sealed: str


def reveal_code(command: RevealCode, work: UnitOfWork) -> Revealed:
    """Give the code out, and put on record that it was.

    Raises:
        NotFound: no such code was ever issued.
    """
    code = work.load(CODE, command.code_id)
    code.append(reveal(code.state))
    assert code.state is not None, "a code was revealed that was never issued"
    return Revealed(command.code_id, code.state.sealed)
