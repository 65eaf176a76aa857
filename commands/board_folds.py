"""How facts move the board: one fold per fact that matters to who runs what, where."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from commands.board import Attempt, Board, OpenTask
from domain.envelope import Actor, Recorded
from domain.fleet.events import (
    EnrolmentTokenIssued,
    GpuFailed,
    GpuRecovered,
    ServerCameOnline,
    ServerChanged,
    ServerDrained,
    ServerEnrolled,
    ServerRegistered,
    ServerRemoved,
    ServerResumed,
    ServerWentOffline,
)
from domain.fleet.server import SERVER
from domain.scheduling.queue import Waiting
from domain.source_url import wants_files
from domain.system.configuration import CONFIGURATION
from domain.system.events import ConfigurationChanged
from domain.tasks.ending import Ending
from domain.tasks.events import (
    TaskAssigned,
    TaskCancelled,
    TaskCancelRequested,
    TaskCompleted,
    TaskFailed,
    TaskRequeued,
    TaskRetried,
    TaskStarted,
    TaskSubmitted,
    TaskSubmittedInClear,
)
from domain.tasks.submission import gpu_memory_for
from domain.wallet.events import HoldExtended

AGENT: Final = str(Actor("agent", ""))
Fold: TypeAlias = Callable[[Board, Recorded[Any]], None]


def fold(board: Board, event: Recorded[Any]) -> None:
    """Move the board on by one event; they come in order, and twice never matters."""
    if event.position <= board.position:
        return
    matters = FOLDS.get(type(event.fact))
    if matters is not None:
        matters(board, event)
    board.position = event.position


def _submitted(
    board: Board, event: Recorded[TaskSubmitted] | Recorded[TaskSubmittedInClear]
) -> None:
    fact = event.fact
    task = OpenTask(
        task_id=fact.task_id,
        user_id=fact.user_id,
        priority=fact.priority,
        order=event.position,
        since=event.recorded_at,
        correlation_id=event.correlation_id,
        gpu_memory_mib=gpu_memory_for(fact.config),
        wants_files=wants_files(fact.config),
        price_fen_per_minute=fact.price_fen_per_minute,
        held_fen=fact.hold_fen,
    )
    _wait(board, task, attempt=1)


def _retried(board: Board, event: Recorded[TaskRetried]) -> None:
    fact = event.fact
    task = OpenTask(
        task_id=fact.task_id,
        user_id=fact.user_id,
        priority=fact.priority,
        order=event.position,
        since=event.recorded_at,
        correlation_id=event.correlation_id,
        gpu_memory_mib=fact.gpu_memory_mib,
        wants_files=fact.wants_files,
        price_fen_per_minute=fact.price_fen_per_minute,
        held_fen=fact.hold_fen,
    )
    _wait(board, task, attempt=fact.attempt)


def _requeued(board: Board, event: Recorded[TaskRequeued]) -> None:
    board.take_back(event.fact.task_id, is_over=_says_its_server(event))
    task = board.tasks.get(event.fact.task_id)
    assert task is not None, "an open task was requeued that the board does not know"
    _wait(board, task, attempt=event.fact.attempt)


def _wait(board: Board, task: OpenTask, *, attempt: int) -> None:
    board.tasks[task.task_id] = task
    board.queue.add(
        Waiting(
            task_id=task.task_id,
            user_id=task.user_id,
            attempt=attempt,
            priority=task.priority,
            order=task.order,
            since=task.since,
            correlation_id=task.correlation_id,
            gpu_memory_mib=task.gpu_memory_mib,
            wants_files=task.wants_files,
        )
    )


def _assigned(board: Board, event: Recorded[TaskAssigned]) -> None:
    fact = event.fact
    server = board.servers.get(fact.server_id)
    attempt = Attempt(
        task_id=fact.task_id,
        user_id=fact.user_id,
        attempt=fact.attempt,
        server_id=fact.server_id,
        boot_id=None if server is None else server.boot_id,
        task_type=fact.task_type,
        config=fact.config,
        timeout_s=fact.timeout_s,
        gpu_uuids=fact.gpu_uuids,
        position=event.position,
        correlation_id=event.correlation_id,
        assigned_at=event.recorded_at,
    )
    board.give(attempt)
    if board.on_offer is not None:
        board.on_offer(attempt)


def _started(board: Board, event: Recorded[TaskStarted]) -> None:
    attempt = board.attempts.get(event.fact.task_id)
    if attempt is not None:  # what the agent needed to begin is needed no more
        board.attempts[attempt.task_id] = replace(
            attempt, began_at=event.recorded_at, config={}
        )


def _cancel_requested(board: Board, event: Recorded[TaskCancelRequested]) -> None:
    attempt = board.attempts.get(event.fact.task_id)
    if attempt is not None:
        stopping = replace(attempt, cancel_requested_at=event.recorded_at, config={})
        board.attempts[attempt.task_id] = stopping
        if board.on_offer is not None:
            board.on_offer(stopping)


def _ended(board: Board, event: Recorded[Ending]) -> None:
    task_id = event.fact.task_id
    board.queue.discard(task_id)
    board.unreserve(task_id)
    board.take_back(task_id, is_over=_says_its_server(event))
    board.tasks.pop(task_id, None)


def _says_its_server(event: Recorded[Any]) -> bool:
    """Whether an attempt ended by its agent's report: then its process is dead."""
    return event.actor.startswith(AGENT)


def _held(board: Board, event: Recorded[HoldExtended]) -> None:
    task = board.tasks.get(event.fact.task_id)
    if task is not None:
        held_fen = task.held_fen + event.fact.amount_fen
        board.tasks[task.task_id] = replace(task, held_fen=held_fen)


def _server(board: Board, event: Recorded[Any]) -> None:
    server_id = event.fact.server_id
    server = SERVER.evolve(board.servers.get(server_id), event.fact)
    assert server is not None, "a server's fact always leaves a server"
    board.servers[server_id] = server
    board.touched.add(server_id)


def _came_online(board: Board, event: Recorded[ServerCameOnline]) -> None:
    _server(board, event)
    for key in [key for key in board.gpu_failed_at if key[0] == event.fact.server_id]:
        del board.gpu_failed_at[key]


def _gpu_failed(board: Board, event: Recorded[GpuFailed]) -> None:
    _server(board, event)
    key = (event.fact.server_id, event.fact.gpu_uuid)
    board.gpu_failed_at[key] = event.recorded_at


def _gpu_recovered(board: Board, event: Recorded[GpuRecovered]) -> None:
    _server(board, event)
    board.gpu_failed_at.pop((event.fact.server_id, event.fact.gpu_uuid), None)


def _configured(board: Board, event: Recorded[ConfigurationChanged]) -> None:
    board.configuration = CONFIGURATION.evolve(board.configuration, event.fact)


FOLDS: Final[dict[type, Fold]] = {
    TaskSubmitted: _submitted,
    TaskSubmittedInClear: _submitted,
    TaskRetried: _retried,
    TaskRequeued: _requeued,
    TaskAssigned: _assigned,
    TaskStarted: _started,
    TaskCancelRequested: _cancel_requested,
    TaskCompleted: _ended,
    TaskFailed: _ended,
    TaskCancelled: _ended,
    HoldExtended: _held,
    ServerRegistered: _server,
    EnrolmentTokenIssued: _server,
    ServerEnrolled: _server,
    ServerCameOnline: _came_online,
    ServerWentOffline: _server,
    GpuFailed: _gpu_failed,
    GpuRecovered: _gpu_recovered,
    ServerDrained: _server,
    ServerResumed: _server,
    ServerChanged: _server,
    ServerRemoved: _server,
    ConfigurationChanged: _configured,
}
