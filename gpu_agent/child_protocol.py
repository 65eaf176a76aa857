"""What the agent and a task's child process say to each other: JSON, one message a line.

Two sockets: the child's own (`ToChild`, `FromChild`), and the fork server's (`Fork` with the
child's end attached, answered by `Forked` and, at its end, `Exited`).
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec
from msgspec import Struct

from gpu_agent.executors import FailureReason, Level

LINE_LIMIT: Final = 4 << 20
"""The longest message, in bytes; a result is the longest there is."""
LINE_CHARACTERS_MAX: Final = 4_096
"""Of one line of a task's output: the child cuts it, and the agent does not rely on that."""


class Run(Struct, frozen=True, kw_only=True, tag="run"):
    """Run this task in ``workspace``, which exists."""

    task_type: str
    config: dict[str, Any]
    gpu_uuids: tuple[str, ...]
    workspace: str


class Fetched(Struct, frozen=True, kw_only=True, tag="fetched"):
    """The file you asked for is at ``path``."""

    path: str


class FetchFailed(Struct, frozen=True, kw_only=True, tag="fetch_failed"):
    """The file you asked for will not come."""

    message: str
    reason: FailureReason


class Stop(Struct, frozen=True, tag="stop"):
    """End now, in your own way; after the grace there is no way left."""


ToChild: TypeAlias = Run | Fetched | FetchFailed | Stop


class Progress(Struct, frozen=True, kw_only=True, tag="progress"):
    """How far the task is, 0–100."""

    percent: float
    note: str = ""


class Line(Struct, frozen=True, kw_only=True, tag="line"):
    """One line that the task wrote."""

    text: str
    level: Level = "INFO"


class Fetch(Struct, frozen=True, kw_only=True, tag="fetch"):
    """Bring me this file; I wait."""

    url: str


class Done(Struct, frozen=True, kw_only=True, tag="done"):
    """The task succeeded. ``reusable``: this child would take another."""

    result: dict[str, Any]
    reusable: bool


class Failure(Struct, frozen=True, kw_only=True, tag="failure"):
    """The task failed."""

    message: str
    reason: FailureReason


class Stopped(Struct, frozen=True, tag="stopped"):
    """The task ended because it was told to."""


FromChild: TypeAlias = Progress | Line | Fetch | Done | Failure | Stopped


class Fork(Struct, frozen=True, kw_only=True, tag="fork"):
    """Make a child; its end of its socket is attached. ``command``: exec this (a sandbox)."""

    token: int
    workspace: str
    command: tuple[str, ...] = ()
    memory_mib: int | None = None
    file_mib: int | None = None


class Hello(Struct, frozen=True, kw_only=True, tag="hello"):
    """The fork server is up, with these task types; the refused ones say why."""

    task_types: tuple[str, ...]
    refused: dict[str, str]


class Forked(Struct, frozen=True, kw_only=True, tag="forked"):
    """The child of ``token`` is this process, which leads its own session and group."""

    token: int
    pid: int


class Exited(Struct, frozen=True, kw_only=True, tag="exited"):
    """The child is dead and reaped, and nothing of its group is left.

    ``exit_code`` is negative for the signal that killed it.
    """

    token: int
    exit_code: int


FromForkServer: TypeAlias = Hello | Forked | Exited

ENCODER: Final = msgspec.json.Encoder()
TO_CHILD: Final = msgspec.json.Decoder(ToChild)
FROM_CHILD: Final = msgspec.json.Decoder(FromChild)
FORK: Final = msgspec.json.Decoder(Fork)
FROM_FORK_SERVER: Final = msgspec.json.Decoder(FromForkServer)


def line(message: Struct) -> bytes:
    """``message`` as it travels."""
    return ENCODER.encode(message) + b"\n"
