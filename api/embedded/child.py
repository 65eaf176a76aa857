"""A server process as our direct child: polled, stopped by its signal, dead when we are.

Law: this file alone starts processes that outlive a call, and alone sends signals.

Death of the parent. Beside each server stands a guardian, a shell blocked on a pipe that only
we hold open. However we die, ``kill -9`` included, the pipe closes and the guardian stops the
server. (``PR_SET_PDEATHSIG`` is Linux only and follows the starting thread, not the process.)
A server whose guardian was killed as well is an orphan; ``stop_orphans`` ends it at the next
start.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from msgspec import Struct

from api.embedded.account import ServerAccount
from api.embedded.failure import StackFailed

# `read` fails at the end of the pipe, that is, when we are gone; a line means "it has ended".
GUARDIAN = 'trap \'\' HUP INT QUIT TERM; read -r _ || kill -s "$1" "$2"'
STOP_PATIENCE_S = 30.0  # a fast shutdown writes a checkpoint first
QUIT_PATIENCE_S = 5.0
KILL_PATIENCE_S = 5.0
POLL_S = 0.02
LOG_LIMIT_BYTES = 8 * 1024 * 1024
LOG_TAIL_BYTES = 4096


class Launch(Struct, frozen=True, kw_only=True):
    """How a server is started. ``cwd`` is its own directory: by it an orphan is recognised.

    ``environment`` None: only what a server needs.
    """

    argv: tuple[str, ...]
    cwd: Path
    log_path: Path
    stop_signal: signal.Signals
    account: ServerAccount | None
    environment: dict[str, str] | None = None


class Child:
    """One run of a server, from its start to its end."""

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        account = launch.account
        rotate(launch.log_path)
        with launch.log_path.open("ab") as log:
            self._server = subprocess.Popen(
                launch.argv,
                cwd=launch.cwd,
                env=server_environment() if launch.environment is None else launch.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                user=None if account is None else account.user,
                group=None if account is None else account.group,
                extra_groups=None if account is None else [],
                umask=0o077,
                # Ctrl-C in a terminal reaches the whole foreground group: the servers must
                # outlive the last commit, so they are stopped by us, in order.
                start_new_session=True,
            )
        self._guardian = subprocess.Popen(
            ["/bin/sh", "-c", GUARDIAN, "owl-guardian", self._stop_name, str(self.pid)],
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,  # nobody's pipe is held open by it
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._server.pid

    def exit_code(self) -> int | None:
        """How the server ended (negative: by that signal), None while it runs."""
        code = self._server.poll()
        if code is not None:
            self._dismiss_guardian()
        return code

    def stop(self) -> None:
        """End the server: its own signal first, then harder ones, each with its patience."""
        for number, patience_s in stop_ladder(self._launch.stop_signal):
            if self._server.poll() is not None:
                break
            self._server.send_signal(number)
            with suppress(subprocess.TimeoutExpired):
                self._server.wait(patience_s)
        self._dismiss_guardian()

    def kill(self) -> None:
        """``kill -9``, as a test of recovery: the server has no chance to tidy up."""
        self._server.kill()
        self._server.wait(KILL_PATIENCE_S)

    def log_tail(self) -> str:
        """The last lines the server wrote, for a message."""
        return log_tail(self._launch.log_path)

    @property
    def _stop_name(self) -> str:
        return self._launch.stop_signal.name.removeprefix("SIG")

    def _dismiss_guardian(self) -> None:
        pipe = self._guardian.stdin
        if pipe is None or pipe.closed:
            return
        with suppress(BrokenPipeError):
            pipe.write(b"ended\n")
            pipe.flush()
        with suppress(BrokenPipeError):
            pipe.close()
        self._guardian.wait(KILL_PATIENCE_S)


def wait_until(ready: Callable[[], bool], *, deadline_s: float) -> bool:
    """Poll ``ready`` until it holds or the time is over; says which."""
    end = time.monotonic() + deadline_s
    while not ready():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_S)
    return True


def servers_in(directory: Path, name: str) -> list[psutil.Process]:
    """Live processes called ``name``, or Python's that run it, that work in ``directory``.

    A zombie is no server: where process 1 does not reap, dead orphans stay listed for ever.
    """
    found = []
    for process in psutil.process_iter(["name", "status"]):
        with suppress(psutil.Error):
            if (
                process.info["status"] != psutil.STATUS_ZOMBIE
                and Path(process.cwd()) == directory
                and (
                    process.info["name"].startswith(name)
                    or process.cmdline()[1:3] == ["-m", name]
                )
            ):
                found.append(process)
    return found


def stop_orphans(directory: Path, name: str, stop_signal: signal.Signals) -> int:
    """End what an earlier parent left running in ``directory``; returns how many processes.

    Raises:
        StackFailed: they would not end.
    """
    orphans = servers_in(directory, name)
    if not orphans:
        return 0
    for number, patience_s in stop_ladder(stop_signal):
        for process in orphan_leaders(servers_in(directory, name)):
            with suppress(psutil.Error):
                process.send_signal(number)
        if wait_until(lambda: not servers_in(directory, name), deadline_s=patience_s):
            return len(orphans)
    raise StackFailed(
        f"{name} of an earlier run still works in {directory} (process {orphans[0].pid}) and"
        " does not end: stop it by hand, then start again."
    )


def orphan_leaders(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those whose parent is not among them: a postmaster ends its own backends."""
    pids = {process.pid for process in processes}
    leaders = []
    for process in processes:
        with suppress(psutil.Error):
            if process.ppid() not in pids:
                leaders.append(process)
    return leaders


def stop_ladder(first: signal.Signals) -> tuple[tuple[signal.Signals, float], ...]:
    """The signals that end a server, and the seconds each is given."""
    return (
        (first, STOP_PATIENCE_S),
        (signal.SIGQUIT, QUIT_PATIENCE_S),
        (signal.SIGKILL, KILL_PATIENCE_S),
    )


def server_environment() -> dict[str, str]:
    """Only what a server needs: none of the caller's PGDATA or PGPORT may steer it."""
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def rotate(log_path: Path) -> None:
    """Keep one older log, so that years of restarts fit on the disk."""
    with suppress(FileNotFoundError):
        if log_path.stat().st_size > LOG_LIMIT_BYTES:
            log_path.replace(log_path.with_name(f"{log_path.name}.1"))


def log_tail(log_path: Path) -> str:
    """The end of a log, or nothing when there is none."""
    with suppress(FileNotFoundError), log_path.open("rb") as log:
        log.seek(max(0, log_path.stat().st_size - LOG_TAIL_BYTES))
        return log.read().decode(errors="replace").strip()
    return ""
