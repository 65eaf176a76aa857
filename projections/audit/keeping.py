"""Keeps a state of every entity now and then, so that none need be folded whole.

Follows the log behind everybody else, a stretch a transaction, and works no more than half of
the time: nobody waits for it, and what it has not reached yet is folded by whoever asks. Only
how far the log has grown makes it write, never what anybody asks for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import psycopg
import structlog
from msgspec import Struct
from psycopg import AsyncConnection

from domain.accounts.events import UserErased
from domain.catalogue import decode
from domain.envelope import Fence
from domain.facts import tag_of
from projections.audit.folds import FOLDS, OF_USER, Fold, fold_of
from projections.audit.snapshots import (
    BYTES_PER_EVENT,
    EVERY,
    Snapshots,
    encoded,
    fold_upto,
)
from projections.audit.story import head, rows

LOG = structlog.get_logger(__name__)

CONNECT_S: Final = 3
ERASED: Final = tag_of(UserErased)
BEGIN: Final = """
    INSERT INTO owl_private.snapshot_folds (fold, name, position)
    VALUES (%(fold)s, %(name)s, 0) ON CONFLICT DO NOTHING
"""
# one at a time, whoever else may think to lead; nobody waits
ALONE: Final = "SELECT pg_try_advisory_xact_lock(hashtext('owl_private.snapshots'))"
FOLDS_KEPT: Final = "SELECT fold, position FROM owl_private.snapshot_folds"
DUE: Final = """
    SELECT notification_id, originator_id, originator_version, topic FROM owl_log.events
    WHERE notification_id > %(after)s AND notification_id <= %(until)s
        AND (originator_version %% %(every)s = 0 OR topic = %(erased)s)
    ORDER BY notification_id
"""
LAST_KEPT: Final = """
    SELECT version, octet_length(state) FROM owl_private.snapshots
    WHERE fold = %(fold)s AND stream = %(stream)s AND position < %(at)s
    ORDER BY position DESC LIMIT 1
"""
KEEP: Final = """
    INSERT INTO owl_private.snapshots (fold, stream, position, version, state, seal, user_id)
    VALUES (%(fold)s, %(stream)s, %(position)s, %(version)s, %(state)s, %(seal)s, %(user)s)
    ON CONFLICT (fold, stream, position) DO UPDATE
    SET version = excluded.version, state = excluded.state, seal = excluded.seal,
        user_id = excluded.user_id
"""
FORGET_USER: Final = "DELETE FROM owl_private.snapshots WHERE user_id = %(user)s"
ADVANCE: Final = """
    UPDATE owl_private.snapshot_folds SET position = %(until)s WHERE fold = ANY (%(folds)s)
"""
FORGET_FOLD: Final = """
    DELETE FROM owl_private.snapshots WHERE ctid IN (
        SELECT ctid FROM owl_private.snapshots WHERE fold = %(fold)s LIMIT %(most)s
    )
"""
END_FOLD: Final = "DELETE FROM owl_private.snapshot_folds WHERE fold = %(fold)s"


class Config(Struct, frozen=True, kw_only=True):
    """How many positions a transaction looks at, and how often it looks for more."""

    stretch: int = 2_000
    look_every_s: float = 1.0
    rows_forgotten_at_once: int = 2_000


class Keeper:
    """The loop; led by one worker."""

    name = "snapshots"

    def __init__(
        self, conninfo: str, snapshots: Snapshots, config: Config | None = None
    ) -> None:
        self._conninfo = conninfo
        self._snapshots = snapshots
        self._config = Config() if config is None else config
        self._folds = {snapshots.fold_id(fold): fold for fold in FOLDS}

    async def run(self, _fence: Fence) -> None:
        """Follow the log until cancelled; what is kept twice is the same."""
        clock = asyncio.get_running_loop()
        async with await psycopg.AsyncConnection.connect(
            self._conninfo, autocommit=True, connect_timeout=CONNECT_S
        ) as connection:
            while True:
                began_at = clock.time()
                more = await self.step(connection)
                worked_s = clock.time() - began_at
                await asyncio.sleep(worked_s if more else self._config.look_every_s)

    async def step(self, connection: AsyncConnection[Any]) -> bool:
        """Take each fold on by a stretch at most; whether there may be more to do."""
        async with connection.transaction():
            if not (await rows(connection, ALONE, {}))[0][0]:
                return False
            kept = dict(await rows(connection, FOLDS_KEPT, {}))
            for fold in self._folds.keys() - kept.keys():
                begun = {"fold": fold, "name": self._folds[fold].name}
                await connection.execute(BEGIN, begun)
                kept[fold] = 0
            end, more = await head(connection), False
            # folds that stand together are looked for together; a new one catches up alone
            for after in sorted({kept[fold] for fold in self._folds}):
                until = min(end, after + self._config.stretch)
                if after < until:
                    group = [fold for fold in self._folds if kept[fold] == after]
                    await self._look(connection, after, until, group)
                    await connection.execute(ADVANCE, {"until": until, "folds": group})
                    more |= until < end
            others = [fold for fold in kept if fold not in self._folds]
            return more or await self._forget_one(connection, others)

    async def _look(
        self, connection: AsyncConnection[Any], after: int, until: int, group: list[bytes]
    ) -> None:
        folds = [self._folds[fold] for fold in group]
        bounds = {"after": after, "until": until, "every": EVERY, "erased": ERASED}
        for position, stream, version, tag in await rows(connection, DUE, bounds):
            if tag == ERASED:
                await connection.execute(FORGET_USER, {"user": stream})
            fold = fold_of(tag)
            if version % EVERY or fold not in folds:
                continue
            try:
                await self._keep(connection, fold, stream, position, version)
            except psycopg.Error:
                raise
            except Exception as error:  # noqa: BLE001 - a fold's failure, whatever it is
                # who asks for this state is told so; `owl audit verify` names the event
                LOG.warning("snapshot.not_folded", stream=str(stream), why=repr(error))

    async def _keep(
        self,
        connection: AsyncConnection[Any],
        fold: Fold,
        stream: UUID,
        position: int,
        version: int,
    ) -> None:
        place = {"fold": self._snapshots.fold_id(fold), "stream": stream}
        last = await rows(connection, LAST_KEPT, {**place, "at": position})
        if last and last[0][1] > BYTES_PER_EVENT * (version - last[0][0]):
            return
        folded = await fold_upto(connection, fold, stream, position, self._snapshots)
        if folded is None or folded.place.position != position:
            return
        owner = fold.owner(folded.state, decode(folded.place.fact))
        if owner is not None and await self._is_erased(connection, owner, position):
            return
        state = encoded(folded.state)
        row = {
            "position": position,
            "version": version,
            "state": state,
            "seal": self._snapshots.seal(fold, folded.place, state),
            "user": owner,
        }
        await connection.execute(KEEP, {**place, **row})

    async def _is_erased(
        self, connection: AsyncConnection[Any], user_id: UUID, position: int
    ) -> bool:
        """Whether the user was, by then: an account may be put straight afterwards."""
        user = await fold_upto(connection, OF_USER, user_id, position, self._snapshots)
        return user is not None and bool(user.state.is_erased)

    async def _forget_one(
        self, connection: AsyncConnection[Any], others: Sequence[bytes]
    ) -> bool:
        """Some of what other rules or another key have left, which nobody reads any more."""
        if not others:
            return False
        some = {"fold": others[0], "most": self._config.rows_forgotten_at_once}
        gone = await connection.execute(FORGET_FOLD, some)
        if not gone.rowcount:
            await connection.execute(END_FOLD, {"fold": others[0]})
        return True
