"""Where a task goes: room, one GPU for one task, memory, the least loaded first."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain.scheduling.placement import FreeGpu, Placement, Room, fit, place
from domain.scheduling.queue import Queue
from tests.domain.cast import NOON
from tests.domain.test_scheduling_queue import AGING, queue_of, waiting

CPU, BIG, SMALL = UUID(int=1), UUID(int=2), UUID(int=3)


def room(server_id: UUID = CPU, **changes: Any) -> Room:
    values: dict[str, Any] = {"server_id": server_id, "slots": 2, "used": 0}
    return Room(**(values | changes))


def with_gpus(server_id: UUID, *memory_mib: int, **changes: Any) -> Room:
    gpus = tuple(FreeGpu(mib, f"gpu-{server_id.int}-{n}") for n, mib in enumerate(memory_mib))
    return room(server_id, has_gpus=True, free_gpus=gpus, slots=8, **changes)


def placed(queue: Queue, *rooms: Room, most: int = 100) -> list[Placement]:
    return place(queue, rooms, now=NOON, aging=AGING, running_by_user={}, most=most)


def test_the_least_loaded_server_comes_first() -> None:
    rooms = (room(CPU, slots=4, used=2), room(BIG, slots=4, used=1))
    assert placed(queue_of(waiting(1)), *rooms)[0].server_id == BIG


def test_tasks_spread_over_servers_as_they_fill() -> None:
    rooms = (room(CPU, slots=2), room(BIG, slots=4))
    servers = [p.server_id for p in placed(queue_of(*map(waiting, range(6))), *rooms)]
    assert servers.count(CPU) == 2
    assert servers.count(BIG) == 4


def test_a_full_server_gets_nothing_and_the_rest_waits() -> None:
    queue = queue_of(*map(waiting, range(5)))
    assert len(placed(queue, room(slots=2, used=1))) == 1
    assert len(queue) == 4


def test_a_gpu_runs_one_task_at_a_time() -> None:
    placements = placed(queue_of(*map(waiting, range(5))), with_gpus(BIG, 24_000, 24_000))
    assert len(placements) == 2
    assert len({p.gpu_uuids for p in placements}) == 2


def test_a_server_whose_gpus_have_all_failed_gets_nothing() -> None:
    assert placed(queue_of(waiting(1)), with_gpus(BIG)) == []


def test_a_task_gets_the_smallest_gpu_that_is_large_enough() -> None:
    large = with_gpus(BIG, 80_000, 24_000, 8_000)
    assert fit(waiting(1, gpu_memory_mib=16_000), large) == ("gpu-2-1",)
    assert fit(waiting(1), large) == ("gpu-2-2",)
    assert fit(waiting(1, gpu_memory_mib=90_000), large) is None


def test_a_task_that_names_a_file_of_the_farm_goes_where_such_are_served() -> None:
    bare, served = room(CPU), room(BIG, used=1, serves_files=True)
    assert fit(waiting(1, wants_files=True), bare) is None
    queue = queue_of(waiting(1, wants_files=True), waiting(2))
    assert [(p.waiting.task_id.int, p.server_id) for p in placed(queue, bare, served)] == [
        (1, BIG),
        (2, CPU),
    ]


def test_a_task_that_wants_gpu_memory_never_runs_on_processors() -> None:
    assert fit(waiting(1, gpu_memory_mib=1), room()) is None


def test_one_that_fits_nowhere_lets_the_others_pass_and_keeps_its_place() -> None:
    queue = queue_of(waiting(1, priority=5, gpu_memory_mib=90_000), waiting(2))
    assert [p.waiting.task_id.int for p in placed(queue, with_gpus(BIG, 24_000))] == [2]
    assert UUID(int=1) in queue


def test_no_more_than_asked_for_is_placed() -> None:
    queue = queue_of(*map(waiting, range(9)))
    assert len(placed(queue, room(slots=9), most=3)) == 3
    assert len(queue) == 6


def test_a_decision_keeps_why() -> None:
    (placement,) = placed(queue_of(waiting(1, priority=4)), room(used=1))
    assert placement.why == {
        "candidates": 1,
        "effective_priority": 4,
        "waited_s": 0.0,
        "server_load": "1/2",
    }


@given(
    wants=st.lists(st.sampled_from([0, 8_000, 24_000, 80_000]), max_size=20),
    farms=st.lists(
        st.tuples(st.integers(0, 4), st.lists(st.sampled_from([8_000, 24_000, 80_000]))),
        max_size=5,
    ),
)
def test_nothing_is_ever_placed_where_there_is_no_room(
    wants: list[int], farms: list[tuple[int, list[int]]]
) -> None:
    rooms = [
        room(
            UUID(int=n + 1),
            slots=slots,
            has_gpus=bool(memory),
            free_gpus=tuple(FreeGpu(mib, f"gpu-{n}-{i}") for i, mib in enumerate(memory)),
        )
        for n, (slots, memory) in enumerate(farms)
    ]
    queue = queue_of(*(waiting(n, gpu_memory_mib=mib) for n, mib in enumerate(wants)))
    placements = placed(queue, *rooms)
    memory_of = {gpu.uuid: gpu.memory_mib for each in rooms for gpu in each.free_gpus}
    used_gpus = [uuid for p in placements for uuid in p.gpu_uuids]
    assert len(used_gpus) == len(set(used_gpus))
    for each in rooms:
        mine = [p for p in placements if p.server_id == each.server_id]
        assert len(mine) <= each.slots
        assert all(len(p.gpu_uuids) == int(each.has_gpus) for p in mine)
    for p in placements:
        assert all(memory_of[uuid] >= p.waiting.gpu_memory_mib for uuid in p.gpu_uuids)
    assert len(placements) + len(queue) == len(wants)
    # and nobody waits beside a place that would do
    left = {p.task_id for p in queue}
    assert not left or not placed(queue, *_left(rooms, placements))


def _left(rooms: list[Room], placements: list[Placement]) -> list[Room]:
    after: list[Room] = []
    for each in rooms:
        mine = [p for p in placements if p.server_id == each.server_id]
        used = {uuid for p in mine for uuid in p.gpu_uuids}
        after.append(
            room(
                each.server_id,
                slots=each.slots,
                used=len(mine),
                has_gpus=each.has_gpus,
                free_gpus=tuple(gpu for gpu in each.free_gpus if gpu.uuid not in used),
            )
        )
    return after
