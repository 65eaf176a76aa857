"""Writes a task's files into a directory: each whole, proven by its digest, or not at all."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final

from api.client.answers import Artifact
from api.client.http import ApiClient

_NAME: Final = re.compile(r"(?!\.)[\w.-]{1,128}", re.ASCII)


class ArtifactDamaged(Exception):
    """What arrived is not what the task made, or its name is not one of a file."""


async def save_artifacts(
    client: ApiClient, task_id: str, artifacts: Iterable[Artifact], directory: Path
) -> list[Path]:
    """Write the files of a task below ``directory``; returns where they are.

    Raises:
        ApiRefused, ApiUnreachable: a file could not be had.
        ArtifactDamaged: a file is not what it should be.
    """
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    return [await _save(client, task_id, artifact, directory) for artifact in artifacts]


async def _save(client: ApiClient, task_id: str, artifact: Artifact, directory: Path) -> Path:
    if not _NAME.fullmatch(artifact.name):  # it would be written elsewhere
        raise ArtifactDamaged(f"{artifact.name!r} is not the name of a file")
    target = directory / artifact.name
    draft = directory / f".{artifact.name}.part"
    file: IO[bytes] = await asyncio.to_thread(draft.open, "wb")
    digest = hashlib.sha256()
    try:
        async for piece in client.download(f"/tasks/{task_id}/artifacts/{artifact.name}"):
            digest.update(piece)
            await asyncio.to_thread(file.write, piece)
        await asyncio.to_thread(file.close)
        if digest.hexdigest() != artifact.sha256:
            raise ArtifactDamaged(f"{artifact.name} arrived damaged: fetch it again")
        await asyncio.to_thread(draft.replace, target)
    finally:
        file.close()
        draft.unlink(missing_ok=True)
    return target
