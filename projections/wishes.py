"""What operators want left of a rebuild, paused or thrown away; the others of it go on."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import psycopg

from projections.exclusive import Held
from projections.generations import discard
from projections.jobs import AT_WORK, Step, Wish, note_step, read_jobs
from projections.read_model import ReadModel
from projections.rebuilt import Rebuilt

LOOK_EVERY_S: Final = 0.5
LEFT: Final[Mapping[Step, Wish]] = {"paused": "pause", "cancelled": "cancel"}


class Stopped(Exception):
    """An operator asked for it, by read model; what is committed of a paused one stays.

    ``done`` are those of the same rebuild that were gone on with.
    """

    def __init__(self, wishes: Mapping[str, Wish], done: Sequence[Rebuilt] = ()) -> None:
        super().__init__(", ".join(f"{wish} {name}" for name, wish in wishes.items()))
        self.wishes = wishes
        self.done = done


def obey(conninfo: str, read_model: ReadModel, wish: Wish) -> None:
    """Leave it, which nobody writes to any more."""
    if wish == "cancel":
        discard(conninfo, read_model)
    with psycopg.connect(conninfo) as connection:
        step: Step = "cancelled" if wish == "cancel" else "paused"
        note_step(connection, read_model.name, step)


class Leaving:
    """What is left of one rebuild, and by whose wish; it is free for whoever resumes it."""

    def __init__(self, conninfo: str, held: Held) -> None:
        self._conninfo = conninfo
        self._held = held
        self._look_at = 0.0
        self.left: dict[str, Wish] = {}

    def look(self) -> None:
        """While history is folded: which ones those who fold have left."""
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY_S
            with psycopg.connect(self._conninfo) as connection:
                jobs = read_jobs(connection)
            self._leave(
                {name: LEFT.get(jobs[name].step) for name in self._held if name in jobs}
            )

    def obey(self, read_models: Iterable[ReadModel]) -> dict[str, Wish]:
        """Of these, to which nobody writes now, leave what is to be left; which are."""
        wanted = [model for model in read_models if model.name not in self.left]
        with psycopg.connect(self._conninfo) as connection:
            jobs = read_jobs(connection)
        for model in wanted:
            job = jobs[model.name]
            if job.wish is not None and job.step in AT_WORK:
                obey(self._conninfo, model, job.wish)
                self._leave({model.name: job.wish})
            else:
                self._leave({model.name: LEFT.get(job.step)})
        return {each.name: self.left[each.name] for each in wanted if each.name in self.left}

    def _leave(self, wishes: Mapping[str, Wish | None]) -> None:
        for name, wish in wishes.items():
            if wish is not None and name not in self.left:
                self.left[name] = wish
                self._held.let_go(name)
