"""One at a time: whoever builds, compares or shows a generation keeps others from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final

import psycopg

from projections.not_possible import NotPossible
from projections.read_model import ReadModel
from projections.switching import Live, live_of

# held by the session, so that it ends with the process
TRY: Final = """
    SELECT pg_try_advisory_lock(hashtext('owl_read.rebuild'), hashtext(%(read_model)s))
"""


LET_GO: Final = """
    SELECT pg_advisory_unlock(hashtext('owl_read.rebuild'), hashtext(%(read_model)s))
"""
GIVE_BACK: Final = "SELECT pg_advisory_unlock_all()"


class BeingRebuilt(NotPossible):
    """Another process is at work on this read model."""

    def __init__(self, read_model: str) -> None:
        super().__init__(read_model, "being_rebuilt")


class Held(dict[str, Live]):
    """The live generations of what is held, by read model."""

    def __init__(
        self, connection: psycopg.Connection[object], read_models: Sequence[ReadModel]
    ) -> None:
        super().__init__((model.name, live_of(connection, model)) for model in read_models)
        self._connection = connection

    def let_go(self, read_model: str) -> None:
        """Others may work at this one now."""
        self._connection.execute(LET_GO, {"read_model": read_model})


@contextmanager
def sole(conninfo: str, read_models: Sequence[ReadModel]) -> Iterator[Held]:
    """The live generations, while nobody else works on these read models.

    Raises:
        BeingRebuilt: somebody does.
    """
    with psycopg.connect(conninfo, autocommit=True) as connection:
        for model in read_models:
            row = connection.execute(TRY, {"read_model": model.name}).fetchone()
            if row is None or not row[0]:
                raise BeingRebuilt(model.name)
        try:
            yield Held(connection, read_models)
        finally:
            # at once: the server notices a closed session only a moment later
            with suppress(psycopg.OperationalError):  # it is given back when Postgres is gone
                connection.execute(GIVE_BACK)
