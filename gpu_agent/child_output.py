"""What a task prints, by whatever means: file descriptors 1 and 2 become lines of its log.

Native libraries and programs that a task starts write there too, so the descriptors themselves
are caught, not Python's ``sys.stdout``.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Final

CHUNK_BYTES: Final = 65_536
LONGEST_LINE_BYTES: Final = 65_536
DRAIN_TIMEOUT_S: Final = 2.0
_END: Final = b"\x00end of a task's output\x00\n"


class OutputPipe:
    """Forwards complete lines to ``write`` from a thread of its own."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._drained = threading.Event()

    def start(self) -> None:
        """From now on, descriptors 1 and 2 lead here."""
        reading, writing = os.pipe()
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        os.close(writing)
        sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False, errors="replace")
        sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, errors="replace")
        threading.Thread(
            target=self._forward, args=(reading,), name="output", daemon=True
        ).start()

    def drain(self) -> None:
        """Return once everything printed so far was forwarded, or after a bounded wait."""
        sys.stdout.flush()
        sys.stderr.flush()
        self._drained.clear()
        os.write(1, _END)
        self._drained.wait(DRAIN_TIMEOUT_S)

    def _forward(self, reading: int) -> None:
        pending = b""
        while chunk := os.read(reading, CHUNK_BYTES):
            pending += chunk
            while (end := pending.find(_END)) >= 0:
                self._forward_lines(pending[:end], last=True)
                pending = pending[end + len(_END) :]
                self._drained.set()
            pending = self._forward_lines(pending, last=False)

    def _forward_lines(self, text: bytes, *, last: bool) -> bytes:
        *lines, rest = text.split(b"\n")
        if rest and (last or len(rest) > LONGEST_LINE_BYTES):
            lines.append(rest)
            rest = b""
        for one in lines:
            self._write(one.decode(errors="replace"))
        return rest
