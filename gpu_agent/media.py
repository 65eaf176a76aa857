"""Where a task's input files come from: the operator's media directory, or the internet."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from gpu_agent.fetch import Fetcher, FetchRefused, NamesOutOfReach

SCHEME: Final = "file:"


class MediaRefused(Exception):
    """The address gives no file; the text is for the user."""


class NoMedia(MediaRefused):
    """This server cannot bring the file, whatever it is: no fault of the task's user."""


class MediaSource:
    """Brings files. ``directories`` are what the operator named for ``file:``, in order."""

    def __init__(self, fetcher: Fetcher, directories: Sequence[Path] = ()) -> None:
        self._fetcher = fetcher
        self._directories = tuple(directories)

    @property
    def serves_files(self) -> bool:
        """Whether ``file:`` addresses lead anywhere."""
        return bool(self._directories)

    async def bring(self, url: str, workspace: Path) -> Path:
        """A readable file: the operator's own, or a copy in ``workspace``.

        Raises:
            NoMedia: a file of the farm's own, of which this server has none, or no name
                server answers it.
            MediaRefused: not allowed, not there, or not fetchable.
        """
        if url[: len(SCHEME)].lower() == SCHEME:
            return await asyncio.to_thread(self._local, url)
        target = workspace / "input"
        try:
            await self._fetcher.fetch(url, target)
        except NamesOutOfReach as away:
            raise NoMedia(str(away)) from away
        except FetchRefused as refused:
            raise MediaRefused(f"{url[:200]}: {refused}") from refused
        return target

    def _local(self, url: str) -> Path:
        if not self._directories:
            raise NoMedia("file: addresses are not served here: no media directory is set")
        try:
            parts = urlsplit(url)
            name = unquote(parts.path, errors="strict")
        except ValueError as error:
            raise MediaRefused("a file: address is not well formed") from error
        if parts.netloc not in ("", "localhost"):
            raise MediaRefused("a file: address names no other host")
        for directory in self._directories:
            found = _inside(directory, name)
            if found is not None:
                return found
        # the same words for what is missing and for what lies outside: nobody's business
        raise MediaRefused("no such file in the media directory")


def _inside(directory: Path, name: str) -> Path | None:
    """The plain file ``name`` of ``directory``; ``None`` when not there, or not inside."""
    try:
        # resolved first, compared second: a link or a `..` must not lead out
        root = directory.resolve(strict=True)
        path = (root / name).resolve(strict=True)
    except (OSError, ValueError, RuntimeError):
        return None
    return path if path.is_relative_to(root) and path.is_file() else None
