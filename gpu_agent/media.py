"""Where a task's input files come from: the operator's media directory, or the internet."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from gpu_agent.fetch import Fetcher, FetchRefused

SCHEME: Final = "file:"


class MediaRefused(Exception):
    """The address gives no file; the text is for the user."""


class MediaSource:
    """Brings files. ``directory`` is what the operator named for ``file:``, or ``None``."""

    def __init__(self, fetcher: Fetcher, directory: Path | None) -> None:
        self._fetcher = fetcher
        self._directory = directory

    async def bring(self, url: str, workspace: Path) -> Path:
        """A readable file: the operator's own, or a copy in ``workspace``.

        Raises:
            MediaRefused: not allowed, not there, or not fetchable.
        """
        if url[: len(SCHEME)].lower() == SCHEME:
            return await asyncio.to_thread(self._local, url)
        target = workspace / "input"
        try:
            await self._fetcher.fetch(url, target)
        except FetchRefused as refused:
            raise MediaRefused(f"{url[:200]}: {refused}") from refused
        return target

    def _local(self, url: str) -> Path:
        if self._directory is None:
            raise MediaRefused("file: addresses are not served here: no media directory is set")
        try:
            parts = urlsplit(url)
            if parts.netloc not in ("", "localhost"):
                raise MediaRefused("a file: address names no other host")
            # resolved first, compared second: a link or a `..` must not lead out
            root = self._directory.resolve(strict=True)
            path = (root / unquote(parts.path, errors="strict")).resolve(strict=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise MediaRefused("no such file in the media directory") from error
        if not path.is_relative_to(root) or not path.is_file():
            # the same words as for a missing one: what lies outside is nobody's business
            raise MediaRefused("no such file in the media directory")
        return path
