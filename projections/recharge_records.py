"""Recharge records: who redeemed which code, when, and for how much."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from domain.envelope import Told
from domain.money import Fen
from domain.recharge.events import CodeRedeemed
from projections.page import Found, Page, offset, one
from projections.read_model import ReadModel, Table, Tally, first


class RechargeRecordRow(Struct, frozen=True, kw_only=True, gc=False):
    """One redemption; ``position`` is that of its event."""

    record_id: UUID
    user_id: UUID
    code_id: UUID
    amount_fen: Fen
    redeemed_at: datetime
    position: int


class RechargeRecord(Struct, frozen=True, kw_only=True):
    """One redemption as its user sees it: with what is known of the code."""

    record_id: UUID
    code_id: UUID
    hint: str
    description: str
    amount_fen: Fen
    redeemed_at: datetime
    position: int


def _redeemed(event: Told[CodeRedeemed]) -> RechargeRecordRow:
    fact = event.fact
    return RechargeRecordRow(
        record_id=fact.record_id,
        user_id=fact.user_id,
        code_id=fact.code_id,
        amount_fen=fact.amount_fen,
        redeemed_at=fact.redeemed_at,
        position=event.position,
    )


_TABLE: Final = Table(
    name="recharge_records",
    row=RechargeRecordRow,
    key=("record_id",),
    folds=(first(CodeRedeemed, _redeemed),),
)
RECHARGE_RECORDS: Final = ReadModel(
    name="recharge_records",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(_TABLE,),
    tallies=(
        Tally(
            name="recharge_counts",
            of=_TABLE,
            columns=("user_id",),
            group=lambda row: (row.user_id.int,),
        ),
    ),
)

PAGE: Final = """
    SELECT json_build_object(
        'total', coalesce((SELECT n FROM read.recharge_counts WHERE user_id = %(user_id)s), 0),
        'items', coalesce((
            SELECT json_agg(to_json(found)) FROM (
                SELECT record.*, hint, description FROM (
                    SELECT position FROM read.recharge_records WHERE user_id = %(user_id)s
                    ORDER BY position DESC LIMIT %(page_size)s OFFSET %(offset)s
                ) AS page, LATERAL (
                    SELECT * FROM read.recharge_records
                    WHERE user_id = %(user_id)s AND position = page.position
                    LIMIT 1  -- one lookup for each, whatever length of page is planned for
                ) AS record, LATERAL (
                    SELECT hint, description FROM read.recharge_codes
                    WHERE code_id = record.code_id LIMIT 1
                ) AS code
                ORDER BY position DESC
            ) AS found
        ), '[]'::json)
    )::text
"""


async def record_page(
    connection: AsyncConnection[Any], user_id: UUID, *, page: int, page_size: int
) -> Page[RechargeRecord]:
    """One page of the user's redemptions, the newest first."""
    parameters = {
        "user_id": user_id,
        "page_size": page_size,
        "offset": offset(page, page_size),
    }
    found = await one(connection, Found[RechargeRecord], PAGE, parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(items=found.items, total=found.total, page=page, page_size=page_size)
