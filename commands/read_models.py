"""Commands about read models: what operators do with them is in the log as well."""

from __future__ import annotations

from uuid import UUID

from msgspec import Struct

from domain.decider import Decider
from domain.ids import READ_MODELS_STREAM
from domain.ports import UnitOfWork
from domain.system.events import ReadModelSwitched


class NoteSwitch(Struct, frozen=True, kw_only=True):
    """Queries of ``read_model`` go to another generation now."""

    read_model: str
    before_generation: int
    after_generation: int
    at_position: int
    checksum: str

    def streams(self) -> tuple[UUID, ...]:
        """What the handler loads."""
        return (READ_MODELS_STREAM,)


class Noted(Struct, frozen=True):
    """The switch is in the log."""

    read_model: str


def _count(switches: int, _fact: ReadModelSwitched) -> int:
    return switches + 1


SWITCHES: Decider[int] = Decider("read_models", 0, _count)


def note_switch(command: NoteSwitch, work: UnitOfWork) -> Noted:
    """Record a switch that has happened."""
    work.load(SWITCHES, READ_MODELS_STREAM).append(
        ReadModelSwitched(
            read_model=command.read_model,
            before_generation=command.before_generation,
            after_generation=command.after_generation,
            at_position=command.at_position,
            checksum=command.checksum,
        )
    )
    return Noted(command.read_model)
