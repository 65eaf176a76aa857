"""Facts about recharge codes. Amounts are fen; times are aware UTC.

A code itself never enters a fact in the clear: the stream's id is a keyed digest of it, and
``sealed`` its ciphertext under the platform's key.
"""

from __future__ import annotations

from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from domain.facts import Fact
from domain.money import Fen


class CodeIssued(Fact, frozen=True, tag="recharge.code_issued/1", kw_only=True):
    """An administrator created a code that ``max_uses`` distinct users may redeem."""

    code_id: UUID
    batch_id: UUID
    hint: str
    sealed: str
    amount_fen: Fen
    max_uses: int
    expires_at: datetime | None = None
    description: str = ""


class CodeRedeemed(Fact, frozen=True, tag="recharge.code_redeemed/1", kw_only=True):
    """A user spent one use of the code; ``record_id`` names this redemption."""

    code_id: UUID
    record_id: UUID
    user_id: UUID
    amount_fen: Fen
    redeemed_at: datetime


class CodeRevoked(Fact, frozen=True, tag="recharge.code_revoked/1", kw_only=True):
    """An administrator ended the code."""

    code_id: UUID


class CodeRevealed(Fact, frozen=True, tag="recharge.code_revealed/1", kw_only=True):
    """An administrator looked at the whole code."""

    code_id: UUID


CodeFact: TypeAlias = CodeIssued | CodeRedeemed | CodeRevoked | CodeRevealed
