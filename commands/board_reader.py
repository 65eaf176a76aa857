"""Keeps this process's board up to date with the log; led by nobody, always running."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
import structlog
from msgspec import Struct

from commands.board import Board, Snapshot
from commands.board_folds import fold
from commands.checkpoints import Checkpoints
from commands.signals import LocalSignal
from domain.envelope import Fence, Recorded
from domain.ports import EventFeed, Signal

LOG = structlog.get_logger(__name__)

CHECKPOINT: Final = "board/2"
"""Another number makes every process fold the log anew: change it when a fold changes."""

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Snapshot)


class RecentFeed(EventFeed, Protocol):
    """A feed that can tell without blocking what it has at hand."""

    def recent(self, after: int, limit: int) -> Sequence[Recorded[Any]]:
        """As ``read``, from memory alone; empty when that does not hold what follows."""
        ...


class Config(Struct, frozen=True, kw_only=True):
    """How much is read at a time, how often it looks unasked, how often it keeps its state."""

    batch: int = 2_000
    poll_s: float = 0.1
    snapshot_every: int = 20_000
    catch_up_max_s: float = 120.0


class BoardReader:
    """Folds the log onto the board and tells ``folded`` how far it is."""

    name = "board"

    def __init__(
        self,
        board: Board,
        feed: RecentFeed,
        committed: Signal,
        checkpoints: Checkpoints,
        config: Config | None = None,
    ) -> None:
        self.board = board
        self.folded = LocalSignal()
        self._feed = feed
        self._committed = committed
        self._checkpoints = checkpoints
        self._config = Config() if config is None else config
        self._kept_at = 0

    async def run(self, fence: Fence) -> None:
        """Start from the last snapshot, then follow the log for ever."""
        if self.board.position == 0:
            await self._restore()
        while True:
            if not await self.step():
                await self._committed.wait(self.board.position, self._config.poll_s)

    async def step(self) -> int:
        """Fold what is new; the number of events."""
        after, most = self.board.position, self._config.batch
        events = self._feed.recent(after, most)
        if not events:
            events = await asyncio.to_thread(self._feed.read, after, most)
        for event in events:
            fold(self.board, event)
        if events:
            self.folded.notify(self.board.position)
            if self.board.position - self._kept_at >= self._config.snapshot_every:
                await self._keep()
        return len(events)

    async def catch_up(self) -> None:
        """Be at least where the log was when this was called.

        Raises:
            TimeoutError: the board does not move; its own loop says why.
        """
        head = await asyncio.to_thread(self._feed.head)
        async with asyncio.timeout(self._config.catch_up_max_s):
            while self.board.position < head:
                await self.folded.wait(self.board.position, self._config.poll_s)

    async def _restore(self) -> None:
        kept = await self._checkpoints.read(CHECKPOINT)
        if kept is None:
            return
        try:
            snapshot = _DECODER.decode(kept.state)
        except msgspec.DecodeError as failure:
            LOG.warning("board.snapshot_unreadable", error=str(failure))
            return
        if snapshot.position > await asyncio.to_thread(self._feed.head):
            LOG.warning("board.snapshot_ahead_of_log", position=snapshot.position)
            return
        self.board.restore(snapshot)
        self._kept_at = snapshot.position

    async def _keep(self) -> None:
        position = self.board.position
        state = await asyncio.to_thread(_ENCODER.encode, self.board.snapshot())
        await self._checkpoints.keep(CHECKPOINT, position, state)
        self._kept_at = position
