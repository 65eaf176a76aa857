"""The process that makes children, quickly, and sees to their end.

It has one thread and has imported every executor, so a child is a fork (milliseconds) rather
than the start of an interpreter (a good part of a second). It is also the undertaker: a child's
end is reported only when it is reaped and nothing of its group, nor anything that slipped out
of the group, is left. When the agent dies, by whatever means, it kills all and goes.
"""

from __future__ import annotations

import ctypes
import gc
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgspec import Struct

from gpu_agent.child import run_child
from gpu_agent.child_protocol import FORK, Exited, Fork, Forked, Hello, line
from gpu_agent.executors import Executor, load_executors
from gpu_agent.sandbox import limit_process

REQUEST_BYTES: Final = 1 << 20
TICK_S: Final = 1.0
DYING_TICK_S: Final = 0.002
MOST_DESCRIPTORS: Final = 32
LAST_RITES_S: Final = 5.0

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_CHILD_SUBREAPER: Final = 36


class _Ending(Struct):
    """A reaped child whose group may still have members."""

    token: int
    exit_code: int


class ForkServer:
    """Serves one agent over ``control`` until it goes."""

    def __init__(self, control: socket.socket, executors: dict[str, Executor]) -> None:
        self._control = control
        self._executors = executors
        self._living: dict[int, int] = {}
        self._ending: dict[int, _Ending] = {}
        self._descriptors: list[int] = []
        self._pending = b""
        self._woken, wake = os.pipe()
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Fork and bury until the agent is gone."""
        while self._step():
            pass
        for pid in self._living:
            _kill_group(pid)
        until = time.monotonic() + LAST_RITES_S
        while (self._living or self._ending) and time.monotonic() < until:
            self._bury()
            time.sleep(DYING_TICK_S)

    def _step(self) -> bool:
        patience_s = DYING_TICK_S if self._ending else TICK_S
        control = self._control.fileno()
        ready, _, _ = select.select([control, self._woken], [], [], patience_s)
        if self._woken in ready:
            os.read(self._woken, 4096)
        if control in ready and not self._take_requests():
            return False
        self._bury()
        return True

    def _take_requests(self) -> bool:
        try:
            chunk, descriptors, _, _ = socket.recv_fds(
                self._control, REQUEST_BYTES, MOST_DESCRIPTORS
            )
        except OSError:
            return False
        self._descriptors.extend(descriptors)
        *requests, self._pending = (self._pending + chunk).split(b"\n")
        for request in requests:
            self._fork(FORK.decode(request), self._descriptors.pop(0))
        return bool(chunk)

    def _fork(self, request: Fork, descriptor: int) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become_child(request, descriptor, parent)
        os.close(descriptor)
        self._living[pid] = request.token
        self._send(Forked(token=request.token, pid=pid))

    def _become_child(self, request: Fork, descriptor: int, parent: int) -> None:
        try:
            os.setsid()
            die_with(parent)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.close(self._woken)
            self._control.close()
            os.chdir(request.workspace)
            limit_process(memory_mib=request.memory_mib, file_mib=request.file_mib)
            if request.command:
                os.set_inheritable(descriptor, True)
                os.execv(request.command[0], [*request.command, str(descriptor)])  # noqa: S606
            os.environ.update(HOME=request.workspace, TMPDIR=request.workspace)
            run_child(socket.socket(fileno=descriptor), self._executors)
        except BaseException as error:  # noqa: BLE001 - this process must never go on as a server
            os.write(2, f"child of task: {error!r}\n".encode())
            os._exit(70)  # EX_SOFTWARE
        os._exit(0)

    def _bury(self) -> None:
        """Reap, kill what a dead child left behind, and report those that left nothing."""
        with suppress(ChildProcessError):
            while (reaped := os.waitpid(-1, os.WNOHANG))[0]:
                pid, status = reaped
                token = self._living.pop(pid, None)
                if token is not None:
                    _kill_group(pid)
                    self._ending[pid] = _Ending(token, os.waitstatus_to_exitcode(status))
        strays = [pid for pid in _own_children() if pid not in self._living]
        for pid in strays:  # left its group and lost its parent: nobody answers for it any more
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in [pid for pid in self._ending if not strays and not _group_exists(pid)]:
            ending = self._ending.pop(pid)
            self._send(Exited(token=ending.token, exit_code=ending.exit_code))

    def _send(self, message: Struct) -> None:
        with suppress(OSError):  # the agent is gone: the next read says so
            self._control.sendall(line(message))


def die_with(parent: int) -> None:
    """Have the kernel kill this process when ``parent`` ends, however it ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(0)  # it ended before the kernel knew our wish


def _adopt_orphans() -> None:
    """Become the parent of whatever a task's programs leave behind (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _own_children() -> list[int]:
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return []  # not Linux: nothing is adopted there either
    return [int(pid) for pid in text.split()]


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _group_exists(pid: int) -> bool:
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def main() -> None:
    """``python -m gpu_agent.forkserver DESCRIPTOR PARENT``."""
    die_with(int(sys.argv[2]))
    _adopt_orphans()
    for ignored in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # a terminal's Ctrl-C is the agent's to hear
        signal.signal(ignored, signal.SIG_IGN)
    control = socket.socket(fileno=int(sys.argv[1]))
    executors, refused = load_executors()
    control.sendall(line(Hello(task_types=tuple(executors), refused=refused)))
    gc.collect()
    gc.freeze()  # what is loaded now is shared by every child, page by page
    ForkServer(control, executors).serve()


if __name__ == "__main__":
    main()
