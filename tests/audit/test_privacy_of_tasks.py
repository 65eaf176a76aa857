"""What users wrote into their tasks: told to them, shown on pages, forgotten with them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from psycopg import AsyncConnection

from api.task_texts import in_the_clear
from commands.accounts import RegisterUser, register_user
from commands.event_log.personal import MARK
from commands.event_log.private_texts import PrivateTexts
from commands.privacy import EraseUser, erase_user
from commands.tasks import CancelTask, SubmitTask, cancel_task, submit_task
from commands.writer import Writer
from domain.errors import NotFound
from domain.facts import ERASED
from domain.ports import UnitOfWork
from domain.tasks.events import TaskSubmittedInClear
from domain.tasks.submission import TaskOrder
from domain.tasks.task import TASK
from projections.audit.person import report
from projections.migrate import prepare
from projections.task_lists import TaskFilter, task_page
from tests.audit.test_privacy import project, run_report
from tests.commands.accounting import NOON, SECRETS, clock, context, opened

pytestmark = pytest.mark.anyio

TITLE, WISH, BEFORE = "夜鹰", "an owl\nat night", "as it was once"


class Counting(AsyncConnection[Any]):
    """One that knows how often something was asked."""

    asked = 0

    async def execute(self, *args: Any, **options: Any) -> Any:
        self.asked += 1
        return await super().execute(*args, **options)


class SubmitInClear(SubmitTask, frozen=True, kw_only=True):
    """As an earlier version took it."""


def submit_in_clear(command: SubmitInClear, work: UnitOfWork) -> None:
    fact = TaskSubmittedInClear(
        task_id=command.task_id,
        user_id=command.user_id,
        title=command.order.title,
        task_type=command.order.task_type,
    )
    work.create(TASK, command.task_id).append(fact)


async def registered(writer: Writer, user: UUID) -> RegisterUser:
    command = RegisterUser(
        user_id=user,
        email=f"{user.hex}@example.com",
        username=user.hex,
        full_name="",
        password_hash="-",
        email_claim=SECRETS.claim_id("email", user.hex),
        username_claim=SECRETS.claim_id("username", user.hex),
        subject_key=user.bytes * 2,
    )
    await writer.run(register_user, command, context())
    return command


async def submitted(writer: Writer, user: UUID, title: str, description: str) -> SubmitTask:
    order = TaskOrder(title=title, description=description, task_type="test")
    command = SubmitTask(task_id=uuid4(), user_id=user, order=order, is_admin=False, at=NOON)
    await writer.run(submit_task, command, context())
    return command


async def forgotten(writer: Writer, who: RegisterUser, *, task: SubmitTask) -> None:
    cancel = CancelTask(task_id=task.task_id, user_id=who.user_id, is_admin=False, at=NOON)
    await writer.run(cancel_task, cancel, context())
    erase = EraseUser(user_id=who.user_id, email_claim=who.email_claim, reason="wish")
    await writer.run(erase_user, erase, context())


async def test_what_they_wrote_into_tasks_is_told_too_also_what_no_erasure_reaches(
    database_url: str, tmp_path: Path
) -> None:
    prepare(database_url)
    user = uuid4()
    with opened(database_url) as log:

        def told() -> list[str]:
            found = report(database_url, log.history(), log.texts, user).personal
            return [each.value for each in found if each.tag.startswith("tasks.")]

        async with Writer(log, clock) as writer:
            who = await registered(writer, user)
            task = await submitted(writer, user, TITLE, WISH)
            old = TaskOrder(title=BEFORE, task_type="test")
            in_clear = SubmitInClear(
                task_id=uuid4(), user_id=user, order=old, is_admin=False, at=NOON
            )
            await writer.run(submit_in_clear, in_clear, context())
            await asyncio.to_thread(project, log)
            assert told() == [TITLE, WISH, BEFORE]
            said = await asyncio.to_thread(run_report, database_url, tmp_path, user)
            assert "description: an owl\n" in said.stdout
            assert "\nat night" not in said.stdout, "what begins a line is ours"
            await forgotten(writer, who, task=task)
            with pytest.raises(NotFound):  # whose token is checked before that
                await submitted(writer, user, TITLE, WISH)
        log.forget_key(user)
        assert told() == [ERASED, ERASED, BEFORE]


async def test_a_page_of_many_users_takes_one_question_and_who_is_forgotten_says_nothing(
    database_url: str,
) -> None:
    prepare(database_url)
    users = [uuid4() for _ in range(20)]
    said = {user: (f"{TITLE} {n}", WISH if n % 2 else "") for n, user in enumerate(users)}
    gone = users[7]
    with opened(database_url) as log:
        async with Writer(log, clock) as writer:
            people = {user: await registered(writer, user) for user in users}
            tasks = {user: await submitted(writer, user, *said[user]) for user in users}
            await asyncio.to_thread(project, log)
            async with await Counting.connect(database_url, autocommit=True) as connection:
                found = await task_page(connection, TaskFilter(user_id=None, page_size=100))
                assert len(found.items) == len(users)
                assert all(task.title.startswith(MARK) for task in found.items)
                # between the rows and the keys
                await forgotten(writer, people[gone], task=tasks[gone])
                connection.asked = 0
                shown = await in_the_clear(found.items, PrivateTexts(SECRETS), connection)
                assert connection.asked == 1
                assert await in_the_clear([], PrivateTexts(SECRETS), connection) == ()
                assert connection.asked == 1, "an empty page wants no key"
    said[gone] = (ERASED, ERASED)
    assert {task.user_id: (task.title, task.description) for task in shown} == said
    assert [task.task_id for task in shown] == [task.task_id for task in found.items]
