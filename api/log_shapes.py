"""Lines of the logs as the API prints them, in pages and in downloads alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from msgspec import Struct

from api.action_texts import title
from api.envelope import shown
from api.log_texts import said, shown_data
from api.messages import Language
from api.system_log_lines import Level
from api.system_log_pages import SystemLogLine
from projections.task_logs import LogLine
from projections.user_action_pages import UserAction
from projections.user_actions import NOBODY


class TaskLogLine(Struct, kw_only=True):
    """One line: an event of the platform, or what the task itself wrote.

    ``position`` and ``event_id`` name the event in its log.
    """

    timestamp: datetime | None
    level: Level
    source: Literal["event", "output"]
    message: str
    attempt: int
    actor: str
    event: str | None
    data: dict[str, Any] | None
    position: int
    event_id: str


class DayTaskLine(TaskLogLine, kw_only=True):
    """A line in a download, where the lines of many tasks stand together."""

    task_id: UUID


class SystemLine(Struct, kw_only=True):
    """One line of a process: ``message`` as a person reads it, ``fields`` as a program does."""

    id: int
    timestamp: datetime | None
    level: Level
    program: str
    logger: str
    event: str
    message: str
    request_id: str | None
    fields: dict[str, Any]


class ActionLine(Struct, kw_only=True):
    """What somebody did. ``target_…`` is whose account it was done to, if not their own."""

    timestamp: datetime | None
    action: str
    message: str
    user_id: UUID | None
    username: str | None
    target_user_id: UUID | None
    target_username: str | None
    actor: str
    request_id: str
    data: dict[str, Any]
    position: int
    event_id: str


def task_line(line: LogLine, language: Language) -> TaskLogLine:
    """A line of one task's log."""
    return TaskLogLine(**_task_fields(line, language))


def day_task_line(line: LogLine, task_id: UUID, language: Language) -> DayTaskLine:
    """A line of some task's log."""
    return DayTaskLine(task_id=task_id, **_task_fields(line, language))


def _task_fields(line: LogLine, language: Language) -> dict[str, Any]:
    return {
        "timestamp": shown(line.at or line.recorded_at),
        "level": line.level,
        "source": "output" if line.source else "event",
        "message": said(line, language),
        "attempt": line.attempt,
        "actor": line.actor,
        "event": line.tag,
        "data": shown_data(line),
        "position": line.position,
        "event_id": line.event_id,
    }


def system_line(line: SystemLogLine) -> SystemLine:
    """A line of the system log."""
    return SystemLine(
        id=line.line_id,
        timestamp=shown(line.logged_at),
        level=line.level,
        program=line.program,
        logger=line.logger,
        event=line.event,
        message=line.message,
        request_id=line.request_id,
        fields=line.fields,
    )


def action_line(action: UserAction, language: Language) -> ActionLine:
    """A user action; an operator of the machine is nobody's account."""
    return ActionLine(
        timestamp=shown(action.recorded_at),
        action=action.tag,
        message=title(action.tag, language),
        user_id=_somebody(action.actor_id),
        username=action.actor_username,
        target_user_id=_somebody(action.subject_id),
        target_username=action.subject_username,
        actor=action.actor,
        request_id=action.request_id,
        data=action.data,
        position=action.position,
        event_id=action.event_id,
    )


def _somebody(user_id: UUID) -> UUID | None:
    return None if user_id == NOBODY else user_id
