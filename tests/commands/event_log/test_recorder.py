"""One suite for the recorder: in memory, on PostgreSQL as shipped, on the oldest supported."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import IntegrityError

from domain.envelope import Recorded
from domain.facts import Fact, tag_of
from domain.recharge.events import CodeRevoked
from tests.commands.accounting import NOON, credited, opened
from tests.commands.event_log.twin import memory_store

# the library types what a store gives as its own kind of event; ours are `Recorded`
Store = Any


@pytest.fixture(params=["memory", "database_url", "postgres15"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    if request.param == "memory":
        yield memory_store({})
    else:
        with opened(request.getfixturevalue(request.param)) as log:
            yield log.events


def event(stream: UUID, version: int, fact: Fact | None = None) -> Any:
    return Recorded(
        position=0,
        stream=stream,
        version=version,
        recorded_at=NOON,
        actor="user:1",
        command_id=uuid4(),
        correlation_id="r",
        causation_id=7,
        fact=fact or credited(stream, version),
    )


def positions(store: Store) -> list[int]:
    recorder: Any = store.recorder
    return [found.id for found in recorder.select_notifications(None, 1000)]


def test_events_of_several_streams_are_appended_together_in_order(
    store: Store,
) -> None:
    one, two = uuid4(), uuid4()
    recordings = store.put([event(one, 1), event(two, 1), event(one, 2)])
    assert [recording.notification.id for recording in recordings] == [1, 2, 3]
    assert [found.version for found in store.get(one)] == [1, 2]


def test_an_event_comes_back_as_it_was_said_with_its_envelope_and_position(
    store: Store,
) -> None:
    stream = uuid4()
    alone, second, third = (event(stream, version) for version in (1, 2, 3))
    alone, third = (without_a_cause(each) for each in (alone, third))
    store.put([alone])
    store.put([second, third])
    assert list(store.get(stream)) == [
        Recorded(**{**fields(said), "position": position})
        for position, said in enumerate([alone, second, third], 1)
    ]


def without_a_cause(said: Any) -> Any:
    return Recorded(**{**fields(said), "causation_id": None})


def fields(event: Any) -> dict[str, Any]:
    return {name: getattr(event, name) for name in event.__struct_fields__}


def test_a_version_that_is_taken_refuses_the_whole_append_and_leaves_no_gap(
    store: Store,
) -> None:
    stream, other = uuid4(), uuid4()
    store.put([event(stream, 1)])
    with pytest.raises(IntegrityError):
        store.put([event(other, 1), event(stream, 1)])
    store.put([event(other, 1)])
    assert positions(store) == [1, 2]


def test_a_stream_can_be_read_in_part_and_backwards(store: Store) -> None:
    stream = uuid4()
    store.put([event(stream, version) for version in range(1, 6)])

    def versions(**bounds: Any) -> list[int]:
        return [found.version for found in store.get(stream, **bounds)]

    assert versions(gt=2) == [3, 4, 5]
    assert versions(lte=2) == [1, 2]
    assert versions(gt=1, lte=4, desc=True, limit=2) == [4, 3]
    assert [found.version for found in store.get(uuid4())] == []


def test_the_log_can_be_read_in_part_and_by_tag(store: Store) -> None:
    recorder: Any = store.recorder
    stream = uuid4()
    store.put([event(stream, 1), event(stream, 2, CodeRevoked(code_id=stream))])
    store.put([event(uuid4(), 1)])

    def ids(*args: Any, **more: Any) -> list[int]:
        return [found.id for found in recorder.select_notifications(*args, **more)]

    assert ids(2, 10) == [2, 3]
    assert ids(2, 10, inclusive_of_start=False) == [3]
    assert ids(None, 2) == [1, 2]
    assert ids(1, 10, 2) == [1, 2]
    assert ids(1, 10, topics=[tag_of(CodeRevoked)]) == [2]
    assert recorder.max_notification_id() == 3


def test_an_append_of_nothing_does_nothing(store: Store) -> None:
    assert store.put([]) == []
    assert positions(store) == []
