"""A task as a person wants to see it: how it went, what it found and left, what it cost."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.json import JSON
from rich.table import Table
from rich.text import Text

from api.client.answers import Artifact, Page, Task
from api.client.video import video_report_of, video_view
from api.client.wording import (
    NOTHING,
    clean,
    clipped,
    heading,
    lasting,
    line,
    listing,
    local,
    percent,
    size,
    status,
    yuan,
    zone_now,
)

FILES_SHOWN: Final = 24
WAITING: Final = {
    "assigned": "a GPU server is about to begin",
    "no_online_server": "no GPU server is online yet",
    "no_file_server": "no GPU server that is online has the farm's own files (--media-dir)",
    "no_free_slot": "every GPU server is busy",
    "next": "it is next",
}
REASONS: Final = {
    "user_error": "its input or configuration was wrong",
    "timeout": "it ran longer than it was allowed to",
    "agent_lost": "its GPU server went away",
    "gpu_error": "its GPU failed",
    "agent_refused": "its GPU server refused it",
    "balance_exhausted": "the balance was used up",
    "cancelled_by_user": "its user cancelled it",
    "cancelled_by_admin": "an administrator cancelled it",
    "out_of_memory": "it needed more memory than it may have",
    "output_quota": "it wrote more than it may",
    "internal": "the platform failed",
}


class Bill(Struct, frozen=True, kw_only=True):
    """The balance before the task was submitted and after it was settled, in yuan."""

    before: float
    after: float


def why_waiting(task: Task) -> str:
    """Why a pending task waits, and its place in the queue."""
    parts = []
    if task.pending_reason:
        parts.append(WAITING.get(task.pending_reason, task.pending_reason))
    if task.queue_position is not None and task.pending_reason != "assigned":
        parts.append(f"place {task.queue_position} in the queue")
    return ", ".join(parts) or "waiting for a GPU server"


def why_unsuccessful(task: Task) -> str:
    """Why a task did not complete."""
    return REASONS.get(task.reason or "", task.reason or task.status)


def task_view(
    task: Task,
    *,
    bill: Bill | None = None,
    files: Sequence[str] | None = None,
    server: str = "",
) -> RenderableType:
    """The whole task, on the ``server`` so called.

    ``files`` are where its artifacts were written, if they were.
    """
    parts: list[RenderableType] = [heading(task.title, "bold"), _facts(task, server)]
    if task.error_message:
        parts += [Text(), clean(task.error_message, "red")]
    if task.result:
        parts += [heading("result", "dim"), _result(task)]
    if task.artifacts:
        parts += [heading("files", "dim"), _files(task.artifacts, files)]
    parts += [heading("cost", "dim"), _cost(task, bill)]
    return Group(*parts)


def task_table(page: Page[Task]) -> RenderableType:
    """A page of tasks, with the zone of their times."""
    zone = zone_now()
    table = listing(
        *("id", "title", "status", "done", "cost", "created"),
        right=("done", "cost"),
        narrow=("title",),
    )
    for task in page.items:
        table.add_row(
            clean(task.id),
            clipped(task.title),
            status(task.status),
            f"{task.progress:.0f} %",
            yuan(task.cost),
            f"{task.created_at.astimezone(zone):%m-%d %H:%M}" if task.created_at else NOTHING,
        )
    times = Text(f", times are {datetime.now(zone):%z}", style="dim")
    return Group(table, page_line(page).append_text(times))


def page_line(page: Page[Any]) -> Text:
    """Which page of how many this is."""
    return Text(
        f"page {page.page} of {max(1, page.total_pages)}, {page.total:,} in all", style="dim"
    )


def _facts(task: Task, server: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in _rows(task, server):
        table.add_row(name, text)
    return table


def _rows(task: Task, server: str) -> Iterator[tuple[str, Text]]:
    yield "Task", clean(f"{task.id}  ({task.task_type}, priority {task.priority})")
    phase = f"  ({task.phase})" if task.phase not in {"", task.status} else ""
    yield "Status", Text.assemble(status(task.status), clean(phase))
    if task.status == "pending":
        yield "Waits", clean(why_waiting(task))
    elif task.status == "running":
        yield "Done", Text(percent(task.progress))
    elif task.status != "completed":
        whose = f" (fault: {task.fault})" if task.fault else ""
        yield "Why", clean(f"{why_unsuccessful(task)}{whose}")
    if task.eta and not task.has_ended:
        yield "Expected", Text(local(task.eta))
    if task.description:
        yield "About", clean(task.description)
    yield "Created", Text(local(task.created_at))
    if task.started_at:
        yield "Started", Text(local(task.started_at))
    if task.completed_at:
        yield "Ended", Text(local(task.completed_at))
    if task.gpu_server_id:
        again = f", attempt {task.attempt}" if task.attempt > 1 else ""
        yield "Server", clean(f"{server or task.gpu_server_id}{again}")
    for attempt in task.attempts[:-1]:
        why = REASONS.get(attempt.reason or "", attempt.reason or attempt.outcome or NOTHING)
        yield f"Attempt {attempt.attempt}", clean(why)


def _result(task: Task) -> RenderableType:
    report = video_report_of(task.result) if task.task_type == "video_analysis" else None
    if report is not None:
        return video_view(report)
    return JSON(json.dumps(task.result, ensure_ascii=True))  # no character can steer a terminal


def _files(artifacts: Sequence[Artifact], written: Sequence[str] | None) -> RenderableType:
    if written is not None:
        shown = [line(path) for path in written]
    else:
        shown = [clean(f"{file.name}  {size(file.size_bytes)}") for file in artifacts]
    rest = len(shown) - FILES_SHOWN
    more = [Text(f"… and {rest} more", style="dim")] if rest > 0 else []
    return Group(*shown[:FILES_SHOWN], *more)


def _cost(task: Task, bill: Bill | None) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="dim")
    price = "" if task.price_per_minute is None else f"{yuan(task.price_per_minute)} a minute"
    if task.has_ended or task.run_seconds:
        table.add_row("Ran", lasting(task.run_seconds), "")
    table.add_row("Cost", yuan(task.cost), price if task.has_ended else f"so far, {price}")
    if not task.has_ended and task.hold:
        table.add_row("Held", yuan(task.hold), "set aside; what is not used comes back")
    if bill is not None:
        table.add_row("Balance before", yuan(bill.before), "")
        table.add_row("Balance after", yuan(bill.after), "")
    return table
