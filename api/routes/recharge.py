"""Recharge codes and what was redeemed. Source: the published contract, 充值管理API."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from api.body import RequestBody
from api.envelope import Envelope, shown
from api.exchange import Exchange
from api.fields import Amount, Description, Instant, as_utc, fen_of
from api.judging import judge_batch
from api.messages import Fault, Text
from api.pagination import Page, PageNumber, PageSize, page_of
from api.platform import HttpConfig, Platform
from api.policy import ADMIN, ANYONE, MEMBER, READER
from api.recharge_shapes import CodeItem, RecordItem, code_of, record_of
from api.refusals import refuses
from api.validation import checked
from commands.recharge import (
    IssueCodes,
    Issued,
    NewCode,
    RedeemCode,
    Redeemed,
    RevealCode,
    Revealed,
    RevokeCode,
    Revoked,
    issue_codes,
    redeem_code,
    reveal_code,
    revoke_code,
)
from domain.money import to_yuan
from domain.recharge.code_text import code_from, hint_of, read
from projections.recharge_codes import CodeStatus, code_page
from projections.recharge_records import record_page

BATCH_YUAN_MAX: Final = 10_000_000
"""What the codes of one request may pay out, all uses together: beyond it a digit slipped."""

ISSUED = Text("充值码已生成，请妥善保存", "Codes issued: keep them safe")
REDEEMED = Text("充值成功", "Recharged")
REVOKED = Text("充值码已作废", "Code revoked")

_REDEEMING = refuses(
    *("CODE_EXPIRED", "CODE_EXHAUSTED", "CODE_REVOKED", "CODE_ALREADY_REDEEMED"),
    *("RESOURCE_NOT_FOUND", "RATE_LIMITED", "INVALID_STATE"),
)


class IssueRequest(RequestBody):
    """A batch of like codes: amount × codes × uses is 10,000,000.00 yuan at most."""

    judge = judge_batch
    amount: Amount
    description: Description = ""
    batch_size: Annotated[int, Meta(ge=1, le=1_000)] = 1
    expires_at: Instant | None = None
    max_uses: Annotated[int, Meta(ge=1, le=10_000)] = 1

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], _config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """One request makes so much money and no more."""
        if "amount" not in given:
            return
        total = given["amount"] * given.get("batch_size", 1) * given.get("max_uses", 1)
        if total > BATCH_YUAN_MAX:
            yield "amount", Fault("batch_total", {"limit": f"{BATCH_YUAN_MAX:,.2f}"})


class IssuedCode(Struct, kw_only=True):
    """A new code. It is shown here and nowhere else but by ``reveal``."""

    id: UUID
    code: str
    amount: float
    expires_at: datetime | None


class IssuedBatch(Struct, kw_only=True):
    """The batch; ``total_amount`` in yuan is amount times codes."""

    codes: list[IssuedCode]
    total_generated: int
    total_amount: float


def _code_fault(text: str) -> Fault | None:
    return Fault("code") if read(text) is None else None


class RedeemRequest(RequestBody):
    """The code, in any case, with or without dashes."""

    code: Annotated[
        str, Meta(max_length=64, examples=["OWL-ABCD-1234-EFGH"]), checked(_code_fault)
    ]


class RedeemAnswer(Struct, kw_only=True):
    """What was credited, in yuan."""

    amount: float
    new_balance: float
    recharge_record_id: UUID


class RevealedCode(Struct, kw_only=True):
    """The whole code."""

    id: UUID
    code: str


class RevokedCode(Struct, kw_only=True):
    """The code that is dead now."""

    id: UUID
    status: CodeStatus


@post("/codes", opt=ADMIN, status_code=200)
async def issue(
    data: JSONBody[IssueRequest], exchange: NamedDependency[Exchange]
) -> Envelope[IssuedBatch]:
    """生成充值码: create a batch of codes: all of them, or none."""
    platform = exchange.platform
    batch_id = platform.ids()
    amount_fen = fen_of(data.amount)
    expires_at = None if data.expires_at is None else as_utc(data.expires_at)
    command = IssueCodes(
        batch_id=batch_id,
        codes=tuple(
            NewCode(code_id, hint_of(text), platform.secrets.seal(text))
            for code_id, text in _batch(platform, batch_id, data.batch_size)
        ),
        amount_fen=amount_fen,
        max_uses=data.max_uses,
        expires_at=expires_at,
        description=data.description,
        at=platform.clock(),
    )
    issued = await exchange.run(issue_codes, command, Issued)
    codes = [
        IssuedCode(
            id=code_id, code=text, amount=to_yuan(amount_fen), expires_at=shown(expires_at)
        )
        for code_id, text in _batch(platform, issued.batch_id, issued.count)
    ]
    return exchange.reply(
        IssuedBatch(
            codes=codes,
            total_generated=len(codes),
            total_amount=to_yuan(amount_fen * len(codes)),
        ),
        ISSUED,
    )


@post("/redeem", opt=MEMBER | _REDEEMING, status_code=200)
async def redeem(
    data: JSONBody[RedeemRequest], exchange: NamedDependency[Exchange]
) -> Envelope[RedeemAnswer]:
    """使用充值码: turn a code into balance."""
    platform, user_id = exchange.platform, exchange.user.user_id
    code_id = platform.secrets.code_id(read(data.code) or "")
    await platform.throttle.judge_code(code_id, user_id, exchange.client_address)
    command = RedeemCode(
        code_id=code_id,
        user_id=user_id,
        record_id=platform.ids(),
        at=platform.clock(),
    )
    redeemed = await exchange.run(redeem_code, command, Redeemed)
    return exchange.reply(
        RedeemAnswer(
            amount=to_yuan(redeemed.amount_fen),
            new_balance=to_yuan(redeemed.new_balance_fen),
            recharge_record_id=redeemed.record_id,
        ),
        REDEEMED,
    )


@get("/records", opt=ANYONE)
async def list_records(
    exchange: NamedDependency[Exchange],
    page: FromQuery[PageNumber] = 1,
    page_size: FromQuery[PageSize] = 20,
) -> Envelope[Page[RecordItem]]:
    """获取充值记录: the signed-in user's redemptions, the newest first."""
    async with exchange.reading() as connection:
        found = await record_page(
            connection, exchange.user.user_id, page=page, page_size=page_size
        )
    return exchange.reply(page_of(found, record_of))


@get("/codes", opt=READER)
async def list_codes(
    exchange: NamedDependency[Exchange],
    page: FromQuery[PageNumber] = 1,
    page_size: FromQuery[PageSize] = 20,
    status: FromQuery[CodeStatus | None] = None,
) -> Envelope[Page[CodeItem]]:
    """获取充值码列表: all codes, the newest first, masked."""
    now = exchange.platform.clock()
    async with exchange.reading() as connection:
        found = await code_page(
            connection, status=status, now=now, page=page, page_size=page_size
        )
    return exchange.reply(page_of(found, lambda row: code_of(row, now)))


@post("/codes/{code_id:uuid}/reveal", opt=ADMIN, status_code=200)
async def reveal(
    code_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[RevealedCode]:
    """查看完整充值码: show a whole code; that it was shown is recorded."""
    revealed = await exchange.run(reveal_code, RevealCode(code_id=code_id), Revealed)
    code = exchange.platform.secrets.unseal(revealed.sealed)
    return exchange.reply(RevealedCode(id=code_id, code=code))


@post("/codes/{code_id:uuid}/revoke", opt=ADMIN | refuses("INVALID_STATE"), status_code=200)
async def revoke(
    code_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[RevokedCode]:
    """作废充值码: end a code; who redeemed it keeps the money."""
    await exchange.run(revoke_code, RevokeCode(code_id=code_id), Revoked)
    return exchange.reply(RevokedCode(id=code_id, status="revoked"), REVOKED)


def _batch(platform: Platform, batch_id: UUID, size: int) -> Iterator[tuple[UUID, str]]:
    """A batch's codes with their ids, always the same; making them takes the keys."""
    key = platform.config.request_key
    for number in range(size):
        seed = b"recharge code" + batch_id.bytes + number.to_bytes(2, "big")
        text = code_from(hmac.digest(key, seed, hashlib.sha256))
        yield platform.secrets.code_id(read(text) or ""), text


ROUTER = Router(
    path="/recharge",
    route_handlers=[issue, redeem, list_records, list_codes, reveal, revoke],
    tags=["充值 Recharge"],
)
