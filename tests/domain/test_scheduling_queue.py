"""Who is next: priority, what waiting adds to it, fairness between users, age."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.queue import Aging, Queue, Turns, Waiting, effective_priority
from tests.domain.cast import ALICE, BOB, NOON, after

AGING = Aging(minutes_per_step=10, steps_max=3)


def waiting(number: int, **changes: Any) -> Waiting:
    values: dict[str, Any] = {
        "task_id": UUID(int=number),
        "user_id": ALICE,
        "attempt": 1,
        "priority": 1,
        "order": number,
        "since": NOON,
    }
    return Waiting(**(values | changes))


def queue_of(*tasks: Waiting) -> Queue:
    queue = Queue()
    for task in tasks:
        queue.add(task)
    return queue


def served(queue: Queue, running: dict[UUID, int] | None = None, *, at: float = 0) -> list[int]:
    """The order in which everybody gets a place that is free for each."""
    turns = Turns(queue, now=after(at), aging=AGING, running_by_user=running or {})
    numbers = []
    while (task := turns.take()) is not None:
        turns.placed(task)
        numbers.append(task.task_id.int)
    return numbers


def test_the_more_urgent_goes_first() -> None:
    assert served(queue_of(waiting(1), waiting(2, priority=5), waiting(3, priority=3))) == [
        2,
        3,
        1,
    ]


def test_among_equals_the_oldest_goes_first() -> None:
    assert served(queue_of(waiting(3), waiting(1), waiting(2))) == [1, 2, 3]


def test_users_take_turns_however_many_one_has_queued() -> None:
    alice = [waiting(n) for n in range(1, 5)]
    bob = [waiting(n, user_id=BOB) for n in range(5, 7)]
    assert served(queue_of(*alice, *bob)) == [1, 5, 2, 6, 3, 4]


def test_who_runs_less_goes_first() -> None:
    tasks = queue_of(waiting(1), waiting(2, user_id=BOB))
    assert served(tasks, {ALICE: 1}) == [2, 1]


def test_waiting_makes_more_urgent_in_steps_and_only_so_far() -> None:
    old = waiting(1)
    ranks = [
        effective_priority(old, now=NOON + timedelta(minutes=m), aging=AGING)
        for m in (0, 9.9, 10, 20, 30, 40, 100_000)
    ]
    assert ranks == [1, 1, 2, 3, 4, 4, 4]


def test_a_clock_that_went_back_makes_nobody_less_urgent() -> None:
    assert effective_priority(waiting(1, since=after(60)), now=NOON, aging=AGING) == 1


def test_who_waits_long_overtakes_the_slightly_more_urgent_but_never_the_top() -> None:
    tasks = [
        waiting(1, since=NOON - timedelta(days=30)),
        waiting(2, user_id=BOB, priority=3),
        waiting(3, user_id=UUID(int=3), priority=5),
    ]
    assert served(queue_of(*tasks)) == [3, 1, 2]


def test_who_left_is_not_served_and_who_came_back_is_served_once() -> None:
    queue = queue_of(waiting(1), waiting(2), waiting(3))
    queue.discard(UUID(int=2))
    queue.discard(UUID(int=1))
    queue.add(waiting(1, attempt=2))
    assert 2 not in {task.task_id.int for task in queue}
    assert served(queue) == [1, 3]
    assert len(queue) == 0


@given(
    tasks=st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 4), st.integers(0, 3_000)), max_size=40
    ),
    gone=st.sets(st.integers(0, 39)),
    seed=st.integers(0, 99),
)
def test_the_queue_serves_as_a_plain_search_would(
    tasks: list[tuple[int, int, int]], gone: set[int], seed: int
) -> None:
    every = [
        waiting(
            n,
            priority=priority,
            user_id=UUID(int=user),
            since=NOON - timedelta(seconds=waited),
        )
        for n, (priority, user, waited) in enumerate(tasks)
    ]
    shuffled = every[:]
    random.Random(seed).shuffle(shuffled)
    queue = queue_of(*shuffled)
    for number in gone & set(range(len(every))):
        queue.discard(UUID(int=number))
    left = [task for task in every if task.task_id.int not in gone]
    running: dict[UUID, int] = {}
    expected = []
    # oldest first within a user and priority, then the best of those heads
    while left:
        heads: dict[tuple[int, UUID], Waiting] = {}
        for task in left:
            key = (task.priority, task.user_id)
            if key not in heads or task.order < heads[key].order:
                heads[key] = task
        best = min(
            heads.values(),
            key=lambda task: (
                -effective_priority(task, now=NOON, aging=AGING),
                running.get(task.user_id, 0),
                task.order,
            ),
        )
        left.remove(best)
        running[best.user_id] = running.get(best.user_id, 0) + 1
        expected.append(best.task_id.int)
    assert served(queue) == expected
