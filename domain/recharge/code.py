"""The recharge code aggregate: issued once, redeemed by at most ``max_uses`` distinct users."""

from __future__ import annotations

from datetime import datetime
from typing import assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.decider import Decider
from domain.errors import InvalidInput, InvalidState, NotFound, Refused
from domain.money import Fen
from domain.recharge.events import (
    CodeFact,
    CodeIssued,
    CodeRedeemed,
    CodeRevealed,
    CodeRevoked,
)
from domain.recharge.redeemers import Redeemers


class CodeExpired(Refused):
    """The code's time is over."""

    code = "CODE_EXPIRED"


class CodeExhausted(Refused):
    """Every use has been spent."""

    code = "CODE_EXHAUSTED"


class CodeEnded(Refused):
    """An administrator revoked the code."""

    code = "CODE_REVOKED"


class CodeAlreadyRedeemed(Refused):
    """This user has redeemed this code before."""

    code = "CODE_ALREADY_REDEEMED"


class Code(Struct, frozen=True, kw_only=True):
    """What the stream says so far."""

    code_id: UUID
    amount_fen: Fen
    max_uses: int
    expires_at: datetime | None
    sealed: str
    redeemed_by: Redeemers = Redeemers()
    revoked: bool = False

    @property
    def is_spent(self) -> bool:
        """Whether every use has been spent."""
        return len(self.redeemed_by) >= self.max_uses


def evolve(code: Code | None, fact: CodeFact) -> Code:
    """Fold one fact."""
    if isinstance(fact, CodeIssued):
        return Code(
            code_id=fact.code_id,
            amount_fen=fact.amount_fen,
            max_uses=fact.max_uses,
            expires_at=fact.expires_at,
            sealed=fact.sealed,
        )
    assert code is not None, "a fact before the issue: the stream is corrupt"
    match fact:
        case CodeRedeemed(user_id=user_id):
            return replace(code, redeemed_by=code.redeemed_by.and_also(user_id))
        case CodeRevoked():
            return replace(code, revoked=True)
        case CodeRevealed():
            return code
        case _:
            assert_never(fact)


CODE: Decider[Code | None] = Decider("recharge_code", None, evolve, CodeFact)


def issue(
    *,
    code_id: UUID,
    batch_id: UUID,
    hint: str,
    sealed: str,
    amount_fen: Fen,
    max_uses: int,
    expires_at: datetime | None,
    description: str,
    now: datetime,
) -> CodeIssued:
    """Create a code.

    Raises:
        InvalidInput: it would be dead from the start, or give nothing.
    """
    if expires_at is not None and expires_at <= now:
        raise InvalidInput("a code must expire in the future", field="expires_at")
    if amount_fen <= 0:
        raise InvalidInput("a code must give something", field="amount")
    if max_uses <= 0:
        raise InvalidInput("a code must have a use", field="max_uses")
    return CodeIssued(
        code_id=code_id,
        batch_id=batch_id,
        hint=hint,
        sealed=sealed,
        amount_fen=amount_fen,
        max_uses=max_uses,
        expires_at=expires_at,
        description=description,
    )


def redeem(code: Code | None, *, record_id: UUID, user_id: UUID, now: datetime) -> CodeRedeemed:
    """Spend one use of ``code`` for ``user_id``.

    Raises:
        NotFound: no such code was ever issued.
        CodeAlreadyRedeemed: this user had it before, whatever became of it since.
        CodeEnded: it was revoked.
        CodeExhausted: every use has been spent.
        CodeExpired: ``now`` is at or after ``expires_at``.
    """
    if code is None:
        raise NotFound("no such recharge code")
    if user_id in code.redeemed_by:
        raise CodeAlreadyRedeemed
    if code.revoked:
        raise CodeEnded
    if code.is_spent:
        raise CodeExhausted
    if code.expires_at is not None and now >= code.expires_at:
        raise CodeExpired
    return CodeRedeemed(
        code_id=code.code_id,
        record_id=record_id,
        user_id=user_id,
        amount_fen=code.amount_fen,
        redeemed_at=now,
    )


def revoke(code: Code | None) -> tuple[CodeRevoked, ...]:
    """End the code; nothing happens when it has ended already.

    Raises:
        NotFound: no such code was ever issued.
        InvalidState: every use has been spent, so there is nothing to end.
    """
    if code is None:
        raise NotFound
    if code.is_spent and not code.revoked:
        raise InvalidState("the code is used up", status="used")
    return () if code.revoked else (CodeRevoked(code_id=code.code_id),)


def reveal(code: Code | None) -> CodeRevealed:
    """Note that somebody looks at the whole code.

    Raises:
        NotFound: no such code was ever issued.
    """
    if code is None:
        raise NotFound
    return CodeRevealed(code_id=code.code_id)
