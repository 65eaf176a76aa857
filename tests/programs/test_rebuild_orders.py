"""How much of the time a rebuild takes, by whoever ordered it."""

from __future__ import annotations

from api.rebuild_orders import Orders
from projections.pace import BESIDE_WRITERS


def test_unless_somebody_chose_a_load_writers_come_first() -> None:
    for orders in (Orders(), Orders(max_load=0.5, by_itself=True)):
        assert orders.config().beside_writers == BESIDE_WRITERS
        assert orders.config().max_load == orders.max_load


def test_a_load_that_somebody_chose_is_kept_to_beside_writers_too() -> None:
    for chosen in (0.3, 0.99):
        config = Orders(max_load=chosen).config()
        assert (config.max_load, config.beside_writers) == (chosen, chosen)
