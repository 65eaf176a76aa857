"""A long stretch of the log is what the log tells by pages, and ends where an event is bad."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import psycopg
import pytest

from commands.event_log.history import WINDOW
from commands.event_log.log import EventLog
from domain.catalogue import BUSINESS
from domain.envelope import Told
from domain.ports import Undecodable
from domain.tasks.events import TaskStarted, TaskSubmitted
from domain.wallet.events import HoldSettled
from tests.audit.stories import insert, played
from tests.commands.accounting import SECRETS

SPOIL = (
    "ALTER TABLE owl_log.events DISABLE TRIGGER USER",
    "UPDATE owl_log.events SET state = %(state)s WHERE notification_id = %(bad)s",
    "ALTER TABLE owl_log.events ENABLE TRIGGER USER",
)


@pytest.fixture
def log(database_url: str) -> Iterator[EventLog]:
    """With some three windows of events."""
    with psycopg.connect(database_url) as connection:
        insert(connection, played(7, 3 * WINDOW + 50).stored())
    with EventLog.open(database_url, secrets=SECRETS, require_durable=False) as log:
        yield log


def told(log: EventLog, after: int, upto: int, facts: Any = BUSINESS) -> list[Told[Any]]:
    return [event for batch in log.history().read(after, upto, facts) for event in batch]


def as_folds_see(events: Iterable[Told[Any]]) -> list[Told[Any]]:
    """Without which command each was."""
    names = Told.__struct_fields__
    return [Told(*(getattr(event, name) for name in names)) for event in events]


def by_the_feed(log: EventLog) -> list[Told[Any]]:
    return as_folds_see(log.feed().read(0, 10_000))


def test_any_stretch_of_history_is_what_the_feed_tells_of_it(log: EventLog) -> None:
    events = by_the_feed(log)
    head = log.feed().head()
    assert len(events) == head > 3 * WINDOW
    for after, upto in [(0, head), (1, WINDOW + 2), (WINDOW, WINDOW + 1), (5, 5), (200, head)]:
        assert told(log, after, upto) == events[after:upto]
    few = {TaskSubmitted, HoldSettled}
    assert told(log, 0, head, few) == [each for each in events if type(each.fact) in few]


@pytest.mark.parametrize(
    "state",
    [b'{"type":', b'{"type":"tasks.task_started/9"}', b"", b'{"type"\n:"wallet.nothing/1"}'],
)
def test_what_comes_before_a_bad_event_is_told_and_nothing_behind_it(
    log: EventLog, database_url: str, state: bytes
) -> None:
    events = by_the_feed(log)
    bad = next(each for each in events[WINDOW + 9 :] if isinstance(each.fact, TaskStarted))
    with psycopg.connect(database_url) as spoiling:
        for statement in SPOIL:
            spoiling.execute(statement, {"state": state, "bad": bad.position})
    batches = log.history().read(0, log.feed().head(), BUSINESS)
    seen = as_folds_see([*next(batches), *next(batches)])
    with pytest.raises(Undecodable, match=f"{bad.position}") as raised:
        next(batches)
    assert (raised.value.position, raised.value.tag) == (bad.position, "tasks.task_started/1")
    assert seen == events[: bad.position - 1]
    # who does not ask for it goes past it
    others = told(log, 0, log.feed().head(), {TaskSubmitted})
    assert others == [each for each in events if isinstance(each.fact, TaskSubmitted)]
