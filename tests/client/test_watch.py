"""Watching a task: every state worth a line is shown, until it has ended."""

import asyncio
import io
from uuid import UUID

import pytest
from rich.console import Console

from api.client.answers import Task
from api.client.http import ApiClient, ApiRefused, ApiUnreachable
from api.client.watch import Pace, WatchedTooLong, headline, states, watch
from tests.api.live import LiveApi, Person, ok
from tests.client.played_farm import PlayedFarm

QUICK = Pace(often_s=0.01, seldom_s=0.01, silence_s=0.2)


def submit(person: Person) -> UUID:
    order = {"title": "watched", "task_type": "test"}
    return UUID(ok(person.client.post("/api/tasks", json=order))["id"])


async def follow(
    api: LiveApi, farm: PlayedFarm, person: Person, task_id: UUID, console: Console
) -> Task:
    """Watch a task through its whole life; the farm moves on when a state was seen."""
    steps = iter(
        [
            lambda: farm.assign(task_id),
            lambda: farm.begin(task_id),
            lambda: farm.advance(task_id, 42.0),
            lambda: farm.complete(task_id),
        ]
    )
    async with ApiClient(api.url, token=person.token) as client:
        watching = asyncio.create_task(watch(client, str(task_id), console, pace=QUICK))
        async for _ in states(client, str(task_id), QUICK):
            if step := next(steps, None):
                await asyncio.to_thread(step)
        return await watching


def test_a_pipe_gets_a_line_for_each_change(
    api: LiveApi, farm: PlayedFarm, user: Person
) -> None:
    page = io.StringIO()
    task = asyncio.run(follow(api, farm, user, submit(user), Console(file=page, width=160)))
    assert task.status == "completed"
    lines = page.getvalue().splitlines()
    assert lines[0].startswith("  0.0 %  ¥0.00  pending: ")
    assert lines[-1] == "100.0 %  ¥0.00  completed"
    assert len(lines) == len(set(lines)) < 10


def test_a_terminal_gets_a_bar_that_ends_full(
    api: LiveApi, farm: PlayedFarm, user: Person
) -> None:
    page = io.StringIO()
    console = Console(file=page, force_terminal=True, width=160, color_system=None)
    asyncio.run(follow(api, farm, user, submit(user), console))
    assert "━" * 20 in page.getvalue()
    assert "100%" in page.getvalue()


def test_watching_has_an_end_though_the_task_has_none(
    api: LiveApi, farm: PlayedFarm, user: Person
) -> None:
    task_id = submit(user)

    async def watch_it() -> None:
        async with ApiClient(api.url, token=user.token) as client:
            console = Console(file=io.StringIO())
            await watch(client, str(task_id), console, limit_s=0, pace=QUICK)

    with pytest.raises(WatchedTooLong, match="place 1 in the queue"):
        asyncio.run(watch_it())
    ok(user.client.post(f"/api/tasks/{task_id}/cancel"))


def test_a_refusal_ends_the_watch_at_once(api: LiveApi, user: Person) -> None:
    async def watch_it() -> None:
        async with ApiClient(api.url, token=user.token) as client:
            await watch(client, str(UUID(int=7)), Console(file=io.StringIO()))

    with pytest.raises(ApiRefused, match="RESOURCE_NOT_FOUND"):
        asyncio.run(watch_it())


def test_silence_is_borne_for_a_while_and_then_said() -> None:
    async def watch_it() -> None:
        async with ApiClient("http://127.0.0.1:9") as client:
            async for _ in states(client, "x", QUICK):
                pytest.fail("nothing answers there")

    with pytest.raises(ApiUnreachable, match="does not answer"):
        asyncio.run(watch_it())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"status": "pending", "pending_reason": "no_free_slot"}, "every GPU server is busy"),
        ({"status": "running", "phase": "cancelling", "attempt": 2}, "cancelling, attempt 2"),
        ({"status": "failed", "reason": "agent_lost"}, "failed: its GPU server went away"),
        ({"status": "cancelled", "reason": "of tomorrow"}, "cancelled: of tomorrow"),
    ],
)
def test_a_state_in_a_few_words(fields: dict[str, str], words: str) -> None:
    task = {"id": "x", "title": "x", "task_type": "test", "progress": 0.0, **fields}
    assert words in headline(Task(**task))  # type: ignore[arg-type]  # as an answer has them
