"""The files that a task made, from the artifact store; their names are checked once more."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final
from uuid import UUID

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Stream

from api.exchange import Exchange
from api.policy import ANYONE
from domain.errors import NotFound
from domain.tasks.events import Artifact
from projections.task_lists import task_by_id
from projections.tasks import TaskRow

_SHOWABLE: Final = frozenset({"image/jpeg", "image/png", "application/json", "text/plain"})
_FILE_NAME = re.compile(r"[\w.-]{1,128}", re.ASCII)


@get("/{task_id:uuid}/artifacts/{name:str}", opt=ANYONE)
async def read_artifact(
    task_id: FromPath[UUID], name: FromPath[str], exchange: NamedDependency[Exchange]
) -> Stream:
    """下载任务产物: a file that a task made."""
    async with exchange.reading() as connection:
        task = await task_by_id(connection, task_id, user_id=exchange.user.may_read_of)
    if task is None:
        raise NotFound
    artifact = _artifact(task, name)
    pieces = exchange.platform.artifacts.get(artifact.sha256)
    try:
        first = await anext(pieces, b"")
    except FileNotFoundError:
        raise NotFound from None
    shown_as = artifact.media_type if artifact.media_type in _SHOWABLE else ""
    return Stream(
        _whole(first, pieces),
        media_type=shown_as or "application/octet-stream",
        headers={
            "Content-Length": str(artifact.size_bytes),
            "Content-Disposition": f"{'inline' if shown_as else 'attachment'};"
            f' filename="{artifact.name}"',
        },
    )


def _artifact(task: TaskRow, name: str) -> Artifact:
    for artifact in task.artifacts:
        if artifact.name == name and _FILE_NAME.fullmatch(name):
            return artifact
    raise NotFound


async def _whole(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


ROUTER = Router(path="/tasks", route_handlers=[read_artifact], tags=["任务 Tasks"])
