"""The agent's side of one child process: its socket, its workspace, the news of its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path
from typing import Final

import structlog
from msgspec import Struct

from gpu_agent.child_protocol import FROM_CHILD, LINE_LIMIT, FromChild, line

DEATH_TIMEOUT_S: Final = 10.0
_LOG = structlog.get_logger(__name__)


class ChildLost(Exception):
    """The child could not be made, or its end could not be seen."""


class Child:
    """One child process: its socket, its workspace, and the news of its end."""

    def __init__(self, token: int, workspace: Path) -> None:
        loop = asyncio.get_running_loop()
        self.token = token
        self.workspace = workspace
        self.artifacts = workspace / "artifacts"
        self.pid: asyncio.Future[int] = loop.create_future()
        self.exit_code: asyncio.Future[int] = loop.create_future()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def connect(self, ours: socket.socket) -> None:
        """Talk over our end of its socket."""
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=LINE_LIMIT)

    def left_nothing(self) -> bool:
        """Whether its workspace is as it was made: only then may it serve another task."""
        left = [entry.name for entry in os.scandir(self.workspace)]
        return left == [self.artifacts.name] and not any(os.scandir(self.artifacts))

    def send(self, message: Struct) -> None:
        """Send without waiting: what we send is small."""
        assert self._writer is not None
        if not self._writer.is_closing():
            self._writer.write(line(message))

    async def receive(self) -> FromChild | None:
        """The next message; ``None`` once the child is gone or talks nonsense."""
        assert self._reader is not None
        try:
            encoded = await self._reader.readline()
            return FROM_CHILD.decode(encoded) if encoded.endswith(b"\n") else None
        except (ConnectionError, ValueError) as error:  # ValueError: too long, or not ours
            _LOG.warning("child_unreadable", child=self.token, error=str(error))
            return None

    def kill(self) -> None:
        """SIGKILL to everything in its group, and no more waiting for its last words.

        What left the group may hold the other end of its socket for ever.
        """
        if self._writer is not None:
            self._writer.transport.abort()
        if self.pid.done() and not self.pid.cancelled() and not self.exit_code.done():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid.result(), signal.SIGKILL)

    def hang_up(self) -> None:
        """Close its socket: a child that hears this kills its own session."""
        if self._writer is not None:
            self._writer.close()

    async def exit_within(self, patience_s: float) -> int | None:
        """Its exit code if it ends by itself in time."""
        try:
            return await asyncio.wait_for(asyncio.shield(self.exit_code), patience_s)
        except TimeoutError:
            return None

    async def end(self) -> int:
        """Hang up, kill, and give the exit code once nothing of the child is left.

        Raises:
            ChildLost: no proof of its death came in time.
        """
        self.hang_up()
        try:
            async with asyncio.timeout(DEATH_TIMEOUT_S):
                await asyncio.shield(self.pid)
                self.kill()
                return await asyncio.shield(self.exit_code)
        except TimeoutError:
            raise ChildLost(f"child {self.token} has not died") from None
