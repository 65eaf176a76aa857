"""``owl tasks logs``: what happened to a task and what it wrote."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import click
from rich.text import Text

from api.client.answers import Task, read
from api.client.log import LogLine, TaskLog
from api.client.wording import clean, local
from api.programs.asking import Terminal, asks_the_api
from api.programs.ids import TASK_ID

_LOOK_EVERY_S = 1.0
_LEVELS = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "bold red", "DEBUG": "dim"}


@click.command()
@click.argument("task_id", metavar="ID", type=TASK_ID)
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended.")
@asks_the_api
async def logs(terminal: Terminal, task_id: UUID, *, follow: bool) -> None:
    r"""Print a task's log, the oldest line first. With --json, one JSON object a line.

    \b
      owl tasks logs ID -f      from the beginning, and on until the task has ended
    """
    async with terminal.client() as client:
        log = TaskLog(client, str(task_id))
        while True:
            # asked before the lines: what it wrote last is then among them
            task = read(Task, await client.get(f"/tasks/{task_id}"))
            for line, raw in await log.new_lines():
                _print(terminal, line, raw)
            if task.has_ended or not follow:
                return
            await asyncio.sleep(_LOOK_EVERY_S)


def _print(terminal: Terminal, line: LogLine, raw: dict[str, Any]) -> None:
    if terminal.as_json:
        click.echo(json.dumps(raw, ensure_ascii=False))
        return
    mark = "│" if line.source == "output" else "•"
    terminal.console.print(
        Text.assemble(
            (local(line.timestamp), "dim"),
            f" {mark} ",
            clean(line.message, _LEVELS.get(line.level, "")),
        ),
        soft_wrap=True,
    )
