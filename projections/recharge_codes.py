"""Recharge codes as administrators see them; the code itself is never here, only its hint."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any, Final, Literal, LiteralString
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace
from psycopg import AsyncConnection

from domain.envelope import Told
from domain.money import Fen
from domain.recharge.events import CodeIssued, CodeRedeemed, CodeRevoked
from projections.page import Found, Page, offset, one, reach_of
from projections.read_model import ReadModel, Table, Tally, first, on

CodeStatus = Literal["active", "used", "expired", "revoked"]
NEVER: Final = date.max


class RechargeCodeRow(Struct, frozen=True, kw_only=True, gc=False):
    """One code. ``state`` is what events say; ``status_at`` adds the passing of time."""

    code_id: UUID
    batch_id: UUID
    hint: str
    amount_fen: Fen
    max_uses: int
    used_count: int = 0
    expires_at: datetime | None
    description: str
    state: Literal["open", "used", "revoked"] = "open"
    created_by: str
    created_at: datetime
    last_used_at: datetime | None = None
    revoked_at: datetime | None = None

    def status_at(self, now: datetime) -> CodeStatus:
        """The status at ``now``."""
        if self.state != "open":
            return self.state
        expired = self.expires_at is not None and now >= self.expires_at
        return "expired" if expired else "active"


def _issued(event: Told[CodeIssued]) -> RechargeCodeRow:
    fact = event.fact
    return RechargeCodeRow(
        code_id=fact.code_id,
        batch_id=fact.batch_id,
        hint=fact.hint,
        amount_fen=fact.amount_fen,
        max_uses=fact.max_uses,
        expires_at=fact.expires_at,
        description=fact.description,
        created_by=event.actor,
        created_at=event.recorded_at,
    )


def _redeemed(row: RechargeCodeRow, event: Told[CodeRedeemed]) -> RechargeCodeRow:
    used = row.used_count + 1
    return replace(
        row,
        used_count=used,
        state="used" if used == row.max_uses else row.state,
        last_used_at=event.fact.redeemed_at,
    )


def _revoked(row: RechargeCodeRow, event: Told[CodeRevoked]) -> RechargeCodeRow:
    return replace(row, state="revoked", revoked_at=event.recorded_at)


def _group(row: RechargeCodeRow) -> tuple[str, date]:
    expires = row.state == "open" and row.expires_at is not None
    return row.state, row.expires_at.date() if expires and row.expires_at else NEVER


_TABLE: Final = Table(
    name="recharge_codes",
    row=RechargeCodeRow,
    key=("code_id",),
    folds=(first(CodeIssued, _issued), on(CodeRedeemed, _redeemed), on(CodeRevoked, _revoked)),
)
RECHARGE_CODES: Final = ReadModel(
    name="recharge_codes",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(_TABLE,),
    tallies=(
        Tally(name="code_counts", of=_TABLE, columns=("state", "expires_on"), group=_group),
    ),
)

PAGE: Final = """
    SELECT json_build_object(
        'total', ({total}),
        'items', coalesce((
            SELECT json_agg(to_json(found)) FROM (
                SELECT code.* FROM (
                    SELECT * FROM ({page} LIMIT {{reach}}) AS reached
                    ORDER BY {order} LIMIT %(page_size)s OFFSET %(offset)s
                ) AS page, LATERAL (
                    SELECT * FROM read.recharge_codes WHERE code_id = page.code_id
                    LIMIT 1  -- one lookup for each, whatever length of page is planned for
                ) AS code
                ORDER BY {order}
            ) AS found
        ), '[]'::json)
    )::text
"""
NEWEST_FIRST: Final = "created_at DESC, code_id DESC"
EXPIRED_LAST_FIRST: Final = "expires_at DESC, code_id DESC"
ALL: Final = """
    SELECT code_id, created_at FROM read.recharge_codes ORDER BY created_at DESC, code_id DESC
"""
IN_STATE: Final = """
    SELECT code_id, created_at FROM read.recharge_codes WHERE state = '{state}'
    ORDER BY created_at DESC, code_id DESC
"""
EXPIRED: Final = """
    SELECT code_id, expires_at FROM read.recharge_codes
    WHERE state = 'open' AND expires_at <= %(now)s
    ORDER BY expires_at DESC, code_id DESC
"""
# the time stands in a query of its own, hidden from the planner: knowing it, Postgres takes the
# plan for this one time to be the cheaper on a long history, and plans anew at each request
ACTIVE: Final = """
    SELECT code_id, created_at FROM read.code_counts AS day, LATERAL (
        SELECT code_id, created_at FROM read.recharge_codes
        WHERE state = 'open' AND (expires_at IS NULL OR expires_at > (SELECT %(now)s))
            AND coalesce((expires_at AT TIME ZONE 'UTC')::date, DATE '9999-12-31')
                = day.expires_on
        ORDER BY created_at DESC, code_id DESC LIMIT {reach}
    ) AS of_day
    WHERE day.state = 'open' AND n > 0
        AND expires_on >= (SELECT (%(now)s AT TIME ZONE 'UTC')::date)
    ORDER BY created_at DESC, code_id DESC
"""
COUNT: Final = "SELECT coalesce(sum(n), 0) FROM read.code_counts"
EXPIRED_TODAY: Final = """
    (SELECT count(*) FROM read.recharge_codes
        WHERE state = 'open' AND expires_at <= %(now)s
            AND expires_at >= date_trunc('day', %(now)s, 'UTC'))
"""
COUNT_ACTIVE: Final = """
    SELECT coalesce(sum(n), 0) - {expired_today} FROM read.code_counts
    WHERE state = 'open' AND expires_on >= (%(now)s AT TIME ZONE 'UTC')::date
"""
COUNT_EXPIRED: Final = """
    SELECT coalesce(sum(n), 0) + {expired_today} FROM read.code_counts
    WHERE state = 'open' AND expires_on < (%(now)s AT TIME ZONE 'UTC')::date
"""


def _in_state(state: LiteralString) -> LiteralString:
    return PAGE.format(
        total=COUNT + " WHERE state = '" + state + "'",
        page=IN_STATE.format(state=state),
        order=NEWEST_FIRST,
    )


STATEMENTS: Final[dict[CodeStatus | None, LiteralString]] = {
    None: PAGE.format(total=COUNT, page=ALL, order=NEWEST_FIRST),
    "used": _in_state("used"),
    "revoked": _in_state("revoked"),
    "expired": PAGE.format(
        total=COUNT_EXPIRED.format(expired_today=EXPIRED_TODAY),
        page=EXPIRED,
        order=EXPIRED_LAST_FIRST,
    ),
    "active": PAGE.format(
        total=COUNT_ACTIVE.format(expired_today=EXPIRED_TODAY), page=ACTIVE, order=NEWEST_FIRST
    ),
}


async def code_page(
    connection: AsyncConnection[Any],
    *,
    status: CodeStatus | None,
    now: datetime,
    page: int,
    page_size: int,
) -> Page[RechargeCodeRow]:
    """One page of codes, the newest first, expired ones by when they did.

    ``status`` is that at ``now``.
    """
    parameters = {
        "now": now,
        "page_size": page_size,
        "offset": offset(page, page_size),
    }
    statement = STATEMENTS[status].replace("{reach}", reach_of(page, page_size))
    found = await one(connection, Found[RechargeCodeRow], statement, parameters)
    assert found is not None, "an aggregate gives one row"
    return Page(items=found.items, total=found.total, page=page, page_size=page_size)
