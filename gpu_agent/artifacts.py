"""The files that a task leaves: counted, bounded, digested. Only plain files, never a link."""

from __future__ import annotations

import asyncio
import hashlib
import mimetypes
import os
import stat
from pathlib import Path
from typing import Final

from domain.tasks.events import Artifact

CHUNK_BYTES: Final = 1 << 20
NAME_CHARACTERS: Final = 200


class QuotaExceeded(Exception):
    """The task left more than it may."""


async def collect_artifacts(
    directory: Path, *, most: int, most_bytes: int
) -> tuple[Artifact, ...]:
    """Every plain file right in ``directory``, by name; a missing directory holds none.

    Raises:
        QuotaExceeded: too many files, or too large together.
    """
    if not _has_entries(directory):  # one small read, and most tasks leave nothing
        return ()
    return await asyncio.to_thread(_collect, directory, most, most_bytes)


def _has_entries(directory: Path) -> bool:
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is not None
    except FileNotFoundError:
        return False


def _collect(directory: Path, most: int, most_bytes: int) -> tuple[Artifact, ...]:
    found: list[Artifact] = []
    total = 0
    for path in sorted(directory.iterdir()):
        status = path.lstat()
        # a link would lead out of the workspace and have us publish a file of the host
        if not stat.S_ISREG(status.st_mode) or len(path.name) > NAME_CHARACTERS:
            continue
        total += status.st_size
        if len(found) >= most or total > most_bytes:
            raise QuotaExceeded(f"more than {most} files or {most_bytes} bytes of files")
        found.append(
            Artifact(
                name=path.name,
                size_bytes=status.st_size,
                sha256=_digest(path),
                media_type=mimetypes.guess_type(path.name)[0] or "application/octet-stream",
            )
        )
    return tuple(found)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
