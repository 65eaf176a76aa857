"""What was signed so far: the log's keys, its checkpoints, and receipts for single events.

The twin of ``owl audit keys list``, ``checkpoints`` and ``receipt``, on the same functions.
Sources of the texts: C2SP signed-note, tlog-checkpoint and tlog-proof.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias
from uuid import UUID

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from api.accesses import accessed
from api.audit_asking import A_MOMENT, MOMENT, WRITTEN_AS_MOMENT, Limit, moment, number_in
from api.audit_shapes import CheckpointPage, ListedKey, listed_checkpoints, listed_keys
from api.envelope import Envelope
from api.exchange import Exchange
from api.long_looks import NOT_SIGNED
from api.policy import READER
from api.refusals import refuses
from api.rejection import Rejection
from domain.errors import NotFound
from projections.audit.proving import NotSigned, prove_event

TEXT: Final = "text/plain"
LISTED: Final = 20

At: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        pattern=MOMENT,
        description="As it was at this position or time; now unless told. 截至位置或时间",
    ),
    WRITTEN_AS_MOMENT,
    A_MOMENT,
]


@get("/log/keys", opt=READER | refuses("INVALID_STATE"))
async def list_keys(exchange: NamedDependency[Exchange]) -> Envelope[list[ListedKey]]:
    """列出日志的所有公钥: every key that has signed, oldest first, and what links it on.

    A key that you hold is enough: each change is signed by the key before and by the new one.
    """
    await accessed(exchange)
    keys = await exchange.desk.stored.keys(within_s=exchange.deadline_s)
    return exchange.reply(listed_keys(keys))


@get("/log/checkpoints", opt=READER)
async def list_checkpoints(
    exchange: NamedDependency[Exchange],
    at: FromQuery[At] = None,
    limit: FromQuery[Limit] = LISTED,
) -> Envelope[CheckpointPage]:
    """列出检查点: what was signed until a position or a time, the newest last."""
    then = moment(at)
    await accessed(exchange, until=then if isinstance(then, int) else None)
    found = await exchange.desk.stored.ask(
        lambda log: log.checkpoints_upto(then, limit + 1), within_s=exchange.deadline_s
    )
    return exchange.reply(listed_checkpoints(found, limit))


@get(
    "/receipts/{event:str}",
    opt=READER | refuses("INVALID_STATE") | {"media_types": (TEXT,)},
)
async def read_receipt(
    event: FromPath[str], exchange: NamedDependency[Exchange]
) -> Response[bytes]:
    """获取事件凭据: a file that proves that an event is in the log, by its position.

    It stands alone: it holds the signed checkpoint, the path to it and the envelope, and not
    what the event says.
    """
    position = number_in(event)
    if position is None:
        raise NotFound
    access = await accessed(exchange, after=position - 1, until=position)
    if access.upto(position) != position:
        raise NotFound
    return await _receipt(exchange, position)


@get(
    "/receipts/{stream_id:uuid}/{version:str}",
    opt=READER | refuses("INVALID_STATE") | {"media_types": (TEXT,)},
)
async def read_receipt_by_id(
    stream_id: FromPath[UUID], version: FromPath[str], exchange: NamedDependency[Exchange]
) -> Response[bytes]:
    """按编号获取事件凭据: the same by the event's id: its stream, its version in it."""
    number = number_in(version)
    if number is None:
        raise NotFound
    await accessed(exchange)
    position = await exchange.desk.stored.ask(
        lambda log: log.position_of(stream_id, number), within_s=exchange.deadline_s
    )
    if position is None:
        raise NotFound
    return await _receipt(exchange, position)


async def _receipt(exchange: Exchange, position: int) -> Response[bytes]:
    """The file.

    Raises:
        Rejection: no checkpoint covers the event yet.
    """
    try:
        text = await exchange.desk.stored.ask(
            lambda log: prove_event(log, position), within_s=exchange.deadline_s
        )
    except NotSigned:
        raise Rejection("INVALID_STATE", message=NOT_SIGNED) from None
    return Response(text.encode(), media_type=TEXT)


ROUTER = Router(
    path="/audit",
    route_handlers=[list_keys, list_checkpoints, read_receipt, read_receipt_by_id],
    tags=["审计 Audit"],
)
