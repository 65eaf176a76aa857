"""What users wrote into their tasks: sealed in the read models, opened for who is shown it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeVar

from msgspec.structs import replace
from psycopg import AsyncConnection

from api.platform import PrivateTexts
from domain.facts import SealedText
from domain.tasks.events import TaskSubmitted
from projections.tasks import ListedTask

T = TypeVar("T", bound=ListedTask)
FIELDS: Final = ("title", "description")


async def in_the_clear(
    tasks: Sequence[T], texts: PrivateTexts, connection: AsyncConnection[Any]
) -> tuple[T, ...]:
    """The same tasks as their users wrote them; ``ERASED`` of a user who was forgotten."""
    sealed = [
        SealedText(TaskSubmitted, field, task.user_id, getattr(task, field))
        for task in tasks
        for field in FIELDS
    ]
    opened = await texts.open(connection, sealed) if sealed else []
    return tuple(
        replace(task, title=title, description=description)
        for task, title, description in zip(tasks, opened[::2], opened[1::2], strict=True)
    )
