"""The child process of a task: takes one, runs it, says how it went.

Runs the executor in the main thread, so that a signal can interrupt it; a second thread listens
to the agent, a third forwards what the task prints. When the agent is gone the child ends its
whole session: nothing of a task outlives the agent that answers for it.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Final

from msgspec import Struct

from gpu_agent.child_output import OutputPipe
from gpu_agent.child_protocol import (
    LINE_CHARACTERS_MAX,
    TO_CHILD,
    Done,
    Failure,
    Fetch,
    Fetched,
    FetchFailed,
    FromChild,
    Line,
    Progress,
    Run,
    Stop,
    Stopped,
    line,
)
from gpu_agent.executors import Executor, Level, TaskFailed, TaskStopped, load_executors

PROGRESS_EVERY_S: Final = 0.1


class ChildSession:
    """One child's talk with the agent, task after task; the context that an executor sees."""

    workspace: Path
    artifacts: Path
    gpu_uuids: tuple[str, ...]

    def __init__(self, agent: socket.socket, executors: dict[str, Executor]) -> None:
        self._agent = agent
        self._executors = executors
        self._sending = threading.Lock()
        self._runs: queue.SimpleQueue[Run] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Fetched | FetchFailed] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._running = False
        self._in_send = False
        self._term_pending = False
        self._progress_at = 0.0
        self._output = OutputPipe(self._forward)

    def serve(self) -> None:
        """Run tasks until one leaves this child unfit for another."""
        threading.Thread(target=self._listen, name="agent", daemon=True).start()
        self._output.start()
        while self._serve_one(self._runs.get()):
            pass

    def progress(self, percent: float, note: str = "") -> None:
        """Send the newest figure, at most a few times a second."""
        now = time.monotonic()
        if now - self._progress_at >= PROGRESS_EVERY_S:
            self._progress_at = now
            self._send(Progress(percent=min(100.0, max(0.0, percent)), note=note))

    def output(self, text: str, level: Level = "INFO") -> None:
        """Send lines; an over-long one is cut."""
        for part in text.splitlines() or [""]:
            self._send(Line(text=part[:LINE_CHARACTERS_MAX], level=level))

    def fetch(self, url: str) -> Path:
        """Ask the agent for a file and wait for it."""
        self._send(Fetch(url=url))
        while True:
            self.check()
            with contextlib.suppress(queue.Empty):
                answer = self._answers.get(timeout=0.5)
                if isinstance(answer, FetchFailed):
                    raise TaskFailed(answer.message, answer.reason)
                return Path(answer.path)

    def check(self) -> None:
        """Raise when the agent has said stop."""
        if self._stop.is_set():
            raise TaskStopped

    def _serve_one(self, run: Run) -> bool:
        self.workspace = Path(run.workspace)
        self.artifacts = self.workspace / "artifacts"
        self.gpu_uuids = run.gpu_uuids
        # Before the executor first touches CUDA, which reads it once. Empty hides every device.
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(run.gpu_uuids)
        os.chdir(self.workspace)
        # anew: the task before may have set another
        signal.signal(signal.SIGTERM, self._on_term)
        self._progress_at = 0.0
        try:
            self._running = True
            ended = self._execute(run)
        except TaskStopped:  # the signal came between the executor and here
            ended = Stopped()
        finally:
            self._running = False
        self._output.drain()
        again = isinstance(ended, Done) and ended.reusable and not self._stop.is_set()
        if again:
            os.chdir("/")
        self._send(ended)
        return again

    def _execute(self, run: Run) -> FromChild:
        executor = self._executors.get(run.task_type)
        if executor is None:
            return Failure(message=f"no executor for {run.task_type!r}", reason="internal")
        try:
            result = executor.run(run.config, self)
        except TaskFailed as failed:
            return Failure(message=str(failed), reason=failed.reason)
        except TaskStopped:
            return Stopped()
        except MemoryError:
            return Failure(message="out of memory", reason="out_of_memory")
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            self.output(traceback.format_exc(), "ERROR")
            return Failure(message=f"{type(error).__name__}: {error}", reason="internal")
        return Done(result=dict(result), reusable=executor.reusable)

    def _send(self, message: Struct) -> None:
        """Send from the main thread: a signal waits, or half a message would be out."""
        self._in_send = True
        self._forward_message(message)
        self._in_send = False
        if self._running and self._term_pending:
            raise TaskStopped

    def _forward(self, text: str) -> None:
        self._forward_message(Line(text=text[:LINE_CHARACTERS_MAX]))

    def _forward_message(self, message: Struct) -> None:
        encoded = line(message)
        with self._sending:
            self._agent.sendall(encoded)

    def _listen(self) -> None:
        with self._agent.makefile("rb") as lines:
            for encoded in lines:
                match TO_CHILD.decode(encoded):
                    case Run() as run:
                        self._runs.put(run)
                    case Fetched() | FetchFailed() as answer:
                        self._answers.put(answer)
                    case Stop():
                        self._stop.set()
                        # to the task's own programs too: they share the group
                        os.killpg(0, signal.SIGTERM)
        os.killpg(0, signal.SIGKILL)  # the agent is gone, or wants no more of us

    def _on_term(self, _signal: int, _frame: FrameType | None) -> None:
        if self._in_send:
            self._term_pending = True
        elif self._running:
            raise TaskStopped
        elif not self._stop.is_set():
            os._exit(0)  # idle, and told to go by someone else


def run_child(agent: socket.socket, executors: dict[str, Executor]) -> None:
    """Be a child until the end; the caller exits the process afterwards."""
    ChildSession(agent, executors).serve()


def main() -> None:
    """Inside a sandbox: a fresh interpreter, the socket's descriptor as the one argument."""
    executors, _ = load_executors()
    run_child(socket.socket(fileno=int(sys.argv[1])), executors)
    os._exit(0)


if __name__ == "__main__":
    main()
