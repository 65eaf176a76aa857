"""The contract of an executor: the plugin that knows how to run one task type.

A distribution offers one under the entry-point group ``owl_factory.executors``; the entry's
name is the task type, its object an `Executor`. It runs in a child process that owns nothing:
no network, no credentials, only its workspace and the devices it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Final, Literal, Protocol

ENTRY_POINT_GROUP: Final = "owl_factory.executors"

Level = Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
FailureReason = Literal[
    "user_error", "timeout", "gpu_error", "out_of_memory", "output_quota", "internal"
]


class TaskFailed(Exception):
    """The task cannot succeed, and this is why; ``user_error`` when its input is at fault."""

    def __init__(self, message: str, reason: FailureReason = "user_error") -> None:
        super().__init__(message)
        self.reason: FailureReason = reason


class TaskContext(Protocol):
    """What a running task may use. All of it may be called from the running thread only."""

    workspace: Path
    """An empty directory of its own, removed after the task."""
    artifacts: Path
    """Files left here travel to the artifact store when the task completes."""
    gpu_uuids: tuple[str, ...]
    """The devices assigned; ``CUDA_VISIBLE_DEVICES`` already says the same."""

    def progress(self, percent: float, note: str = "") -> None:
        """Say how far the task is, 0–100. Cheap: most calls are dropped on the way."""
        ...

    def output(self, text: str, level: Level = "INFO") -> None:
        """Write to the task's log; so do plain prints."""
        ...

    def fetch(self, url: str) -> Path:
        """Have the agent bring a file: the task itself has no network.

        Raises:
            TaskFailed: the address is not allowed, or gave nothing usable.
        """
        ...

    def check(self) -> None:
        """Return unless the task is to stop; call it once per batch of work.

        Raises:
            TaskStopped: leave, letting it pass.
        """
        ...


class TaskStopped(BaseException):
    """The task is to end now. Like ``KeyboardInterrupt``: no ``except Exception`` eats it."""


class Executor(Protocol):
    """Runs one task type. Stateless: many tasks may pass through one instance."""

    reusable: bool
    """Whether the child may serve another task after a clean end. Only for an executor that
    holds on to nothing: no device memory, no open files, no threads."""

    def run(self, config: dict[str, Any], context: TaskContext) -> Mapping[str, Any]:
        """Do the work and give the result, as JSON-compatible values.

        Raises:
            TaskFailed: it cannot be done.
        """
        ...


def load_executors() -> tuple[dict[str, Executor], dict[str, str]]:
    """The executors that load, and why the others do not, each by task type.

    One broken plugin must not take the host away from the other task types.
    """
    loaded: dict[str, Executor] = {}
    refused: dict[str, str] = {}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: entry.name):
        try:
            executor = entry.load()
        except Exception as error:  # noqa: BLE001 - a plugin's import may raise anything
            refused[entry.name] = f"{type(error).__name__}: {error}"
            continue
        if loaded.setdefault(entry.name, executor) is not executor:
            refused[entry.name] = f"offered twice; {entry.value} was left out"
    return loaded, refused
