"""What one attempt says about itself while it runs: begun, progress, output."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.fleet.messages import Advanced, Assigned, Began, Output, OutputLine, RunningTask
from gpu_agent.child_protocol import LINE_CHARACTERS_MAX
from gpu_agent.executors import Level
from gpu_agent.outbox import Outbox

PROGRESS_EVERY_S: Final = 0.3
"""Often enough for a bar that looks alive; the log keeps only every few per cent."""
OUTPUT_EVERY_S: Final = 0.25
CHUNK_LINES: Final = 200
CHUNK_CHARACTERS: Final = 128 * 1024
"""Under a message's megabyte even when every character is escaped (6 bytes)."""


class TaskReports:
    """A listener of one attempt that posts what it hears."""

    def __init__(
        self,
        assigned: Assigned,
        *,
        server_id: UUID,
        outbox: Outbox,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        ids: Callable[[], UUID],
        sandbox: str,
    ) -> None:
        self._assigned = assigned
        self._server_id = server_id
        self._outbox = outbox
        self._clock = clock
        self._monotonic = monotonic
        self._ids = ids
        self._sandbox = sandbox
        self._progress = 0.0
        self._note = ""
        self._progress_at: float | None = None
        self._progress_later: asyncio.TimerHandle | None = None
        self._closed = False
        self._lines: list[OutputLine] = []
        self._characters = 0
        self._sequence = 0
        self._flush_later: asyncio.TimerHandle | None = None
        self.has_begun = False

    @property
    def state(self) -> RunningTask:
        """The attempt as a heartbeat shows it."""
        return RunningTask(
            task_id=self._assigned.task_id,
            attempt=self._assigned.attempt,
            progress=self._progress,
            gpu_uuids=self._assigned.gpu_uuids,
        )

    def began(self) -> None:
        """The child has the task."""
        self.has_begun = True
        self._outbox.begin(self._assigned.task_id, self._assigned.attempt)
        began = Began(
            report_id=self._ids(),
            server_id=self._server_id,
            task_id=self._assigned.task_id,
            attempt=self._assigned.attempt,
            sent_at=self._clock(),
            sandbox=self._sandbox,
        )
        self._outbox.post(began, keep=True)

    def advanced(self, percent: float, note: str) -> None:
        """Post the newest progress now and then; a lost one is made up for by the next."""
        self._progress, self._note = percent, note
        if self._closed or self._progress_later is not None:
            return
        since = self._progress_at
        wait_s = 0.0 if since is None else since + PROGRESS_EVERY_S - self._monotonic()
        if wait_s <= 0:
            self._post_progress()
        else:  # said then, even if nothing follows: a bar does not stay where it was
            loop = asyncio.get_running_loop()
            self._progress_later = loop.call_later(wait_s, self._post_progress)

    def _post_progress(self) -> None:
        self._progress_later = None
        self._progress_at = self._monotonic()
        advanced = Advanced(
            report_id=self._ids(),
            server_id=self._server_id,
            task_id=self._assigned.task_id,
            attempt=self._assigned.attempt,
            sent_at=self._clock(),
            progress=self._progress,
            note=self._note,
        )
        self._outbox.post(advanced, keep=False)

    def close(self) -> None:
        """Post what is left to say: the attempt is over."""
        self._closed = True
        if self._progress_later is not None:
            self._progress_later.cancel()
            self._progress_later = None
        self.flush()

    def wrote(self, text: str, level: Level) -> None:
        """Gather lines into chunks, sent soon."""
        cut = text[:LINE_CHARACTERS_MAX]
        self._lines.append(OutputLine(at=self._clock(), level=level, text=cut))
        self._characters += len(cut)
        if len(self._lines) >= CHUNK_LINES or self._characters >= CHUNK_CHARACTERS:
            self.flush()
        elif self._flush_later is None:
            loop = asyncio.get_running_loop()
            self._flush_later = loop.call_later(OUTPUT_EVERY_S, self.flush)

    def flush(self) -> None:
        """Post the lines gathered so far."""
        if self._flush_later is not None:
            self._flush_later.cancel()
            self._flush_later = None
        if not self._lines:
            return
        self._sequence += 1
        output = Output(
            report_id=self._ids(),
            server_id=self._server_id,
            task_id=self._assigned.task_id,
            attempt=self._assigned.attempt,
            sequence=self._sequence,
            sent_at=self._clock(),
            lines=tuple(self._lines),
        )
        self._lines, self._characters = [], 0
        self._outbox.post(output, keep=True)
