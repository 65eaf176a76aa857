"""Opens what users wrote for themselves, for whoever is shown it.

Keys are asked for each time and not remembered: what was erased is shown to nobody any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec import Struct
from psycopg import AsyncConnection

from commands.event_log.personal import open_text
from commands.event_log.reading import READ_KEYS
from commands.event_log.secrets import Secrets
from domain.facts import SealedText


class PrivateTexts(Struct, frozen=True):
    """``api.platform.PrivateTexts``, with the platform's own secrets."""

    secrets: Secrets

    async def open(
        self, connection: AsyncConnection[Any], sealed: Sequence[SealedText]
    ) -> list[str]:
        """Each in the clear; ``ERASED`` where the user's key was destroyed."""
        users = list({each.user_id for each in sealed})
        found = await connection.execute(READ_KEYS, {"users": users})
        keys = {
            user_id: self.secrets.unwrap_key(user_id, wrapped)
            for user_id, wrapped in await found.fetchall()
        }
        return [open_text(each, keys.get(each.user_id)) for each in sealed]
