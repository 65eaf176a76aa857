"""The configuration that queries go by: how long a silence makes a server offline.

From the business log alone; while no row is there, nothing was ever changed. What commands
are decided with is the log's own state, never this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final
from uuid import UUID

from msgspec import Struct

from domain.envelope import Told
from domain.system.configuration import CONFIGURATION
from domain.system.events import ConfigurationChanged
from projections.read_model import ReadModel, Table, upsert


class ConfigurationRow(Struct, frozen=True, kw_only=True, gc=False):
    """The keys that queries want, as they are now; one row."""

    stream: UUID
    offline_after_s: int


def _changed(
    row: ConfigurationRow | None, event: Told[ConfigurationChanged]
) -> ConfigurationRow:
    before = CONFIGURATION.initial.offline_after_s if row is None else row.offline_after_s
    return ConfigurationRow(
        stream=event.stream,
        offline_after_s=event.fact.after.get("offline_after_s", before),
    )


CONFIGURATION_NOW: Final = ReadModel(
    name="configuration",
    ddl=Path(__file__).with_suffix(".sql"),
    tables=(
        Table(
            name="configuration",
            row=ConfigurationRow,
            key=("stream",),
            folds=(upsert(ConfigurationChanged, _changed),),
        ),
    ),
)
