"""What a comparison of two generations found, in one sentence, for all who ask."""

from __future__ import annotations

from projections.contrasting import Contrast, TableContrast
from projections.verifying import Verified

BUCKETS_SHOWN = 5


def sentence(found: Verified) -> str:
    """The verdict, with the position that it is about."""
    at = f"at position {found.at_position:,}"
    if found.contrast is not None:
        return _of_other_folds(found, found.contrast, at)
    sides = f"generations {found.live_generation} (live) and {found.other_generation}"
    if not found.differing:
        return f"{found.read_model}: {sides} are equal {at}, checksum {found.checksum}"
    tables = ", ".join(
        f"{table} (bucket {', '.join(map(str, buckets[:BUCKETS_SHOWN]))})"
        for table, buckets in found.differing.items()
    )
    return f"{found.read_model}: {sides} differ {at} in {tables}"


def _of_other_folds(found: Verified, contrast: Contrast, at: str) -> str:
    sides = f"generations {found.live_generation} (live, other folds) and"
    sides = f"{found.read_model}: {sides} {found.other_generation} {at}"
    parts = [_of_table(each) for each in contrast.tables if each.differs]
    parts += [f"new table {name}" for name in contrast.new_tables]
    parts += [f"table {name} is gone" for name in contrast.gone_tables]
    if not parts:
        rows = sum(each.other_rows for each in contrast.tables)
        parts = [f"no row differs, of {rows:,}"]
    if found.live_position < found.at_position:
        parts.append(
            f"the live rows stand at position {found.live_position:,} and nothing feeds them,"
            " so what came since may differ too"
        )
    return f"{sides}: {'; '.join(parts)}"


def _of_table(table: TableContrast) -> str:
    parts = []
    if table.changed:
        columns = f"columns: {', '.join(table.columns)}"
        parts.append(f"{table.changed:,} of {table.other_rows:,} rows differ, {columns}")
    if table.only_live:
        parts.append(f"rows gone: {table.only_live:,}")
    if table.only_other:
        parts.append(f"rows new: {table.only_other:,}")
    for what, names in (
        ("new", table.new_columns),
        ("gone", table.gone_columns),
        ("of another type", table.retyped_columns),
    ):
        if names:
            parts.append(f"columns {what}: {', '.join(names)}")
    return f"{table.table}: {', '.join(parts)}"
