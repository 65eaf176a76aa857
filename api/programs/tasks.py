"""``owl tasks``: submit, look, follow, stop, run again, delete, fetch."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final
from uuid import UUID

import click
from rich.console import Group

from api.client.answers import Page, Task, read
from api.client.farm import server_name
from api.client.files import save_artifacts
from api.client.show import task_table, task_view
from api.client.watch import watch as watch_task
from api.client.wording import clean, line
from api.messages import Text
from api.programs.asking import Terminal, asks_the_api
from api.programs.ids import TASK_ID
from api.programs.people import user_id_of
from api.programs.task_logs import logs
from api.programs.task_submit import ended_well, submit

NOBODY_TO_ASK: Final = Text(
    "删除后无法恢复，而这里无人可问：请加 --yes",
    "this is for good, and nobody can be asked here: give --yes",
)
_STATUSES = ("pending", "running", "completed", "failed", "cancelled")
_TASK = click.argument("task_id", metavar="ID", type=TASK_ID)


@click.group()
def command() -> None:
    """Your tasks. An ID is what `submit` and `list` show."""


command.add_command(submit)
command.add_command(logs)


@command.command(name="list")
@click.option("--status", type=click.Choice(_STATUSES))
@click.option("--type", "task_type", help="Such as video_analysis.")
@click.option(
    "--sort-by",
    type=click.Choice(["created_at", "updated_at", "priority"]),
    default="created_at",
    show_default=True,
)
@click.option("--ascending", is_flag=True, help="The oldest or least first.")
@click.option(
    "--user",
    metavar="USER",
    help="Operators: whose; an id, an e-mail address, a username, or `all`.",
)
@click.option("--page", type=click.IntRange(1, 10_000), default=1, show_default=True)
@click.option("--page-size", type=click.IntRange(1, 100), default=20, show_default=True)
@asks_the_api
async def list_tasks(
    terminal: Terminal,
    status: str | None,
    task_type: str | None,
    sort_by: str,
    user: str | None,
    page: int,
    page_size: int,
    *,
    ascending: bool,
) -> None:
    """List your tasks, the newest first."""
    async with terminal.client() as client:
        data = await client.get(
            "/tasks",
            status=status,
            task_type=task_type,
            sort_by=sort_by,
            sort_order="asc" if ascending else "desc",
            user_id=await user_id_of(client, user) if user and user != "all" else user,
            page=page,
            page_size=page_size,
        )
    terminal.answer(data, task_table(read(Page[Task], data)))


@command.command()
@_TASK
@click.option("--watch", is_flag=True, help="Follow it until it has ended.")
@asks_the_api
async def show(terminal: Terminal, task_id: UUID, *, watch: bool) -> int | None:
    """Show a task: how it stands, what it found, what it cost."""
    async with terminal.client() as client:
        if watch:
            await watch_task(client, str(task_id), terminal.progress())
        task = read(Task, data := await client.get(f"/tasks/{task_id}"))
        server = await server_name(client, task.gpu_server_id)
    terminal.answer(data, task_view(task, server=server))
    return ended_well(task) if watch else None


@command.command()
@_TASK
@asks_the_api
async def cancel(terminal: Terminal, task_id: UUID) -> None:
    """Stop a task. A running one has ended when its GPU server says so."""
    async with terminal.client() as client:
        data = await client.post(f"/tasks/{task_id}/cancel")
    terminal.answer(data, line(f"{task_id} is {data['phase']}"))


@command.command()
@_TASK
@asks_the_api
async def retry(terminal: Terminal, task_id: UUID) -> None:
    """Run a failed or cancelled task again, at today's price."""
    async with terminal.client() as client:
        data = await client.post(f"/tasks/{task_id}/retry")
    terminal.answer(data, line(f"{task_id} waits for attempt {data['attempt']}"))


@command.command()
@_TASK
@click.option("--yes", is_flag=True, help="Do not ask; needed where no terminal is.")
@asks_the_api
async def delete(terminal: Terminal, task_id: UUID, *, yes: bool) -> None:
    """Delete a task that does not run; what it cost stays in your totals."""
    if not yes:
        if not sys.stdin.isatty():
            raise click.UsageError(NOBODY_TO_ASK.in_language(terminal.language))
        click.confirm("Delete the task from your lists for good?", abort=True, err=True)
    async with terminal.client() as client:
        data = await client.call("DELETE", f"/tasks/{task_id}")
    terminal.answer(data, line(f"{task_id} is deleted"))


@command.command()
@_TASK
@click.option(
    "--into",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write the files into this directory; without it they are only listed.",
)
@asks_the_api
async def artifacts(terminal: Terminal, task_id: UUID, into: Path | None) -> None:
    """List the files that a task made, or fetch them."""
    async with terminal.client() as client:
        task = read(Task, data := await client.get(f"/tasks/{task_id}"))
        if into is None:
            files = [f"{file.name}  {file.size_bytes:,} bytes" for file in task.artifacts]
            terminal.answer(data["artifacts"], Group(*map(clean, files)))
            return
        paths = await save_artifacts(client, str(task_id), task.artifacts, into)
    written = [str(path) for path in paths]
    terminal.answer(written, Group(*map(line, written)))
