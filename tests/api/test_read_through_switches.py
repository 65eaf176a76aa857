"""Whoever reads over HTTP notices no switch: no error, nothing older than they were told."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import cycle

import httpx
import psycopg
import pytest
from msgspec import Struct

from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from projections.rebuild import Log, rebuild
from projections.switching import roll_back
from projections.tasks import TASKS
from projections.users import USERS
from tests.api.live import NO_TLS, LiveApi, Person, ok
from tests.api.opened import SECRETS

READERS = 64
EACH_READS = 6
SWITCHED = (USERS, TASKS)
LIVE = "SELECT generation FROM owl_read.checkpoints WHERE state = 'live' AND read_model = %s"


class Told(Struct):
    """Somebody, and what the answer to their last write has told: where, and how much."""

    person: Person
    position: str = "0"
    tasks: int = 0
    yuan: float = 0.0


def write(admin: Person, told: Told) -> None:
    """One task more and one yuan more, and the token that promises both."""
    order = {"title": "x", "task_type": "test"}
    task = ok(told.person.client.post("/api/tasks", json=order))["id"]
    ok(told.person.client.post(f"/api/tasks/{task}/cancel"))
    path, yuan = f"/api/admin/users/{told.person.user_id}", told.yuan + 1
    answer = admin.client.put(path, json={"balance": yuan})
    ok(answer)
    told.tasks, told.yuan = told.tasks + 1, yuan
    told.position = answer.headers["owl-position"]


async def read_on(client: httpx.AsyncClient, told: Told, over: asyncio.Event) -> int:
    """Read on and on, and never see less than was told, nor than was seen before; how often."""
    seen = [0.0, 0.0]
    named = {"Authorization": f"Bearer {told.person.token}"}
    paths = ("/api/users/me", "/api/tasks?page_size=1")
    for reads, (what, path) in enumerate(cycle(enumerate(paths))):
        if over.is_set() and reads >= EACH_READS:
            return reads
        promised = (told.yuan, told.tasks)[what]
        headers = {**named, "Owl-Min-Position": told.position}
        answer = ok(await client.get(path, headers=headers))
        shown = answer["total" if what else "balance"]
        assert shown >= promised, "older than the token"
        assert shown >= seen[what], "older than what was seen before"
        seen[what] = shown
        await asyncio.sleep(0.2)  # as a client that polls
    raise AssertionError("two paths have no end")


def switch(url: str, door: Log, number: int) -> None:
    """To new rows, or back to those that are kept."""
    if number % 5:
        for model in SWITCHED:
            roll_back(url, model, append_lock=APPEND_LOCK)
    else:
        for done in rebuild(url, door, SWITCHED, progress=lambda _: None):
            assert (done.switched, done.differing) == (True, ())


async def polled(
    api: LiveApi, admin: Person, everybody: list[Told], switches: int
) -> list[int]:
    """Switch while all read and somebody writes; how often each of them has read."""
    over = asyncio.Event()

    def act() -> None:
        with EventLog.open(api.database_url, secrets=SECRETS, require_durable=False) as log:
            door = Log(feed=log.feed(), history=log.history(), append_lock=APPEND_LOCK)
            for number, told in zip(range(switches), cycle(everybody), strict=False):
                write(admin, told)
                switch(api.database_url, door, number)

    limits = httpx.Limits(max_connections=READERS)
    async with httpx.AsyncClient(
        base_url=api.url, timeout=60, verify=NO_TLS, limits=limits
    ) as client:
        readers = [
            asyncio.create_task(read_on(client, told, over))
            for _, told in zip(range(READERS), cycle(everybody), strict=False)
        ]
        try:
            await asyncio.get_running_loop().run_in_executor(ThreadPoolExecutor(1), act)
        finally:
            over.set()
        return await asyncio.gather(*readers)


def read_through(api: LiveApi, switches: int) -> None:
    with ExitStack() as stack:
        admin = stack.enter_context(api.someone("admin"))
        everybody = [Told(stack.enter_context(api.someone())) for _ in range(4)]
        reads = asyncio.run(polled(api, admin, everybody, switches))
    assert len(reads) == READERS
    assert sum(told.tasks for told in everybody) == switches
    with psycopg.connect(api.database_url) as connection:
        for model in SWITCHED:
            ((generation,),) = connection.execute(LIVE, (model.name,)).fetchall()
            assert generation >= switches // 5


def test_sixty_four_readers_over_http_notice_none_of_ten_switches(fresh_api: LiveApi) -> None:
    read_through(fresh_api, 10)


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_sixty_four_readers_over_http_notice_none_of_fifty_switches(fresh_api: LiveApi) -> None:
    read_through(fresh_api, 50)
