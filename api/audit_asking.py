"""What auditors may ask for over HTTP: the parameters, each with a form of its own.

The forms leave no room for a name or an e-mail address, since what is asked is recorded.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias
from uuid import UUID

from litestar.params import QueryParameter
from msgspec import Meta, Struct
from psycopg import AsyncConnection

from api.fields import YEARS
from api.messages import Fault
from api.validation import Faults, checked, written_as
from domain.money import FEN_PER_YUAN
from projections.audit.entity import Entity, NoEntity
from projections.audit.story import PAGE_MAX, Filter, bounds, moment_in

LOOKS_AT_ONCE: Final = 4
"""So many looks through the log one person may have under way in a process."""
LOOK_S: Final = 1.0
"""After so long a list is answered with what was found, and where to go on."""
MOMENT: Final = (
    r"^(?:[0-9]{1,18}|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:T[0-9]{2}:[0-9]{2}:[0-9]{2}"
    r"(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2}))?)$"
)
TAG: Final = r"^[a-z0-9_.*/]{1,100}$"
ENTITY: Final = r"^(?:user|task|server|code):[0-9a-f-]{36}$"
ACTOR: Final = r"^[A-Za-z0-9_:.*/-]{1,100}$"
CORRELATION: Final = r"^[A-Za-z0-9_:./-]{1,100}$"
YUAN: Final = r"^[0-9]{1,12}(?:\.[0-9]{1,2})?$"
AN_ENTITY: Final = "task:01a20370-b0be-7122-8728-d9e4135c8227"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,17}")


def _moment_fault(text: str) -> Fault | None:
    """A day that no month has, or of no year that a log has."""
    try:
        found = moment_in(text)
    except ValueError:
        return Fault("time")
    return Fault("year") if isinstance(found, datetime) and found.year not in YEARS else None


def _entity_fault(text: str) -> Fault | None:
    try:
        Entity.parse(text)
    except NoEntity:
        return Fault("uuid")
    return None


def written_like(pattern: str, example: str) -> Meta:
    """Marks a parameter of this form; whoever writes it otherwise is shown one."""
    return written_as(re.compile(pattern), Fault("like", {"example": example}))


WRITTEN_AS_MOMENT: Final = written_as(re.compile(MOMENT), Fault("moment"))
A_MOMENT: Final = checked(_moment_fault)
_AN_ENTITY: Final = checked(_entity_fault)

From: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="from",
        pattern=MOMENT,
        description="From this position, or after this time (RFC 3339). 起始位置或时间",
    ),
    WRITTEN_AS_MOMENT,
    A_MOMENT,
]
To: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="to",
        pattern=MOMENT,
        description="Up to this position or time, included. 结束位置或时间",
    ),
    WRITTEN_AS_MOMENT,
    A_MOMENT,
]
AsOf: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="as_of",
        pattern=MOMENT,
        description="After this position, or at this time; now unless told. 截至位置或时间",
    ),
    WRITTEN_AS_MOMENT,
    A_MOMENT,
]
After: TypeAlias = Annotated[
    int | None,
    QueryParameter(
        ge=0,
        lt=10**18,
        description="Go on after this position: `next_after` of the answer before. 续读位置",
    ),
]
Limit: TypeAlias = Annotated[
    int, QueryParameter(ge=1, le=PAGE_MAX, description="At most so many. 最多条数")
]
Tag: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="type",
        pattern=TAG,
        description="The tag; `*` stands for anything. 事件标签，* 表示任意",
    ),
    written_like(TAG, "wallet.*"),
]
StreamId: TypeAlias = Annotated[
    UUID | None, QueryParameter(description="Of this stream. 事件流编号")
]
EntityName: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        pattern=ENTITY,
        description="In the streams of `user:ID`, `task:ID`, `server:ID` or `code:ID`. 实体",
    ),
    written_like(ENTITY, AN_ENTITY),
    _AN_ENTITY,
]
ActorName: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        pattern=ACTOR,
        description="Who did it, as kind and id; `*` stands for anything. 操作者",
    ),
    written_like(ACTOR, "admin:*"),
]
Account: TypeAlias = Annotated[
    UUID | None, QueryParameter(description="About this user, in any stream. 涉及的用户")
]
Correlation: TypeAlias = Annotated[
    str | None,
    QueryParameter(pattern=CORRELATION, description="Of this request. 请求编号"),
    written_like(CORRELATION, "req-7f3a9c21"),
]
DiffEntity: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        name="entity",
        pattern=ENTITY,
        description="What changed of it; without it, which streams grew. 实体",
    ),
    written_like(ENTITY, AN_ENTITY),
    _AN_ENTITY,
]
AmountMin: TypeAlias = Annotated[
    str | None,
    QueryParameter(
        pattern=YUAN,
        description="Sums of at least so many yuan. 最小金额，单位元",
    ),
    written_like(YUAN, "100.00"),
]


class Asked(Struct, frozen=True, kw_only=True):
    """Which events: the filters of the list and of the tail alike."""

    tag: str | None
    stream: UUID | None
    entity: str | None
    actor: str | None
    account: UUID | None
    correlation: str | None
    amount_min: str | None

    def filter(self, after: int, until: int | None) -> Filter:
        """The filter that the log is read with."""
        return Filter(
            after=after,
            until=until,
            tag=self.tag,
            streams=self._streams(),
            actor=self.actor,
            correlation=self.correlation,
            user_id=self.account,
            amount_fen=None
            if self.amount_min is None
            else int(Decimal(self.amount_min) * FEN_PER_YUAN),
        )

    def _streams(self) -> tuple[UUID, ...] | None:
        entity = None if self.entity is None else Entity.parse(self.entity)
        if entity is None:
            return None if self.stream is None else (self.stream,)
        streams = entity.streams
        return tuple(
            stream for stream in streams if self.stream is None or stream == self.stream
        )


def number_in(text: str) -> int | None:
    """The position or the version that a path names; ``None`` where it names none."""
    return int(text) if _NUMBER.fullmatch(text) else None


def moment(text: str | None) -> int | datetime | None:
    """A position or a time that was given."""
    return None if text is None else moment_in(text)


def faults_of_order(given: Mapping[str, Any], _now: datetime) -> Faults:
    """Two positions in the wrong order; where a time stands, only the log knows."""
    first, last = moment(given.get("from")), moment(given.get("to"))
    if isinstance(first, int) and isinstance(last, int) and last < first:
        return {"to": [Fault("at_least", {"limit": first})]}
    return {}


async def stretch(
    connection: AsyncConnection[Any], since: str | None, until: str | None
) -> tuple[int, int | None]:
    """After which position, and up to which."""
    return await bounds(connection, moment(since), moment(until))


def soon() -> Callable[[], bool]:
    """Says when a look has taken long enough."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + LOOK_S
    return lambda: loop.time() >= ends
