"""Recharge codes and their redemptions as the contract lists them: masked, money in yuan."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from api.envelope import shown
from domain.money import to_yuan
from projections.recharge_codes import CodeStatus, RechargeCodeRow
from projections.recharge_records import RechargeRecord


class RecordItem(Struct, kw_only=True):
    """One redemption; ``code`` is masked."""

    id: UUID
    code: str
    amount: float
    description: str
    created_at: datetime | None
    position: int


class CodeItem(Struct, kw_only=True):
    """One code as lists show it: masked, with its uses."""

    id: UUID
    batch_id: UUID
    code: str
    amount: float
    status: CodeStatus
    max_uses: int
    used_count: int
    description: str
    expires_at: datetime | None
    created_by: str
    created_at: datetime | None
    last_used_at: datetime | None


def record_of(row: RechargeRecord) -> RecordItem:
    """A row as it is answered."""
    return RecordItem(
        id=row.record_id,
        code=row.hint,
        amount=to_yuan(row.amount_fen),
        description=row.description,
        created_at=shown(row.redeemed_at),
        position=row.position,
    )


def code_of(row: RechargeCodeRow, now: datetime) -> CodeItem:
    """A row as it is answered; whether it has expired depends on the time."""
    return CodeItem(
        id=row.code_id,
        batch_id=row.batch_id,
        code=row.hint,
        amount=to_yuan(row.amount_fen),
        status=row.status_at(now),
        max_uses=row.max_uses,
        used_count=row.used_count,
        description=row.description,
        expires_at=shown(row.expires_at),
        created_by=row.created_by,
        created_at=shown(row.created_at),
        last_used_at=shown(row.last_used_at),
    )
