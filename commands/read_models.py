"""Commands about read models: what operators do with them is in the log as well."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from msgspec import Struct

from domain.decider import Decider
from domain.ids import READ_MODELS_STREAM
from domain.ports import UnitOfWork
from domain.system.events import ReadModelSwitched
from domain.system.read_models import Act, ReadModelActAsked, ReadModelFact


class AskAct(Struct, frozen=True, kw_only=True):
    """The leading worker shall do something with read models: each is an order of its own."""

    read_models: tuple[str, ...]
    act: Act
    switching: Literal["auto", "manual"] = "auto"
    max_load: float = 1.0
    workers: int = 1

    def streams(self) -> tuple[UUID, ...]:
        """What the handler loads."""
        return (READ_MODELS_STREAM,)


class NoteAct(Struct, frozen=True, kw_only=True):
    """Something was done with a read model."""

    fact: ReadModelFact | ReadModelSwitched

    def streams(self) -> tuple[UUID, ...]:
        """What the handler loads."""
        return (READ_MODELS_STREAM,)


class Noted(Struct, frozen=True):
    """It is in the log."""

    read_models: tuple[str, ...] = ()


def _count(acts: int, _fact: ReadModelFact | ReadModelSwitched) -> int:
    return acts + 1


ACTS: Decider[int] = Decider("read_models", 0, _count, ReadModelFact | ReadModelSwitched)


def ask_act(command: AskAct, work: UnitOfWork) -> Noted:
    """Record what an administrator orders."""
    acts = work.load(ACTS, READ_MODELS_STREAM)
    for name in command.read_models:
        acts.append(
            ReadModelActAsked(
                read_model=name,
                act=command.act,
                switching=command.switching,
                max_load=command.max_load,
                workers=command.workers,
            )
        )
    return Noted(command.read_models)


def note_act(command: NoteAct, work: UnitOfWork) -> Noted:
    """Record what has happened."""
    work.load(ACTS, READ_MODELS_STREAM).append(command.fact)
    return Noted((command.fact.read_model,))
