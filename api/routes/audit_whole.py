"""Looks through the whole log: bundles to hand over, sums that are right, a log that is whole.

The twin of ``owl audit export``, ``reconcile`` and ``verify``, on the same functions, in a
child process. Whoever does not trust the server runs the commands on a copy instead.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal
from uuid import UUID

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, QueryParameter

from api.accesses import accessed
from api.audit_asking import From, To, faults_of_order, moment, stretch, written_like
from api.crowding import at_once
from api.envelope import Envelope
from api.event_tags import fits_some, nearest
from api.exchange import Exchange
from api.long_answers import BUNDLE, LINES, BundleAnswer, LongAnswer, ReportAnswer
from api.long_looks import NOT_SIGNED, Kind
from api.long_work import Export, Reconcile, Verify, Work
from api.messages import Fault
from api.policy import READER
from api.query import between
from api.refusals import refuses
from api.rejection import InvalidRequest, Rejection
from api.validation import checked
from domain.errors import NotFound
from projections.audit import story
from projections.audit.account import AccountReconciled, reconcile_account

WHOLE_LOOKS_AT_ONCE: Final = 1
"""So many of these one person may have under way; ``api.long_looks`` bounds them all."""
EXPORT_MAX: Final = 1_000_000
"""So many events a bundle has at most: longer stretches are several, each after the other."""

At = Annotated[
    int | None,
    QueryParameter(
        ge=0,
        lt=10**18,
        description="As of this position; of now unless told, read models included. 截至位置",
    ),
]
TAGS: Final = r"^[a-z0-9_.*/]{1,100}(?:,[a-z0-9_.*/]{1,100}){0,15}$"


def _tags_fault(tags: str) -> Fault | None:
    """Whoever gives the bundle away believes that what was named is left out."""
    for tag in tags.split(","):
        if not fits_some(tag):
            return Fault("no_tag", {"tag": tag, "meant": nearest(tag) or "accounts.*"})
    return None


@get(
    "/exports",
    opt=READER
    | at_once(WHOLE_LOOKS_AT_ONCE)
    | refuses("INVALID_STATE")
    | between(faults_of_order)
    | {"media_types": (BUNDLE,), "headers": ("Range", "If-Range")},
)
async def export_bundle(
    exchange: NamedDependency[Exchange],
    since: FromQuery[From] = None,
    until: FromQuery[To] = None,
    format: FromQuery[  # noqa: A002 - the parameter's published name
        Annotated[
            Literal["jsonl", "parquet"],
            QueryParameter(description="The events as lines, or as columns. 格式"),
        ]
    ] = "jsonl",
    withhold: FromQuery[
        Annotated[
            str | None,
            QueryParameter(
                pattern=TAGS,
                description="Tags, with commas, whose states are left out: their digests stay,"
                " and so the proof. 隐去的事件标签",
            ),
            written_like(TAGS, "accounts.*"),
            checked(_tags_fault),
        ]
    ] = None,
) -> Response[bytes]:
    """导出审计包: a stretch of the log as a bundle that the log's public key proves.

    At most a million events; up to the last signed one unless told. The same stretch gives the
    same bytes, which are sent when the bundle is whole: a download that broke off goes on with
    `Range`, and with `If-Range` if the `ETag` is still that one.
    """
    async with exchange.reading() as connection:
        after, last = await stretch(connection, since, until)
        head = await story.head(connection)
    signed = await exchange.desk.stored.ask(
        lambda log: log.signed_size(), within_s=exchange.deadline_s
    )
    # a position that is not signed is refused; of a time there is what is signed of it
    is_time = isinstance(moment(until), datetime)
    upto = signed if last is None else min(last, signed) if is_time else last
    if upto > after + EXPORT_MAX:
        raise InvalidRequest({"from": [Fault("too_many_events", {"limit": EXPORT_MAX})]})
    _check_positions(moment(since), moment(until), head)
    if not after < upto <= signed:
        raise Rejection("INVALID_STATE", message=NOT_SIGNED)
    work = Export(
        first=after + 1,
        last=upto,
        withhold=tuple(withhold.split(",")) if withhold else (),
        form=format,
        output=-1,
    )
    return await _answer(exchange, "export", work, after=after, until=upto)


def _check_positions(
    first: int | datetime | None, last: int | datetime | None, head: int
) -> None:
    """Of positions what is wrong is seen at once, and would not come right by waiting."""
    for name, given in (("from", first), ("to", last)):
        if isinstance(given, int) and given > head:
            raise InvalidRequest({name: [Fault("at_most", {"limit": head})]})


@get(
    "/reconcile",
    opt=READER
    | at_once(WHOLE_LOOKS_AT_ONCE)
    | refuses("INVALID_STATE")
    | {"media_types": (LINES,)},
)
async def reconcile_all(
    exchange: NamedDependency[Exchange], at: FromQuery[At] = None
) -> Response[bytes]:
    """对账: every posting added up, compared with accounts, codes, tasks and read models.

    A JSON object a line: `position`, `of`, `events_per_s` and `eta_s` on the way; the last line
    is `report`, with `certificate`, the same signed with the log's key. Without that line there
    is no result. It ends when the client leaves.
    """
    return await _answer(exchange, "fold", Reconcile(at=at), after=0, until=at)


@get("/reconcile/{account:uuid}", opt=READER)
async def reconcile_one(
    account: FromPath[UUID],
    exchange: NamedDependency[Exchange],
    at: FromQuery[At] = None,
) -> Envelope[AccountReconciled]:
    """核对一个账户: whether one account adds up, from its own events, at once; sums in fen."""
    access = await accessed(exchange, until=at)
    upto = None if at is None else access.upto(at)
    found = await exchange.desk.stored.ask(
        lambda log: reconcile_account(log, account, at=upto), within_s=exchange.deadline_s
    )
    if found is None:
        raise NotFound
    return exchange.reply(found)


@get(
    "/verify",
    opt=READER
    | at_once(WHOLE_LOOKS_AT_ONCE)
    | refuses("INVALID_STATE")
    | {"media_types": (LINES,)},
)
async def verify_log(
    exchange: NamedDependency[Exchange],
    since: FromQuery[
        Annotated[
            int | None,
            QueryParameter(
                ge=0,
                lt=10**18,
                description="Only what came after the first so many events, without folding"
                " it. 只核对此后的事件",
            ),
        ]
    ] = None,
) -> Response[bytes]:
    """核验日志: every stored event hashed again, the tree grown again, the log folded again.

    Lines as of `reconcile`; the report names the first difference by its position. A server
    that lies could say anything: who has to be sure compares a checkpoint of their own.
    """
    return await _answer(exchange, "fold", Verify(since=since), after=since or 0, until=None)


async def _answer(
    exchange: Exchange, kind: Kind, work: Work, *, after: int, until: int | None
) -> LongAnswer:
    """Take a place, record it, and let it begin."""
    looks = exchange.desk.long_looks
    looks.take(kind)
    try:
        await accessed(exchange, after=after, until=until)
    except BaseException:
        looks.leave(kind)
        raise
    if isinstance(work, Export):
        return BundleAnswer(exchange, work)
    return ReportAnswer(exchange, work)


ROUTER = Router(
    path="/audit",
    route_handlers=[export_bundle, reconcile_all, reconcile_one, verify_log],
    tags=["审计 Audit"],
)
