"""What comes while history is folded is history too."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domain.ports import EventHistory
from projections.approaching import approach
from projections.filling import fill_here
from projections.pace import BuildingConfig
from projections.projector import Generation
from projections.rebuild import Log, rebuild
from projections.tasks import TASKS
from projections.users import USERS
from tests.projections.feed import ListFeed, ListHistory
from tests.projections.history import RandomFarm
from tests.projections.tables import naive, project, stored

NEAR = 10


class Logged:
    """A log to which ``came`` comes during each filling, one after the other."""

    def __init__(self, *came: int) -> None:
        self.head = 1_000
        self.filled: list[int] = []
        self._came = list(came)

    def fill(self, generations: Sequence[Generation], upto: int) -> dict[str, str]:
        self.filled.append(upto)
        for each in generations:
            each.position = upto
        self.head += self._came.pop(0)
        return {}

    def approached(self, upto: int | None, *models: Generation) -> list[int]:
        assert approach(models, upto, NEAR, self.fill, lambda _: self.head) == {}
        return self.filled


def users(position: int = 0) -> Generation:
    return Generation(USERS, 2, "building", position)


def test_it_fills_until_little_has_come_meanwhile() -> None:
    assert Logged(300, 90, NEAR).approached(1_000, users()) == [1_000, 1_300, 1_390]


def test_where_nobody_writes_it_fills_once() -> None:
    assert Logged(0).approached(1_000, users()) == [1_000]


def test_writers_that_are_as_quick_as_it_is_are_not_chased_for_ever() -> None:
    assert Logged(300, 300).approached(1_000, users()) == [1_000, 1_300]


def test_what_is_near_already_is_left_to_be_followed() -> None:
    assert Logged().approached(None, users(1_000 - NEAR)) == []
    assert Logged(0).approached(None, users(1_000 - NEAR - 1)) == [1_000]


def test_what_fails_is_left_out_from_then_on() -> None:
    asked = []

    def fill(generations: Sequence[Generation], upto: int) -> dict[str, str]:
        asked.append(len(generations))
        return {} if asked[1:] else {"tasks": "poisoned"}

    heads = iter([1_500, 1_500])
    both = [users(), Generation(TASKS, 2, "building", 0)]
    failed = approach(both, 1_000, NEAR, fill, lambda _: next(heads))
    assert (failed, asked) == ({"tasks": "poisoned"}, [2, 1])


def test_what_is_written_while_it_folds_is_folded_before_it_is_compared(read_url: str) -> None:
    farm = RandomFarm(15)
    feed = ListFeed(farm.happen(40))
    project(read_url, feed.events)
    filled: list[int] = []

    def fill(
        conninfo: str,
        history: EventHistory,
        generations: Sequence[Generation],
        upto: int,
        config: BuildingConfig,
        tell: Callable[[int], None],
    ) -> dict[str, str]:
        filled.append(upto)
        failed = fill_here(conninfo, history, generations, upto, config, tell)
        if len(filled) == 1:
            feed.events[:] = farm.happen(40)
            project(read_url, feed.events)
        return failed

    began = feed.head()
    log = Log(feed=feed, history=ListHistory(feed), append_lock=(42, 1))
    config = BuildingConfig(batch_events=20, chunk_events=30, near_events=NEAR)
    (done,) = rebuild(
        read_url, log, [TASKS], progress=lambda _: None, config=config, filling=fill
    )
    assert filled == [began, feed.head()]
    assert done.compared
    assert stored(read_url, TASKS) == naive(TASKS, feed.events)
