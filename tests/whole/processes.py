"""The programs of the platform as child processes, to be killed at any moment."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx

PATIENCE_S = 40.0
POLL_S = 0.05


class Process:
    """One program; its log is kept for the message of a failed test."""

    def __init__(
        self, name: str, argv: list[str], settings: dict[str, str], logs: Path
    ) -> None:
        self.name = name
        self._argv = [sys.executable, "-m", *argv]
        self._environment = {
            name: value for name, value in os.environ.items() if not name.startswith("OWL_")
        } | settings
        self._log_path = logs / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """The number of the running process."""
        return None if self._child is None else self._child.pid

    def start(self) -> None:
        with self._log_path.open("ab") as log:
            self._child = subprocess.Popen(
                self._argv,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """``kill -9``: no chance to tidy up."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """As an operator would."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def log_tail(self) -> str:
        if not self._log_path.exists():
            return ""
        return self._log_path.read_text(encoding="utf-8", errors="replace")[-4000:]

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(ProcessLookupError):
            child.send_signal(number)
        try:
            child.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise


def wait_for(
    condition: Callable[[], object], about: str, *, within_s: float = PATIENCE_S
) -> object:
    """What ``condition`` gives as soon as it is true."""
    deadline = time.monotonic() + within_s
    while True:
        with suppress(httpx.HTTPError, LookupError):
            if found := condition():
                return found
        assert time.monotonic() < deadline, f"not within {within_s:.0f} s: {about}"
        time.sleep(POLL_S)
