"""How a rebuild is to be done: what an operator, a deployment or an order over the API says."""

from __future__ import annotations

from msgspec import Struct

from projections import jobs
from projections.filling import Filling, fill_here
from projections.pace import BuildingConfig


class Orders(Struct, frozen=True, kw_only=True):
    """How a rebuild is to be done."""

    switching: jobs.Switching = "auto"
    max_load: float = 1.0
    accept_difference: bool = False
    by_itself: bool = False
    """Nobody ordered it: it makes these folds no newer than they are."""
    filling: Filling = fill_here
    workers: int = 1
    """Of ``filling``, to be told."""
    unfed: bool = True
    """Switch to rows of other folds than the live ones though no worker has them yet."""

    def config(self) -> BuildingConfig:
        """A load that a person chose is kept to whoever writes; else writers come first."""
        if self.by_itself or self.max_load >= 1.0:
            return BuildingConfig(max_load=self.max_load)
        return BuildingConfig(max_load=self.max_load, beside_writers=self.max_load)
