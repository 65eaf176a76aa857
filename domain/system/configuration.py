"""The configuration that operators may change while the platform runs.

Every key has a default, a range and a unit; a change is one fact with before and after.
"""

from __future__ import annotations

from typing import Annotated, Any, assert_never

import msgspec
from msgspec import Meta, Struct, field

from domain.decider import Decider
from domain.money import Fen
from domain.system.events import ConfigurationChanged, ReadModelSwitched, SystemFact

Seconds = Annotated[int, Meta(ge=1, le=86_400)]


class Configuration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The effective configuration."""

    max_concurrent_tasks_per_user: Annotated[int, Meta(ge=1, le=1_000)] = 5
    default_task_timeout_s: Annotated[int, Meta(ge=10, le=86_400)] = 3600
    maintenance_mode: bool = False
    prices_fen_per_minute: dict[str, Annotated[Fen, Meta(ge=0, le=1_000_000)]] = field(
        default_factory=lambda: {"video_analysis": 105, "test": 0}
    )
    default_hold_min: Annotated[int, Meta(ge=1, le=1_440)] = 10
    hold_extension_min: Annotated[int, Meta(ge=1, le=1_440)] = 5
    heartbeat_interval_s: Seconds = 5
    suspect_after_s: Seconds = 15
    offline_after_s: Seconds = 30
    lease_lost_after_s: Seconds = 120
    start_deadline_s: Seconds = 15
    cancel_deadline_s: Seconds = 30
    requeue_budget: Annotated[int, Meta(ge=0, le=20)] = 3
    aging_minutes_per_step: Annotated[int, Meta(ge=1, le=1_440)] = 10
    aging_steps_max: Annotated[int, Meta(ge=0, le=10)] = 3


def evolve(configuration: Configuration, fact: SystemFact) -> Configuration:
    """Fold one fact."""
    match fact:
        case ConfigurationChanged(after=after):
            return changed(configuration, after)
        case ReadModelSwitched():
            return configuration
        case _:
            assert_never(fact)


def changed(configuration: Configuration, after: dict[str, Any]) -> Configuration:
    """The configuration with the keys of ``after`` replaced, validated whole.

    Raises:
        msgspec.ValidationError: an unknown key or a value out of range.
    """
    return msgspec.convert({**msgspec.structs.asdict(configuration), **after}, Configuration)


CONFIGURATION: Decider[Configuration] = Decider("configuration", Configuration(), evolve)
