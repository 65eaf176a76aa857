"""What a comparison of two generations found, in one sentence, for all who ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from api.messages import Text
from projections.contrasting import Contrast, TableContrast
from projections.verified import Verified

BUCKETS_SHOWN = 5
NO_ROW: Final = Text("{rows:,} 行都相同", "no row differs, of {rows:,}")
NEW_TABLE: Final = Text("新表 {name}", "new table {name}")
GONE_TABLE: Final = Text("没有表 {name}", "table {name} is gone")
UNFED: Final = {
    "live": Text(
        "在用数据停在位置 {at:,}，没有程序在更新，此后的变化也可能计入",
        "the live rows stand at position {at:,} and nothing feeds them, so what came since may"
        " differ too",
    ),
    "building": Text(
        "新建的一代停在位置 {at:,}，此后的变化也可能计入",
        "what was built stands at position {at:,}, so what came since may differ too",
    ),
    "kept": Text(
        "保留的一代停在位置 {at:,}，没有程序在更新，此后的变化也可能计入",
        "the kept rows stand at position {at:,} and nothing feeds them, so what came since may"
        " differ too",
    ),
}
SIDES: Final = {
    ("building", False): Text(
        "第 {live} 代（在用）与第 {other} 代", "generations {live} (live) and {other}"
    ),
    ("kept", False): Text(
        "第 {live} 代（在用）与第 {other} 代", "generations {live} (live) and {other}"
    ),
    ("building", True): Text(
        "第 {live} 代（在用，另一版本所建）与第 {other} 代",
        "generations {live} (live, other folds) and {other}",
    ),
    ("kept", True): Text(
        "第 {live} 代（在用）与第 {other} 代（保留，另一版本所建）",
        "generations {live} (live) and {other} (kept, other folds)",
    ),
}
AT: Final = Text("，位置 {at:,}", " at position {at:,}")
EQUAL: Final = Text(
    "{name}：{sides}相同{at}，校验和 {checksum}",
    "{name}: {sides} are equal{at}, checksum {checksum}",
)
DIFFER: Final = Text(
    "{name}：{sides}不同{at}：{tables}", "{name}: {sides} differ{at} in {tables}"
)
CONTRAST: Final = Text("{name}：{sides}{at}：{parts}", "{name}: {sides}{at}: {parts}")
BUCKETS: Final = Text("{table}（桶 {buckets}）", "{table} (bucket {buckets})")
CHANGED: Final = Text(
    "{rows:,} 行中 {changed:,} 行不同，列：{columns}",
    "{changed:,} of {rows:,} rows differ, columns: {columns}",
)
ROWS_GONE: Final = Text("少 {n:,} 行", "rows gone: {n:,}")
ROWS_NEW: Final = Text("多 {n:,} 行", "rows new: {n:,}")
COLUMNS: Final = (
    Text("新列：{names}", "columns new: {names}"),
    Text("没有列：{names}", "columns gone: {names}"),
    Text("列类型不同：{names}", "columns of another type: {names}"),
)
OF_TABLE: Final = Text("{table}：{parts}", "{table}: {parts}")


def verdict(found: Verified) -> Text:
    """With the position that it is about; "new" and "gone" are as if queries moved."""
    about = {"live": found.live_generation, "other": found.other_generation}
    sides = filled(SIDES[found.other_state, found.contrast is not None], **about)
    at = filled(AT, at=found.at_position)
    if found.contrast is not None:
        parts = _joined("；", "; ", [*_parts(found.contrast), *_unfed(found)])
        return filled(CONTRAST, name=found.read_model, sides=sides, at=at, parts=parts)
    if not found.differing:
        checksum = found.checksum
        return filled(EQUAL, name=found.read_model, sides=sides, at=at, checksum=checksum)
    shown = [
        filled(BUCKETS, table=table, buckets=", ".join(map(str, buckets[:BUCKETS_SHOWN])))
        for table, buckets in found.differing.items()
    ]
    tables = _joined("、", ", ", shown)
    return filled(DIFFER, name=found.read_model, sides=sides, at=at, tables=tables)


def sentence(found: Verified) -> str:
    """The verdict as the command line and logs say it."""
    return verdict(found).en


def _parts(contrast: Contrast) -> list[Text]:
    parts = [_of_table(each) for each in contrast.tables if each.differs]
    parts += [filled(NEW_TABLE, name=name) for name in contrast.new_tables]
    parts += [filled(GONE_TABLE, name=name) for name in contrast.gone_tables]
    rows = sum(each.other_rows for each in contrast.tables)
    return parts or [filled(NO_ROW, rows=rows)]


def _unfed(found: Verified) -> Iterator[Text]:
    if found.live_position < found.at_position:
        yield filled(UNFED["live"], at=found.live_position)
    if found.other_position < found.at_position:
        yield filled(UNFED[found.other_state], at=found.other_position)


def _of_table(table: TableContrast) -> Text:
    parts = []
    if table.changed:
        columns = ", ".join(table.columns)
        about = {"changed": table.changed, "rows": table.other_rows}
        parts.append(filled(CHANGED, **about, columns=columns))
    if table.only_live:
        parts.append(filled(ROWS_GONE, n=table.only_live))
    if table.only_other:
        parts.append(filled(ROWS_NEW, n=table.only_other))
    shapes = (table.new_columns, table.gone_columns, table.retyped_columns)
    for text, names in zip(COLUMNS, shapes, strict=True):
        if names:
            parts.append(filled(text, names=", ".join(names)))
    return filled(OF_TABLE, table=table.table, parts=_joined("，", ", ", parts))


def filled(text: Text, **values: object) -> Text:
    """In both languages; a value that is itself in both is put in as that language has it."""
    zh = {key: each.zh if isinstance(each, Text) else each for key, each in values.items()}
    en = {key: each.en if isinstance(each, Text) else each for key, each in values.items()}
    return Text(text.zh.format_map(zh), text.en.format_map(en))


def _joined(zh: str, en: str, parts: list[Text]) -> Text:
    return Text(zh.join(each.zh for each in parts), en.join(each.en for each in parts))
