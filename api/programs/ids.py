"""An argument that is an id, and which command shows the ids there are."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import click


class IdType(click.ParamType):  # type: ignore[type-arg]  # click < 8.5 has none
    """The id of something that ``listing``, a command, lists."""

    name = "id"

    def __init__(self, listing: str) -> None:
        self.listing = listing

    def convert(self, value: Any, param: Any, ctx: Any) -> UUID:
        try:
            return UUID(str(value))
        except ValueError:
            self.fail(f"{value!r} is no id: `{self.listing}` shows the ids", param, ctx)


TASK_ID = IdType("owl tasks list")
CODE_ID = IdType("owl codes list")
