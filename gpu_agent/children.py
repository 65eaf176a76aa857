"""The agent's side of its child processes: the fork server, and a few children kept warm.

A warm child waits, already forked (and inside its sandbox), for a task: taking one costs a
message. The pool refills behind it. If the fork server dies, its children die with it, and the
next child starts another fork server.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Coroutine
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from gpu_agent.child_handle import DEATH_TIMEOUT_S, Child, ChildLost
from gpu_agent.child_protocol import (
    FROM_FORK_SERVER,
    Exited,
    Fork,
    Forked,
    Hello,
    line,
)
from gpu_agent.sandbox import child_environment, sandbox_command

START_TIMEOUT_S: Final = 60.0
"""For the fork server to import every plugin, on a busy machine."""
_LOG = structlog.get_logger(__name__)


class Config(Struct, frozen=True, kw_only=True):
    """``workspaces`` is emptied at the start; nobody else may use it."""

    workspaces: Path
    bwrap: str | None = None
    readable: tuple[Path, ...] = ()
    """Directories that a sandboxed task may read: the operator's media."""
    standby: int = 1
    reused: int = 64
    """How many reusable children may wait for their next task."""
    memory_mib: int | None = None
    file_mib: int | None = 16_384


class Children:
    """Makes children and keeps some warm."""

    def __init__(self, config: Config) -> None:
        self.hello = Hello(task_types=(), refused={})
        """The task types that run here, from the fork server's greeting."""
        self._config = config
        self._tokens = itertools.count(1)
        self._known: dict[int, Child] = {}
        self._warm: deque[Child] = deque()
        self._background: set[asyncio.Task[None]] = set()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._greeted: asyncio.Future[Hello] | None = None
        self._pending = b""
        self._closing = False

    @property
    def sandbox(self) -> str:
        """What stands around a task: ``bubblewrap`` or ``none``."""
        return "none" if self._config.bwrap is None else "bubblewrap"

    async def start(self) -> None:
        """Start the fork server and warm the pool; must run in the main thread.

        The kernel ties the fork server's life to the thread that started it.
        """
        shutil.rmtree(self._config.workspaces, ignore_errors=True)
        self._config.workspaces.mkdir(parents=True, mode=0o700)
        await self._start_server()
        self._refill()

    async def take(self) -> Child:
        """A child ready for a task: a warm one, else a new one.

        Raises:
            ChildLost: the fork server does not answer.
        """
        while self._warm:
            child = self._warm.pop()
            self._refill()
            if not child.exit_code.done():
                return child
        return await self._make()

    def give_back(self, child: Child) -> None:
        """Keep a child that is fit for another task."""
        if self._closing or len(self._warm) >= self._config.reused:
            self.dismiss(child)
        else:
            self._warm.append(child)

    def dismiss(self, child: Child) -> None:
        """End a child in the background and remove its workspace."""
        self._spawn(self._end(child))

    async def close(self) -> None:
        """End every child, then the fork server."""
        self._closing = True
        while self._background:  # a child that is being made is known only afterwards
            await asyncio.wait(self._background)
        for child in list(self._known.values()):
            self.dismiss(child)
        while self._background:
            await asyncio.wait(self._background)
        self._lose_server(expected=True)
        while self._background:
            await asyncio.wait(self._background)

    async def _start_server(self) -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with theirs:
            self._server = subprocess.Popen(  # noqa: ASYNC220 - short, and bound to this thread
                [
                    sys.executable, "-m", "gpu_agent.forkserver",
                    str(theirs.fileno()), str(os.getpid()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=child_environment(self._config.workspaces),
                cwd=self._config.workspaces,
            )  # fmt: skip
        ours.setblocking(False)
        self._pending = b""
        self._greeted = loop.create_future()
        self._control = ours
        loop.add_reader(ours, self._hear)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                self.hello = await asyncio.shield(self._greeted)
        except TimeoutError:
            self._lose_server()
            raise ChildLost("the fork server did not start in time") from None

    async def _make(self) -> Child:
        if self._control is None:
            await self._start_server()
        elif self._greeted is not None and not self._greeted.done():
            await asyncio.shield(self._greeted)
        token = next(self._tokens)
        workspace = self._config.workspaces / str(token)
        child = Child(token, workspace)
        child.artifacts.mkdir(mode=0o700, parents=True)
        self._known[token] = child
        ours, theirs = socket.socketpair()
        with theirs:
            await child.connect(ours)
            self._request(self._fork(token, workspace), theirs)
        return child

    def _fork(self, token: int, workspace: Path) -> Fork:
        command: tuple[str, ...] = ()
        if self._config.bwrap is not None:
            walls = sandbox_command(
                self._config.bwrap, workspace=workspace, readable=self._config.readable
            )
            command = (*walls, sys.executable, "-m", "gpu_agent.child")
        return Fork(
            token=token,
            workspace=str(workspace),
            command=command,
            memory_mib=self._config.memory_mib,
            file_mib=self._config.file_mib,
        )

    def _request(self, fork: Fork, descriptor: socket.socket) -> None:
        if self._control is None:
            raise ChildLost("the fork server is gone")
        try:
            socket.send_fds(self._control, [line(fork)], [descriptor.fileno()])
        except OSError as error:
            self._lose_server()
            raise ChildLost(f"the fork server does not listen: {error}") from error

    def _hear(self) -> None:
        assert self._control is not None
        try:
            chunk = self._control.recv(65_536)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            self._lose_server()
            return
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        for encoded in lines:
            match FROM_FORK_SERVER.decode(encoded):
                case Hello() as hello:
                    if self._greeted is not None and not self._greeted.done():
                        self._greeted.set_result(hello)
                case Forked(token=token, pid=pid):
                    self._known[token].pid.set_result(pid)
                case Exited(token=token, exit_code=exit_code):
                    self._bury(self._known.pop(token), exit_code)

    def _bury(self, child: Child, exit_code: int) -> None:
        if not child.pid.done():
            child.pid.set_result(0)
        child.exit_code.set_result(exit_code)
        # One that runs a task is not hung up on: its last words may still be in the socket.
        if child in self._warm:
            self._warm.remove(child)
            child.hang_up()

    def _lose_server(self, *, expected: bool = False) -> None:
        """The fork server is gone, and with it, by the kernel's word, all its children."""
        control, self._control = self._control, None
        server, self._server = self._server, None
        if control is None or server is None:
            return
        asyncio.get_running_loop().remove_reader(control)
        control.close()
        if self._greeted is not None and not self._greeted.done():
            self._greeted.set_exception(ChildLost("the fork server did not start"))
            self._greeted.exception()  # seen: nobody has to be waiting for it
        if not expected:
            _LOG.error("fork_server_lost", exit_code=server.poll())
            server.kill()
        self._spawn(_reap(server))
        known, self._known = self._known, {}
        for child in known.values():
            self._bury(child, -signal.SIGKILL)

    def _refill(self) -> None:
        if (
            not self._closing
            and not self._background
            and len(self._warm) < self._config.standby
        ):
            self._spawn(self._warm_up())

    async def _warm_up(self) -> None:
        while len(self._warm) < self._config.standby and not self._closing:
            try:
                self._warm.appendleft(await self._make())
            except ChildLost as lost:
                _LOG.error("no_warm_child", error=str(lost))
                return

    async def _end(self, child: Child) -> None:
        try:
            await child.end()
        except ChildLost as lost:
            _LOG.error("child_will_not_die", error=str(lost))
            return
        await asyncio.to_thread(shutil.rmtree, child.workspace, ignore_errors=True)

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _reap(server: subprocess.Popen[bytes]) -> None:
    """Wait for a fork server that hears no more from us: it buries its children and ends."""
    try:
        await asyncio.to_thread(server.wait, DEATH_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        _LOG.error("fork_server_will_not_die", pid=server.pid)
        server.kill()
