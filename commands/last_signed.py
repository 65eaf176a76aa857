"""What the notary signed last, in a file beside its key: whoever has the database has not that.

The file is that checkpoint, as ``owl audit verify --checkpoint`` takes it. It is replaced whole
and forced to disk, seldom, since it may be behind: a log that still contains an older tree of
ours is ours. Where nothing can be written the notary works on, and says so once.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import structlog

LOG = structlog.get_logger(__name__)

NAME: Final = "audit-last-signed"


class LastSigned:
    """The file ``audit-last-signed`` of a directory. Blocks: a few milliseconds a writing."""

    def __init__(self, directory: Path) -> None:
        self.path = directory.absolute() / NAME
        self._kept: str | None = None
        self._is_failing = False

    def read(self) -> str | None:
        """The note that was kept last, by whichever process; ``None`` without the file."""
        try:
            self._kept = self.path.read_bytes().decode(errors="replace")
        except (FileNotFoundError, NotADirectoryError):
            self._kept = None
        return self._kept

    def keep(self, note: str) -> None:
        """Keep this note, if it can be written."""
        if note == self._kept:
            return
        part = self.path.with_name(f"{NAME}.{os.getpid()}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with part.open("wb") as file:
                file.write(note.encode())
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as failure:
            if not self._is_failing:
                LOG.warning(
                    "notary.remembers_nothing", path=str(self.path), why=failure.strerror
                )
            self._is_failing = True
        else:
            self._kept, self._is_failing = note, False
