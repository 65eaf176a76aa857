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


GIVE_BACK: Final = "SELECT pg_advisory_unlock_all()"


class BeingRebuilt(NotPossible):
    """Another process is at work on this read model."""

    def __init__(self, read_model: str) -> None:
        super().__init__(read_model, "being_rebuilt")


@contextmanager
def sole(conninfo: str, read_models: Sequence[ReadModel]) -> Iterator[dict[str, Live]]:
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
            yield {model.name: live_of(connection, model) for model in read_models}
        finally:
            # at once: the server notices a closed session only a moment later
            with suppress(psycopg.OperationalError):  # it is given back when Postgres is gone
                connection.execute(GIVE_BACK)
