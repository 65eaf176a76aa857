"""The artifact store: files that tasks made, by the SHA-256 of their bytes.

A local directory, or any bucket that ``obstore`` can reach, chosen by URL.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import obstore
from obstore.store import ObjectStore, from_url

DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def open_store(url: str) -> ArtifactStore:
    """The store at ``url``: ``file:///path`` or ``s3://bucket/prefix``."""
    parts = urlsplit(url)
    directory = Path(unquote(parts.path)) if parts.scheme == "file" else None
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
    return ArtifactStore(from_url(url), directory)


class ArtifactStore:
    """Put before the fact that names it is recorded; never changed afterwards."""

    def __init__(self, store: ObjectStore, directory: Path | None) -> None:
        """``directory``: where the store's files lie, when they lie on this machine."""
        self._store = store
        self._directory = directory

    async def has(self, sha256: str) -> bool:
        """Whether a file with this digest is kept."""
        try:
            await obstore.head_async(self._store, path_of(sha256))
        except FileNotFoundError:
            return False
        return True

    async def put(self, sha256: str, content: bytes) -> None:
        """Keep ``content``; returns when it is durable."""
        path = path_of(sha256)
        await obstore.put_async(self._store, path, content)
        if self._directory is not None:
            await asyncio.to_thread(_flush, self._directory / path)

    async def get(self, sha256: str) -> AsyncIterator[bytes]:
        """The bytes, in pieces.

        Raises:
            FileNotFoundError: the store has no such file.
        """
        found = await obstore.get_async(self._store, path_of(sha256))
        async for piece in found.stream():
            yield bytes(piece)


def path_of(sha256: str) -> str:
    """Where a file lies: its first two digits keep directories small.

    Raises:
        FileNotFoundError: that is no digest.
    """
    if DIGEST.fullmatch(sha256) is None:
        raise FileNotFoundError(sha256)
    return f"{sha256[:2]}/{sha256}"


def _flush(path: Path) -> None:
    """Have the disk keep a file and its name, as the commit that names it is kept."""
    for place in (path, path.parent):
        descriptor = os.open(place, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
