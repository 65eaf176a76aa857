"""The credential rows: exact at every request, as each is written in its command's commit."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final, LiteralString
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection

from api.gathering import Gathering
from api.platform import ReadPool
from api.reading import reading
from domain.accounts.events import Role

STANDINGS: Final = """
SELECT user_id, role, is_active, token_version,
    (SELECT is_on FROM owl_private.maintenance)
FROM owl_private.credentials
WHERE user_id = ANY(%(user_ids)s)
"""
MAINTENANCE: Final = "SELECT is_on FROM owl_private.maintenance"
BY_EMAIL: Final = """
SELECT user_id, role, is_active, token_version, password_hash
FROM owl_private.credentials
WHERE email_claim = %(email_claim)s
"""
BY_ID: Final = """
SELECT user_id, role, is_active, token_version, password_hash
FROM owl_private.credentials
WHERE user_id = %(user_id)s
"""


class Standing(Struct, frozen=True, kw_only=True):
    """What a user may do at this moment; in maintenance only admins write."""

    user_id: UUID
    role: Role
    is_active: bool
    token_version: int
    in_maintenance: bool


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
        self._standings = Gathering(pool, standings, deadline_s=deadline_s)

    async def standing(self, user_id: UUID) -> Standing | None:
        """What the user may do, ``None`` for nobody.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        return await self._standings.get(user_id)

    async def in_maintenance(self) -> bool:
        """Whether only admins write now, for a request of somebody without a standing.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        async with reading(self._pool, self._deadline_s) as connection:
            row = await (await connection.execute(MAINTENANCE)).fetchone()
        return row is not None and bool(row[0])

    async def by_email(self, email_claim: UUID) -> Credential | None:
        """The credential of whoever owns the e-mail address.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        return await self._credential(BY_EMAIL, {"email_claim": email_claim})

    async def by_id(self, user_id: UUID) -> Credential | None:
        """The credential of a user.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        return await self._credential(BY_ID, {"user_id": user_id})

    async def _credential(
        self, statement: LiteralString, parameters: Mapping[str, UUID]
    ) -> Credential | None:
        async with reading(self._pool, self._deadline_s) as connection:
            row = await (await connection.execute(statement, parameters)).fetchone()
        if row is None:
            return None
        return Credential(
            user_id=row[0],
            role=row[1],
            is_active=row[2],
            token_version=row[3],
            password_hash=row[4],
        )


async def standings(
    connection: AsyncConnection[Any], user_ids: Collection[UUID]
) -> dict[UUID, Standing]:
    """What these users may do; who is nobody is not in the answer."""
    cursor = await connection.execute(STANDINGS, {"user_ids": list(user_ids)})
    return {
        row[0]: Standing(
            user_id=row[0],
            role=row[1],
            is_active=row[2],
            token_version=row[3],
            in_maintenance=row[4],
        )
        for row in await cursor.fetchall()
    }
