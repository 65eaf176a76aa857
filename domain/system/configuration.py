"""The configuration that operators may change while the platform runs.

Every key has a default, a range and a unit; a change is one fact with before and after. Prices
are changed type by type: a type that is not named keeps its own. The times of a lease must
stand in order, or agents that are well would be given up.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Final, assert_never

import msgspec
from msgspec import Meta, Struct, field

from domain.decider import Decider
from domain.errors import InvalidInput
from domain.money import Fen
from domain.system.events import ConfigurationChanged, ReadModelSwitched, SystemFact

Seconds = Annotated[int, Meta(ge=1, le=86_400)]
TYPES_MAX: Final = 64
NO_TYPE_LEFT: Final = "the price of one type must be left"
TOO_MANY_TYPES: Final = f"at most {TYPES_MAX} types can have a price"
_PRICES: Final = "prices_fen_per_minute"


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
    timeout_grace_s: Seconds = 180
    requeue_budget: Annotated[int, Meta(ge=0, le=20)] = 3
    aging_minutes_per_step: Annotated[int, Meta(ge=1, le=1_440)] = 10
    aging_steps_max: Annotated[int, Meta(ge=0, le=10)] = 3
    system_log_days: Annotated[int, Meta(ge=1, le=3_650)] = 30


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


CONFIGURATION: Decider[Configuration] = Decider(
    "configuration", Configuration(), evolve, SystemFact
)


LEASE_ORDER = (
    "heartbeat_interval_s",
    "suspect_after_s",
    "offline_after_s",
    "lease_lost_after_s",
)
"""Each of these must be shorter than the next."""


def change(
    configuration: Configuration, changes: dict[str, Any]
) -> tuple[ConfigurationChanged, ...]:
    """Replace the keys of ``changes``, all or none; nothing happens when none differs.

    Of the prices only those of the named types; one whose price is ``None`` is taken no more.

    Raises:
        InvalidInput: an unknown key or a value out of range; ``details["field_errors"]`` says
            what is wrong with each.
    """
    if _PRICES in changes:
        prices = _priced(configuration.prices_fen_per_minute, changes[_PRICES])
        changes = changes | {_PRICES: prices}
    errors = {key: error for key, value in changes.items() if (error := _error(key, value))}
    good = {key: value for key, value in changes.items() if key not in errors}
    after = changed(configuration, good)
    errors |= {
        later: f"must be more than {earlier}"
        for earlier, later in pairwise(LEASE_ORDER)
        if not errors.keys() & {earlier, later}
        and getattr(after, earlier) >= getattr(after, later)
    }
    if errors:
        raise InvalidInput("the configuration does not allow this", field_errors=errors)
    keys = [key for key in changes if getattr(configuration, key) != getattr(after, key)]
    if not keys:
        return ()
    return (
        ConfigurationChanged(
            before={key: getattr(configuration, key) for key in keys},
            after={key: getattr(after, key) for key in keys},
        ),
    )


def _priced(now: dict[str, Fen], named: Any) -> Any:
    """The whole table after a change of the ``named`` types."""
    if not isinstance(named, dict):
        return named
    return {kind: price for kind, price in {**now, **named}.items() if price is not None}


def _error(key: str, value: Any) -> str | None:
    try:
        msgspec.convert({key: value}, Configuration)
    except msgspec.ValidationError as error:
        return str(error)
    if key == _PRICES and not value:
        return NO_TYPE_LEFT
    if key == _PRICES and len(value) > TYPES_MAX:
        return TOO_MANY_TYPES
    return None
