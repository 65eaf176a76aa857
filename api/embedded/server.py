"""One engine kept running: started, stopped, killed in tests, started again after a crash."""

import signal
import threading
from pathlib import Path
from typing import Protocol

from api.embedded.child import Child, Launch, stop_orphans, wait_until
from api.embedded.failure import StackFailed

START_DEADLINE_S = 120.0  # crash recovery replays up to `max_wal_size` of log


class Engine(Protocol):
    """What is particular to PostgreSQL or to NATS."""

    name: str
    process_name: str
    stop_signal: signal.Signals

    @property
    def directory(self) -> Path:
        """Where its processes work; theirs alone."""

    def prepare(self) -> Launch:
        """Write what the server reads at its start; called again before each restart."""

    def is_ready(self, pid: int) -> bool:
        """Whether the server with this process id takes work."""

    def settle(self) -> None:
        """What must hold before anybody uses it: roles, databases."""


class Server:
    """The life of one engine's process. Every method may be called from any thread."""

    def __init__(self, engine: Engine) -> None:
        self.name = engine.name
        self._engine = engine
        self._child: Child | None = None
        self._changing = threading.Lock()
        self._wanted = threading.Event()

    @property
    def pid(self) -> int | None:
        """The process id of the running server."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        """Run the server, ending what an earlier parent left; returns when it takes work.

        Raises:
            StackFailed: it would not start; the message carries the end of its log.
        """
        self._wanted.set()
        self._run()

    def restart(self) -> None:
        """Start again after a crash, unless the server was stopped meanwhile.

        Raises:
            StackFailed: as ``start``.
        """
        if self._wanted.is_set():
            self._run()

    def stop(self) -> None:
        """End the server and wait for it; harmless when it does not run."""
        self._wanted.clear()
        with self._changing:
            if self._child is not None:
                self._child.stop()
                self._child = None

    def kill(self) -> None:
        """``kill -9``: for tests of what survives it. ``crash`` then tells of it."""
        assert self._child is not None, "kill() wants a running server"
        self._child.kill()

    def crash(self) -> int | None:
        """The exit code of a server that ended though nobody stopped it, else None."""
        with self._changing:
            if self._child is None or not self._wanted.is_set():
                return None
            return self._child.exit_code()

    def log_tail(self) -> str:
        """The last lines of the server's log."""
        return "" if self._child is None else self._child.log_tail()

    def _run(self) -> None:
        with self._changing:
            if self._child is not None:
                if self._child.exit_code() is None:
                    return
                self._child = None
            engine = self._engine
            stop_orphans(engine.directory, engine.process_name, engine.stop_signal)
            child = Child(engine.prepare())
            try:
                self._await_ready(child)
                engine.settle()
            except BaseException:
                child.stop()
                raise
            self._child = child

    def _await_ready(self, child: Child) -> None:
        def settled() -> bool:
            return (
                child.exit_code() is not None
                or not self._wanted.is_set()
                or self._engine.is_ready(child.pid)
            )

        in_time = wait_until(settled, deadline_s=START_DEADLINE_S)
        if not self._wanted.is_set():
            raise StackFailed(f"{self.name} was stopped while it started")
        code = child.exit_code()
        if code is not None:
            raise StackFailed(
                f"{self.name} ended at its start (exit {code}). Its log says:\n"
                f"{child.log_tail()}"
            )
        if not in_time:
            raise StackFailed(
                f"{self.name} took no work within {START_DEADLINE_S:.0f} s. Its log says:\n"
                f"{child.log_tail()}"
            )
