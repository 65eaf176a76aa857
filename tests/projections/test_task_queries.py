"""What the queries of tasks answer."""

from __future__ import annotations

from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

from msgspec.structs import replace

from commands import dispatching, fleet, tasks
from commands.dispatching import EndOverdueCancel
from domain.fleet.messages import OutputLine
from domain.telemetry.events import TaskOutputReceived
from projections import task_lists, task_logs
from projections.catalogue import TELEMETRY
from projections.task_lists import TaskFilter, task_by_id, task_page
from projections.task_queue import QueuePlace, queue_place
from projections.tasks import ListedTask, TaskRow
from tests.projections.asking import Ask
from tests.projections.farm import Farm
from tests.projections.feed import recorded
from tests.projections.tables import project


def task(ask: Ask, task_id: UUID) -> TaskRow:
    found = ask(task_by_id, task_id, user_id=None)
    assert isinstance(found, TaskRow)
    return found


def test_a_task_shows_its_attempts_result_and_cost(farm: Farm, ask: Ask) -> None:
    submitted = farm.submit(farm.users[0])
    server = farm.servers[0]
    farm.assign(submitted, server)
    farm.end(submitted, server, "refused")
    farm.complete(submitted, run_ms=90_000)
    row = task(ask, submitted)
    assert (row.status, row.phase, row.progress) == ("completed", "completed", 100.0)
    assert (row.result, row.cost_fen, row.hold_fen) == ({"scenes": 3}, 158, 0)
    assert [each.outcome for each in row.attempts] == ["requeued", "completed"]
    assert row.attempts[0].reason == "agent_refused"
    assert row.attempt == 2


def test_cost_accrues_while_a_task_runs_and_never_beyond_the_hold(farm: Farm, ask: Ask) -> None:
    submitted = farm.submit(farm.users[0])
    farm.assign(submitted, farm.servers[0])
    farm.begin(submitted, farm.servers[0])
    row = task(ask, submitted)
    assert row.started_at is not None
    assert row.cost_at(row.started_at) == 0
    assert row.cost_at(row.started_at + timedelta(minutes=2)) == 210
    assert row.cost_at(row.started_at + timedelta(hours=2)) == row.hold_fen == 315


def test_the_cost_of_a_task_that_is_being_cancelled_stands_where_the_wish_came(
    farm: Farm, ask: Ask
) -> None:
    user, server = farm.users[0], farm.servers[0]
    submitted = farm.submit(user)
    farm.assign(submitted, server)
    farm.begin(submitted, server)
    farm.now += timedelta(seconds=60)
    wish: dict[str, Any] = {"task_id": submitted, "user_id": user, "is_admin": False}
    farm.run(tasks.cancel_task, tasks.CancelTask(**wish, at=farm.now))
    farm.advance(submitted, server, 70.0)
    later = farm.now + timedelta(seconds=30)
    row = task(ask, submitted)
    assert (row.phase, row.cost_at(later)) == ("cancelling", 107), "61 s, and no more"
    (listed,) = (t for t in ask(task_page, TaskFilter(user_id=user)).items if t.cost_at(later))
    assert (listed.task_id, listed.cost_at(later)) == (submitted, 107)

    farm.now = later
    end = EndOverdueCancel(task_id=submitted, attempt=1, at=farm.now)
    farm.run(dispatching.end_overdue_cancel, end)
    row = task(ask, submitted)
    assert (row.status, row.cost_fen) == ("cancelled", 107), "what it stood at is charged"

    farm.run(tasks.retry_task, tasks.RetryTask(**wish, at=farm.now))
    farm.assign(submitted, server)
    farm.begin(submitted, server)
    again = task(ask, submitted)
    assert again.started_at is not None
    assert again.cost_at(again.started_at + timedelta(minutes=1)) == 107 + 105


def test_another_users_task_and_a_deleted_one_are_not_found(farm: Farm, ask: Ask) -> None:
    user, other = farm.users[0], farm.register()
    mine = farm.submit(user, "test")
    found = ask(task_by_id, mine, user_id=user)
    assert found.task_id == mine
    assert ask(task_by_id, mine, user_id=other) is None
    farm.run(
        tasks.cancel_task,
        tasks.CancelTask(task_id=mine, user_id=user, is_admin=False, at=farm.now),
    )
    farm.run(
        tasks.delete_task,
        tasks.DeleteTask(task_id=mine, user_id=user, is_admin=False, at=farm.now),
    )
    assert ask(task_by_id, mine, user_id=user) is None
    page = ask(task_page, TaskFilter(user_id=user))
    assert (page.items, page.total) == ((), 0)


def test_pages_of_tasks_are_filtered_sorted_and_counted(farm: Farm, ask: Ask) -> None:
    user, server = farm.users[0], farm.servers[0]
    for number in range(3):
        farm.complete(farm.submit(user, "test", priority=1 + number))
    waiting = farm.submit(user, "video_analysis", priority=5)
    farm.assign(waiting, server)
    farm.submit(farm.register(), "test")

    def page(**wanted: Any) -> tuple[list[int], int]:
        wanted = {"user_id": user, **wanted}
        found = ask(task_page, TaskFilter(**wanted))
        return [row.priority for row in found.items], found.total

    assert page() == ([5, 3, 2, 1], 4)
    assert page(sort_order="asc") == ([1, 2, 3, 5], 4)
    assert page(status="completed", sort_by="priority") == ([3, 2, 1], 3)
    assert page(status="pending") == ([5], 1)
    assert page(task_type="test", sort_by="updated_at") == ([3, 2, 1], 3)
    assert page(task_type="test", status="running") == ([], 0)
    assert page(page=2, page_size=3) == ([1], 4)
    assert page(page=9) == ([], 4)
    assert page(user_id=None, task_type="test") == ([1, 3, 2, 1], 4)


def test_pages_cut_one_list_by_any_filters_in_any_order(farm: Farm, ask: Ask) -> None:
    """Merged from many kinds of task, a list is what sorting all of its rows would give."""
    users = [farm.users[0], farm.register()]
    for number in range(24):
        kind = ("test", "video_analysis")[number % 5 == 0]
        submitted = farm.submit(users[number % 3 == 0], kind, priority=1 + number % 4)
        if number % 2:
            farm.complete(submitted)
        elif number % 7 == 0:
            gone: Any = {"task_id": submitted, "user_id": users[0], "is_admin": True}
            farm.run(tasks.cancel_task, tasks.CancelTask(**gone, at=farm.now))
            farm.run(tasks.delete_task, tasks.DeleteTask(**gone, at=farm.now))

    async def listed(connection: Any, wanted: TaskFilter) -> list[ListedTask]:
        found = [await task_page(connection, replace(wanted, page=n)) for n in range(1, 10)]
        assert {page.total for page in found} == {sum(len(page.items) for page in found)}
        return [row for page in found for row in page.items]

    async def check(connection: Any) -> int:
        each = [await task_by_id(connection, task_id, user_id=None) for task_id in farm.tasks]
        rows = [row for row in each if row is not None]
        for sort_by, sort_order in task_lists.ORDERS:
            rows.sort(
                key=lambda row: (getattr(row, sort_by), row.task_id),
                reverse=sort_order == "desc",
            )
            for user, status, kind, size in product(
                (None, users[0]), (None, "completed", "pending"), (None, "test"), (3, 100)
            ):
                expected = [
                    row.task_id
                    for row in rows
                    if user in {None, row.user_id}
                    and status in {None, row.status}
                    and kind in {None, row.task_type}
                ]
                wanted: Any = {"user_id": user, "status": status, "task_type": kind}
                by: Any = {"sort_by": sort_by, "sort_order": sort_order, "page_size": size}
                found = await listed(connection, TaskFilter(**wanted, **by))
                assert [row.task_id for row in found] == expected
        return len(rows)

    assert ask(check) > 15


def test_a_waiting_task_knows_its_place_and_why_it_waits(farm: Farm, ask: Ask) -> None:
    rich = farm.users[0]

    def place(task_id: UUID) -> QueuePlace | None:
        row = task(ask, task_id)
        found: QueuePlace | None = ask(queue_place, row, now=farm.now)
        return found

    first = farm.submit(rich, "test")
    assert place(first) == QueuePlace(position=1, reason="next", estimated_wait_s=0)
    for number in range(2):
        busy = farm.submit(rich, "test", priority=5)
        farm.assign(busy, farm.servers[0])
        if number:
            farm.begin(busy, farm.servers[0])
            assert place(busy) is None
        else:
            waiting = place(busy)
            assert waiting is not None
            assert waiting.reason == "assigned"
    second = farm.submit(rich, "test", priority=2)
    expected = QueuePlace(position=2, reason="no_free_slot", estimated_wait_s=269)
    assert place(first) == expected, "behind the one with the higher priority"
    ahead = place(second)
    assert ahead is not None
    assert ahead.position == 1
    farm.run(
        fleet.note_server_silent,
        fleet.NoteServerSilent(server_id=farm.servers[0], last_seen_at=farm.now),
    )
    alone = place(second)
    assert alone is not None
    assert (alone.reason, alone.estimated_wait_s) == ("no_online_server", None)


def test_the_wait_is_what_running_tasks_have_left_by_their_estimates(
    farm: Farm, ask: Ask
) -> None:
    server = farm.servers[0]
    for _ in range(2):
        running = farm.submit(farm.users[0], "test")  # three minutes, by its estimate
        farm.assign(running, server)
        farm.begin(running, server)
    first = farm.submit(farm.users[0], "test")
    begun = task(ask, running).started_at
    assert begun is not None

    def wait_s(after_s: int) -> int:
        place = ask(queue_place, task(ask, first), now=begun + timedelta(seconds=after_s))
        assert (place.position, place.reason) == (1, "no_free_slot")
        return int(place.estimated_wait_s)

    # the other one began three seconds before
    assert wait_s(0) == round((180 + 177) / 2)
    assert wait_s(20) == round((160 + 157) / 2)


def test_a_task_that_names_a_file_waits_for_a_server_that_has_files(
    farm: Farm, ask: Ask
) -> None:
    local = farm.submit(farm.users[0], "test", config={"video_url": "file:clip.mp4"})
    place = ask(queue_place, task(ask, local), now=farm.now)
    assert (place.reason, place.estimated_wait_s) == ("no_file_server", None)
    assert ask(queue_place, task(ask, farm.submit(farm.users[0], "test")), now=farm.now).reason
    farm.beat(farm.enrol("gpu-2", slots=2), serves_files=True)
    assert ask(queue_place, task(ask, local), now=farm.now).reason == "next"


def test_a_tasks_log_merges_events_and_output_in_the_order_of_recording(
    read_url: str, farm: Farm, ask: Ask
) -> None:
    submitted = farm.submit(farm.users[0])
    server = farm.servers[0]
    farm.assign(submitted, server)
    farm.begin(submitted, server)
    spoken_at = farm.now
    farm.now += timedelta(seconds=1)
    farm.end(submitted, server, run_ms=1_000)
    chunk = TaskOutputReceived(
        task_id=submitted,
        attempt=1,
        sequence=1,
        server_id=server,
        lines=tuple(
            # the agent's clock is wrong by a year: it does not matter
            OutputLine(at=spoken_at - timedelta(days=365), level="INFO", text=text)
            for text in ("one", "two", "three")
        ),
    )
    again = replace(chunk)
    project(
        read_url,
        [recorded(fact, submitted, n, spoken_at) for n, fact in enumerate((chunk, again), 1)],
        TELEMETRY,
    )
    page = ask(task_logs.log_page, submitted, page=1, page_size=50)
    said = [line.text or line.tag for line in page.items]
    assert said == [
        "tasks.task_submitted/2",
        "wallet.hold_placed/1",
        "tasks.task_assigned/1",
        "tasks.task_started/1",
        "one",
        "two",
        "three",
        "tasks.task_completed/1",
        "wallet.hold_settled/1",
    ]
    assert page.total == 9, "a chunk that came twice counts once"

    async def check(connection: Any) -> None:
        for size in (1, 2, 5, 6, 8):
            pages = [
                await task_logs.log_page(connection, submitted, page=number, page_size=size)
                for number in range(1, 12)
            ]
            assert tuple(line for each in pages for line in each.items) == page.items
        for seen, limit in product(range(9), (1, 2, 3, 100)):
            cursor = page.items[seen].cursor
            rest = await task_logs.log_after(connection, submitted, cursor, limit=limit)
            assert rest == page.items[seen + 1 : seen + 1 + limit]

    ask(check)
