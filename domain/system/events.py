"""Facts about the platform."""

from __future__ import annotations

from typing import Any, TypeAlias

from domain.facts import Fact


class ConfigurationChanged(
    Fact, frozen=True, tag="system.configuration_changed/1", kw_only=True
):
    """An admin changed the named keys; ``before`` and ``after`` have the same keys."""

    before: dict[str, Any]
    after: dict[str, Any]


class ReadModelSwitched(Fact, frozen=True, tag="system.read_model_switched/1", kw_only=True):
    """Queries of a read model now go to another generation."""

    read_model: str
    before_generation: int
    after_generation: int
    at_position: int
    checksum: str = ""


SystemFact: TypeAlias = ConfigurationChanged | ReadModelSwitched
