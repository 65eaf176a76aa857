"""Facts about read models: what operators, and the platform by itself, did with them."""

from __future__ import annotations

from typing import Literal, TypeAlias

from domain.facts import Fact

Act: TypeAlias = Literal[
    "rebuild", "pause", "resume", "cancel", "verify", "switch", "rollback", "drop-old"
]


class ReadModelActAsked(Fact, frozen=True, tag="system.read_model_act_asked/1", kw_only=True):
    """An administrator asked over the API; the leading worker does it. For a rebuild, how."""

    read_model: str
    act: Act
    switching: Literal["auto", "manual"] = "auto"
    max_load: float = 1.0
    workers: int = 1


class ReadModelActBegun(Fact, frozen=True, tag="system.read_model_act_begun/1", kw_only=True):
    """An operator is about to do it by command; what comes of it has this as its cause."""

    read_model: str
    act: Act


class ReadModelActRefused(
    Fact, frozen=True, tag="system.read_model_act_refused/1", kw_only=True
):
    """What was asked for, or begun, could not be done; its cause is the one or the other."""

    read_model: str
    act: Act
    reason: str


class RebuildStarted(
    Fact, frozen=True, tag="system.read_model_rebuild_started/1", kw_only=True
):
    """A generation is built beside the live one; from above 0 when it is taken up again."""

    read_model: str
    generation: int
    from_position: int
    upto: int
    max_load: float = 1.0


class RebuildPaused(Fact, frozen=True, tag="system.read_model_rebuild_paused/1", kw_only=True):
    """An operator asked for a pause: it ends its chunk and waits to be resumed."""

    read_model: str


class RebuildCancelled(
    Fact, frozen=True, tag="system.read_model_rebuild_cancelled/1", kw_only=True
):
    """An operator threw away what was being built."""

    read_model: str


class RebuildFailed(Fact, frozen=True, tag="system.read_model_rebuild_failed/1", kw_only=True):
    """It was not switched to; ``reason`` names the event, or the tables that differ."""

    read_model: str
    reason: str


class ReadModelResumed(Fact, frozen=True, tag="system.read_model_resumed/1", kw_only=True):
    """One that had stopped at an event tries it again."""

    read_model: str
    stopped_at: int


class ReadModelVerified(Fact, frozen=True, tag="system.read_model_verified/1", kw_only=True):
    """Two generations were compared as of one position; ``differing`` are tables."""

    read_model: str
    live_generation: int
    other_generation: int
    at_position: int
    checksum: str
    differing: tuple[str, ...] = ()


class ReadModelRolledBack(
    Fact, frozen=True, tag="system.read_model_rolled_back/1", kw_only=True
):
    """Queries go to the generation again that was kept for the way back."""

    read_model: str
    before_generation: int
    after_generation: int
    at_position: int


class KeptGenerationDropped(
    Fact, frozen=True, tag="system.read_model_generation_dropped/1", kw_only=True
):
    """What was kept for the way back is gone."""

    read_model: str
    generations: tuple[int, ...]


ReadModelFact: TypeAlias = (
    ReadModelActAsked
    | ReadModelActBegun
    | ReadModelActRefused
    | RebuildStarted
    | RebuildPaused
    | RebuildCancelled
    | RebuildFailed
    | ReadModelResumed
    | ReadModelVerified
    | ReadModelRolledBack
    | KeptGenerationDropped
)
