"""Who folds the history of a rebuild: this process, or several that each take some of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol

from domain.ports import EventHistory
from projections.building import Builder
from projections.pace import BuildingConfig
from projections.projector import Generation


class Filling(Protocol):
    """Brings generations to ``upto``, but those that operators want left; why others failed."""

    def __call__(
        self,
        conninfo: str,
        history: EventHistory,
        generations: Sequence[Generation],
        upto: int,
        config: BuildingConfig,
        tell: Callable[[int], None],
    ) -> dict[str, str]:
        """Fold; ``tell`` hears the position.

        Raises:
            Overtaken: somebody else builds the same.
        """
        ...


def fill_here(
    conninfo: str,
    history: EventHistory,
    generations: Sequence[Generation],
    upto: int,
    config: BuildingConfig,
    tell: Callable[[int], None],
) -> dict[str, str]:
    """``Filling`` in this process, all in one pass."""
    builder = Builder(conninfo, history, generations, config, tell=tell)
    with closing(builder):
        builder.fill(upto)
        return {
            generation.read_model.name: f"{error}: {error.__cause__!r}"
            if error.__cause__
            else str(error)
            for generation, error in builder.failed.items()
        }
