"""The credential rows: exact at every request, since they are written in the command's commit.

Requests that arrive while one look-up is on its way share the next: under load one query
serves many, and each of them was sent after its request arrived.
"""

from __future__ import annotations

import asyncio
from typing import Final
from uuid import UUID

from msgspec import Struct

from api.platform import ReadPool
from api.reading import reading
from domain.accounts.events import Role

STANDINGS: Final = """
SELECT user_id, role, is_active, token_version
FROM owl_private.credentials
WHERE user_id = ANY(%(user_ids)s)
"""
BY_EMAIL: Final = """
SELECT user_id, role, is_active, token_version, password_hash
FROM owl_private.credentials
WHERE email_claim = %(email_claim)s
"""
BY_USER: Final = """
SELECT user_id, role, is_active, token_version, password_hash
FROM owl_private.credentials
WHERE user_id = %(user_id)s
"""
_BATCH_MAX: Final = 500


class Standing(Struct, frozen=True, kw_only=True):
    """What a user may do at this moment."""

    user_id: UUID
    role: Role
    is_active: bool
    token_version: int


class Credential(Struct, frozen=True, kw_only=True):
    """As ``Standing``, with the hash of the password."""

    user_id: UUID
    role: Role
    is_active: bool
    token_version: int
    password_hash: str


class Credentials:
    """Looks credentials up."""

    def __init__(self, pool: ReadPool, *, deadline_s: float) -> None:
        self._pool = pool
        self._deadline_s = deadline_s
        self._waiting: dict[UUID, asyncio.Future[Standing | None]] = {}
        self._flight: asyncio.Task[None] | None = None

    async def standing(self, user_id: UUID) -> Standing | None:
        """What the user may do, ``None`` for nobody.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        answer = self._waiting.get(user_id)
        if answer is None:
            answer = asyncio.get_running_loop().create_future()
            self._waiting[user_id] = answer
            if self._flight is None:
                self._flight = asyncio.create_task(self._fly())
        return await asyncio.shield(answer)

    async def by_email(self, email_claim: UUID) -> Credential | None:
        """The credential of whoever owns the e-mail address."""
        return await self._one(BY_EMAIL, {"email_claim": email_claim})

    async def by_user(self, user_id: UUID) -> Credential | None:
        """The credential of a user."""
        return await self._one(BY_USER, {"user_id": user_id})

    async def _one(self, query: str, parameters: dict[str, UUID]) -> Credential | None:
        async with reading(self._pool, self._deadline_s) as connection:
            row = await (await connection.execute(query, parameters)).fetchone()
        if row is None:
            return None
        return Credential(
            user_id=row[0],
            role=row[1],
            is_active=row[2],
            token_version=row[3],
            password_hash=row[4],
        )

    async def _fly(self) -> None:
        try:
            while self._waiting:
                asked = dict(list(self._waiting.items())[:_BATCH_MAX])
                for user_id in asked:
                    del self._waiting[user_id]
                try:
                    found = await self._look_up(list(asked))
                except Exception as error:  # noqa: BLE001 - handed to those who asked
                    for answer in asked.values():
                        answer.set_exception(error)
                        answer.exception()  # whoever asked may have gone
                else:
                    for user_id, answer in asked.items():
                        answer.set_result(found.get(user_id))
        finally:
            self._flight = None

    async def _look_up(self, user_ids: list[UUID]) -> dict[UUID, Standing]:
        async with reading(self._pool, self._deadline_s) as connection:
            cursor = await connection.execute(STANDINGS, {"user_ids": user_ids})
            return {
                row[0]: Standing(
                    user_id=row[0], role=row[1], is_active=row[2], token_version=row[3]
                )
                for row in await cursor.fetchall()
            }
