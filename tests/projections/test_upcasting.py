"""Another meaning takes another tag, and an upcaster reads the old one: an example."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

from msgspec import Struct

from domain.envelope import Told
from domain.facts import Fact
from projections.read_model import ReadModel, Table, upsert
from tests.projections.feed import NOON, recorded
from tests.projections.tables import naive

GPU = UUID(int=1)


class PowerMeasuredInWatts(Fact, frozen=True, tag="example.power_measured/1", kw_only=True):
    """As it was: whole watts. Its tag is in logs, so it is read for ever and never written."""

    gpu_id: UUID
    power_w: int


class PowerMeasured(Fact, frozen=True, tag="example.power_measured/2", kw_only=True):
    """As it is: milliwatts, as the driver tells them."""

    gpu_id: UUID
    power_mw: int


def upcast(old: PowerMeasuredInWatts) -> PowerMeasured:
    """What the old fact would be today."""
    return PowerMeasured(gpu_id=old.gpu_id, power_mw=1_000 * old.power_w)


class PowerRow(Struct, frozen=True, kw_only=True):
    """The largest draw of each GPU."""

    gpu_id: UUID
    peak_mw: int


def _peak(row: PowerRow | None, fact: PowerMeasured) -> PowerRow:
    before = 0 if row is None else row.peak_mw
    return PowerRow(gpu_id=fact.gpu_id, peak_mw=max(before, fact.power_mw))


def _measured(row: PowerRow | None, event: Told[PowerMeasured]) -> PowerRow:
    return _peak(row, event.fact)


def _measured_in_watts(row: PowerRow | None, event: Told[PowerMeasuredInWatts]) -> PowerRow:
    return _peak(row, upcast(event.fact))


POWER = ReadModel(
    name="power",
    source="business",
    ddl=Path(__file__),
    tables=(
        Table(
            name="power",
            row=PowerRow,
            key=("gpu_id",),
            folds=(
                upsert(PowerMeasured, _measured),
                upsert(PowerMeasuredInWatts, _measured_in_watts),
            ),
        ),
    ),
)


def test_an_old_tag_and_its_successor_make_the_same_rows() -> None:
    old = (
        PowerMeasuredInWatts(gpu_id=GPU, power_w=300),
        PowerMeasuredInWatts(gpu_id=GPU, power_w=250),
    )
    story = [recorded(fact, GPU, place, NOON) for place, fact in enumerate(old, 1)]
    today = [recorded(upcast(fact), GPU, place, NOON) for place, fact in enumerate(old, 1)]
    assert naive(POWER, story) == naive(POWER, today)
    mixed = [*story, recorded(PowerMeasured(gpu_id=GPU, power_mw=300_500), GPU, 3, NOON)]
    assert naive(POWER, mixed)["power"][GPU].peak_mw == 300_500
