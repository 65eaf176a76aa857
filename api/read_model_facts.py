"""What was done with a read model, as the fact that the log keeps of it."""

from __future__ import annotations

from domain.system.events import ReadModelSwitched
from domain.system.read_models import ReadModelVerified
from projections.rebuilt import Rebuilt
from projections.switching import Shown
from projections.verified import Verified


def switched_fact(shown: Shown | Rebuilt, checksum: str = "") -> ReadModelSwitched:
    """Queries see another generation."""
    return ReadModelSwitched(
        read_model=shown.read_model,
        before_generation=shown.before_generation,
        after_generation=shown.after_generation,
        at_position=shown.at_position,
        checksum=checksum,
    )


def verified_fact(found: Verified) -> ReadModelVerified:
    """That two generations were compared, for the log; no row of them."""
    return ReadModelVerified(
        read_model=found.read_model,
        live_generation=found.live_generation,
        other_generation=found.other_generation,
        at_position=found.at_position,
        checksum=found.checksum,
        differing=tuple(found.differing),
    )
