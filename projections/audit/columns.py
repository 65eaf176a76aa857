"""The events of a bundle as a Parquet file: for whoever counts over them rather than reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
from msgspec import UNSET

from domain.audit.bundle import BundledEvent, BundleInvalid
from projections.audit.container import Member, MemberWriter

ROWS_TOGETHER: Final = 4_096
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND: Final = timedelta(microseconds=1)
SCHEMA: Final = pa.schema(
    [
        pa.field("position", pa.int64(), nullable=False),
        pa.field("stream", pa.string(), nullable=False),
        pa.field("version", pa.int64(), nullable=False),
        pa.field("tag", pa.string(), nullable=False),
        pa.field("recorded_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("actor", pa.string(), nullable=False),
        pa.field("correlation", pa.string(), nullable=False),
        pa.field("causation", pa.int64()),
        pa.field("command_id", pa.string(), nullable=False),
        pa.field("state", pa.string()),
        pa.field("state_sha256", pa.string()),
    ]
)


class ParquetEvents:
    """Writes events, some thousand at once."""

    def __init__(self, file: MemberWriter) -> None:
        self._writer = pq.ParquetWriter(pa.PythonFile(file, mode="w"), SCHEMA)

    def write(self, events: Sequence[BundledEvent]) -> None:
        """A row group."""
        rows = [_row(event) for event in events]
        self._writer.write_table(pa.Table.from_pylist(rows, schema=SCHEMA))

    def close(self) -> None:
        """Write the file's end."""
        self._writer.close()


def parquet_events(path: Path, member: Member) -> Iterator[BundledEvent]:
    """The events of a file inside a bundle; its digest must have been right.

    Raises:
        BundleInvalid: it is no such file.
    """
    try:
        with pa.memory_map(str(path)) as mapped:
            whole = mapped.read_buffer()
            file = pq.ParquetFile(pa.BufferReader(whole.slice(member.offset, member.size)))
            if not file.schema_arrow.equals(SCHEMA):
                raise BundleInvalid("the events have other columns than a bundle has")
            for batch in file.iter_batches(ROWS_TOGETHER):
                yield from map(_event, batch.to_pylist())
    except pa.ArrowException as error:
        raise BundleInvalid(f"the events do not read: {error}") from error


def _row(event: BundledEvent) -> dict[str, Any]:
    return {
        "position": event.position,
        "stream": str(event.stream),
        "version": event.version,
        "tag": event.tag,
        "recorded_at": EPOCH + event.recorded_at_us * MICROSECOND,
        "actor": event.actor,
        "correlation": event.correlation,
        "causation": event.causation,
        "command_id": str(event.command_id),
        "state": None if event.state is UNSET else event.state,
        "state_sha256": None if event.state_sha256 is UNSET else event.state_sha256,
    }


def _event(row: dict[str, Any]) -> BundledEvent:
    state, digest = row["state"], row["state_sha256"]
    return BundledEvent(
        position=row["position"],
        stream=UUID(row["stream"]),
        version=row["version"],
        tag=row["tag"],
        recorded_at_us=(row["recorded_at"] - EPOCH) // MICROSECOND,
        actor=row["actor"],
        correlation=row["correlation"],
        causation=row["causation"],
        command_id=UUID(row["command_id"]),
        state=UNSET if state is None else state,
        state_sha256=UNSET if digest is None else digest,
    )
