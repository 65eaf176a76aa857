"""What the API tells operators of a read model beside its standing: orders, differences."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from msgspec import Meta, Struct

from api.body import RequestBody
from api.messages import Fault
from api.validation import checked
from domain.system.read_models import Act
from projections.catalogue import READ_MODELS
from projections.comparing import Difference
from projections.contrasting import TableContrast
from projections.orders import Order
from projections.standing import ReadModelStanding, RebuildPlan
from projections.verified import Verified

NAMES: Final = tuple(model.name for model in READ_MODELS)


class RebuildRequest(RequestBody):
    """How to build a read model anew."""

    switching: Annotated[
        Literal["auto", "manual"],
        Meta(
            description="auto 建好即切换，manual 等待 switch。"
            "`manual` builds, compares and waits for `switch`.",
            examples=["manual"],
        ),
    ] = "auto"
    max_load: Annotated[
        float,
        Meta(
            ge=0.01,
            le=1,
            description="占用时间比例，0.01 到 1，1 为无人写入时全速。"
            "The share of the time in which it works. `1`, the default: all of it"
            " while nobody writes to the log, a small share beside writers. Less: that share,"
            " whoever writes.",
            examples=[0.5],
        ),
    ] = 1.0
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=16,
            description="处理进程数，1 到 16。"
            "With 2 or more it is folded by processes beside the leading worker's,"
            " among which the read models of one request are shared out.",
            examples=[2],
        ),
    ] = 1


def _names_fault(given: list[str]) -> Fault | None:
    known = set(given) <= set(NAMES)
    return None if known else Fault("choice", {"choices": ", ".join(NAMES)})


class RebuildsRequest(RebuildRequest):
    """How to build several anew, in one pass over the log."""

    read_models: Annotated[
        list[Annotated[str, Meta(max_length=64)]],
        Meta(
            max_length=64,
            description="读模型名称，不填即全部。Which ones; all of them if none is named.",
            examples=[["tasks", "users"]],
        ),
        checked(_names_fault),
    ] = []


class OrderReceipt(Struct, frozen=True, kw_only=True):
    """The order is in the log."""

    read_model: str
    act: Act


class OrderReceipts(Struct, frozen=True, kw_only=True):
    """The orders are in the log, one for each read model."""

    orders: tuple[OrderReceipt, ...]


class ReadModelList(Struct, frozen=True, kw_only=True):
    """All read models."""

    read_models: tuple[ReadModelStanding, ...]
    as_of: datetime


class ReadModelItem(Struct, frozen=True, kw_only=True):
    """One read model, and what was ordered of it lately."""

    standing: ReadModelStanding
    orders: tuple[Order, ...]
    as_of: datetime


class ReadModelNews(Struct, frozen=True, kw_only=True):
    """The same without the time, as it is sent when it has changed."""

    standing: ReadModelStanding
    orders: tuple[Order, ...]


class RebuildPlanned(Struct, frozen=True, kw_only=True):
    """What a rebuild would do, as of a moment."""

    plan: RebuildPlan
    as_of: datetime


class TableDiff(Struct, frozen=True, kw_only=True):
    """A table that differs; by the same folds only the buckets of keys are known."""

    table: str
    live_rows: int | None
    other_rows: int | None
    changed: int | None
    only_live: int | None
    only_other: int | None
    columns: tuple[str, ...]
    new_columns: tuple[str, ...]
    gone_columns: tuple[str, ...]
    retyped_columns: tuple[str, ...]
    buckets: tuple[int, ...]


class RowDiff(Struct, frozen=True, kw_only=True):
    """A row that differs; a side that has none is null."""

    table: str
    key: dict[str, Any]
    columns: tuple[str, ...]
    live: dict[str, Any] | None
    other: dict[str, Any] | None


class ReadModelDiff(Struct, frozen=True, kw_only=True):
    """How two generations differ at one position, or where they stand."""

    read_model: str
    told: str
    live_generation: int
    other_generation: int
    other_state: Literal["building", "kept"]
    at_position: int
    live_position: int
    other_position: int
    checksum: str
    tables: tuple[TableDiff, ...]
    new_tables: tuple[str, ...]
    gone_tables: tuple[str, ...]
    rows: tuple[RowDiff, ...]
    seconds: float


def diff_of(found: Verified, told: str) -> ReadModelDiff:
    """What was found, in the API's shape."""
    contrast = found.contrast
    return ReadModelDiff(
        read_model=found.read_model,
        told=told,
        live_generation=found.live_generation,
        other_generation=found.other_generation,
        other_state=found.other_state,
        at_position=found.at_position,
        live_position=found.live_position,
        other_position=found.other_position,
        checksum=found.checksum,
        tables=tuple(_tables(found)),
        new_tables=() if contrast is None else contrast.new_tables,
        gone_tables=() if contrast is None else contrast.gone_tables,
        rows=tuple(map(_row, found.differences)),
        seconds=round(found.seconds, 3),
    )


def _tables(found: Verified) -> Iterator[TableDiff]:
    if found.contrast is None:
        for name, buckets in found.differing.items():
            yield _in_buckets(name, buckets)
        return
    for each in found.contrast.tables:
        if each.differs:
            yield _table(each)


def _table(found: TableContrast) -> TableDiff:
    return TableDiff(
        table=found.table,
        live_rows=found.live_rows,
        other_rows=found.other_rows,
        changed=found.changed,
        only_live=found.only_live,
        only_other=found.only_other,
        columns=found.columns,
        new_columns=found.new_columns,
        gone_columns=found.gone_columns,
        retyped_columns=found.retyped_columns,
        buckets=(),
    )


def _in_buckets(table: str, buckets: tuple[int, ...]) -> TableDiff:
    return TableDiff(
        table=table,
        live_rows=None,
        other_rows=None,
        changed=None,
        only_live=None,
        only_other=None,
        columns=(),
        new_columns=(),
        gone_columns=(),
        retyped_columns=(),
        buckets=buckets,
    )


def _row(found: Difference) -> RowDiff:
    return RowDiff(
        table=found.table,
        key=found.key,
        columns=found.columns,
        live=found.live,
        other=found.other,
    )
