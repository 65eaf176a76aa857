"""The signed log itself: its key, its newest checkpoint, its tiles, and proofs out of them.

Sources: C2SP tlog-tiles and tlog-checkpoint, so that tools made for them can read below
``/api/audit/log``: texts and bytes without an envelope. RFC 6962 for the proofs.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from api.accesses import accessed
from api.audit_shapes import ConsistencyProof, InclusionProof
from api.envelope import Envelope
from api.exchange import Exchange
from api.messages import Fault, Text
from api.policy import READER
from api.refusals import refuses
from api.rejection import InvalidRequest, Rejection
from domain.audit.canonical import envelope_of
from domain.audit.merkle import HASH_BYTES, Hash
from domain.audit.tiles import WIDTH, TilesMissing
from domain.errors import NotFound
from projections.audit.proving import prove_growth, prove_inclusion, root_of
from projections.audit.stored import StoredLog

T = TypeVar("T")

TEXT: Final = "text/plain"
BYTES: Final = "application/octet-stream"
GROUP: Final = 1_000
FOR_EVER: Final = "private, max-age=31536000, immutable"
_NUMBER: Final = re.compile(r"/((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")
_LEVEL: Final = re.compile(r"[0-9]|[1-5][0-9]|6[0-3]")
NOT_SIGNED: Final = Text(
    "日志尚未签名到该位置，请稍后再试", "The log is not signed that far: try again in a moment"
)

Size = Annotated[
    int | None,
    QueryParameter(
        ge=1,
        lt=10**18,
        description="Of the tree over so many events; the newest signed unless told. 事件数",
    ),
]


@get("/key", opt=READER | refuses("INVALID_STATE") | {"media_types": (TEXT,)})
async def read_key(exchange: NamedDependency[Exchange]) -> Response[bytes]:
    """获取日志公钥: the key that checkpoints and bundles are signed with now, one line.

    Keep it, and compare it with what you were given elsewhere: whoever serves it could lie.
    """
    await accessed(exchange)
    keys = await exchange.desk.stored.keys(within_s=exchange.deadline_s)
    return _plain(f"{keys.newest}\n".encode(), TEXT)


@get("/checkpoint", opt=READER | refuses("RESOURCE_NOT_FOUND") | {"media_types": (TEXT,)})
async def read_checkpoint(exchange: NamedDependency[Exchange]) -> Response[bytes]:
    """获取最新检查点: the newest signed checkpoint, a C2SP signed note. Keep one."""
    await accessed(exchange)
    note = await _asked(exchange, lambda log: log.last_checkpoint())
    if note is None:
        raise NotFound
    return _plain(note.encode(), TEXT)


@get("/tile/{level:str}/{number:path}", opt=READER | {"media_types": (BYTES,)})
async def read_tile(
    level: FromPath[str], number: FromPath[str], exchange: NamedDependency[Exchange]
) -> Response[bytes]:
    """获取哈希树瓦片: a tile of the tree, or with `entries` 256 canonical envelopes.

    `number` is written as in C2SP tlog-tiles: `067`, `x001/234`, and `067.p/5` for the first 5.
    """
    place = _NUMBER.fullmatch(number)
    if place is None or not (level == "entries" or _LEVEL.fullmatch(level)):
        raise NotFound
    at = int("".join(part.lstrip("x") for part in place[1].split("/")))
    width = int(place[2]) if place[2] else WIDTH
    if place[1] != _written(at) or width > WIDTH or (place[2] and width == WIDTH):
        raise NotFound
    await accessed(exchange)
    if level == "entries":
        found = await _asked(exchange, lambda log: _entries(log, at, width))
    else:
        found = await _asked(exchange, lambda log: _hashes(log, int(level), at, width))
    if found is None:
        raise NotFound
    return _plain(found, BYTES, {"Cache-Control": FOR_EVER})


@get("/proof/inclusion", opt=READER | refuses("INVALID_STATE"))
async def read_inclusion(
    exchange: NamedDependency[Exchange],
    position: FromQuery[
        Annotated[
            int,
            QueryParameter(ge=1, lt=10**18, description="Of the event here. 事件位置"),
        ]
    ],
    size: FromQuery[Size] = None,
) -> Envelope[InclusionProof]:
    """获取包含证明: the path from an event's leaf to the root of the tree (RFC 6962, 2.1.1)."""
    await accessed(exchange, after=position - 1, until=position)
    signed = await _asked(exchange, lambda log: log.signed_size())
    wanted = _within(signed, "size", signed if size is None else size)
    if position > wanted:
        raise InvalidRequest({"position": [Fault("at_most", {"limit": wanted})]})
    found = await _asked(exchange, lambda log: prove_inclusion(log, position, wanted))
    return exchange.reply(
        InclusionProof(
            index=found.index,
            size=found.size,
            leaf=_text(found.leaf),
            proof=[_text(each) for each in found.proof],
            root=_text(found.root),
        )
    )


@get("/proof/consistency", opt=READER | refuses("INVALID_STATE"))
async def read_consistency(
    exchange: NamedDependency[Exchange],
    old_size: FromQuery[
        Annotated[
            int,
            QueryParameter(
                name="from",
                ge=1,
                lt=10**18,
                description="How many events the checkpoint that you hold covers. 旧事件数",
            ),
        ]
    ],
    size: FromQuery[
        Annotated[
            int | None,
            QueryParameter(
                name="to",
                ge=1,
                lt=10**18,
                description="How many the newer one covers; the newest unless told. 新事件数",
            ),
        ]
    ] = None,
) -> Envelope[ConsistencyProof]:
    """获取一致性证明: that the newer tree grew out of the older one (RFC 6962, 2.1.2)."""
    await accessed(exchange, until=size)
    signed = await _asked(exchange, lambda log: log.signed_size())
    wanted = _within(signed, "to", signed if size is None else size)
    old = _within(wanted, "from", old_size)
    found = await _asked(
        exchange,
        lambda log: (prove_growth(log, old, wanted), root_of(log, old), root_of(log, wanted)),
    )
    proof, old_root, root = found
    return exchange.reply(
        ConsistencyProof(
            old_size=old,
            size=wanted,
            proof=[_text(each) for each in proof],
            old_root=_text(old_root),
            root=_text(root),
        )
    )


async def _asked(exchange: Exchange, read: Callable[[StoredLog], T]) -> T:
    """What stands in the stored log.

    Raises:
        Rejection: the tree does not reach that far yet.
    """
    try:
        return await exchange.desk.stored.ask(read, within_s=exchange.deadline_s)
    except TilesMissing:
        raise Rejection("INVALID_STATE", message=NOT_SIGNED) from None


def _within(most: int, name: str, value: int) -> int:
    if most == 0:
        raise Rejection("INVALID_STATE", message=NOT_SIGNED)
    if value > most:
        raise InvalidRequest({name: [Fault("at_most", {"limit": most})]})
    return value


def _hashes(log: StoredLog, level: int, at: int, width: int) -> bytes | None:
    found = log.tiles(level, at, at).get(at, b"")[: width * HASH_BYTES]
    return found if len(found) == width * HASH_BYTES else None


def _entries(log: StoredLog, at: int, width: int) -> bytes | None:
    """Each envelope after its length in two bytes, of events that are signed."""
    first = at * WIDTH
    if first + width > log.signed_size():
        return None
    envelopes = [envelope_of(event) for event in log.events(first, first + width)]
    return b"".join(len(each).to_bytes(2, "big") + each for each in envelopes)


def _written(at: int) -> str:
    """A tile's number in groups of three digits, all but the last with an ``x`` before it."""
    groups = [f"{at % GROUP:03}"]
    while at := at // GROUP:
        groups.insert(0, f"x{at % GROUP:03}")
    return "/".join(groups)


def _text(hashed: Hash) -> str:
    return base64.b64encode(hashed).decode()


def _plain(
    content: bytes, media_type: str, headers: dict[str, str] | None = None
) -> Response[bytes]:
    return Response(content, media_type=media_type, headers=headers)


ROUTER = Router(
    path="/audit/log",
    route_handlers=[read_key, read_checkpoint, read_tile, read_inclusion, read_consistency],
    tags=["审计 Audit"],
)
