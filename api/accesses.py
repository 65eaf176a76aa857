"""Every look into the log is itself in the log, before it is answered.

What was asked is kept as address and parameters, these in one order, so that equal questions
are equal texts. Whoever asks cannot put a person's name or address into it: every parameter of
the audit interface has a form of its own, and what is searched for in a log is kept encrypted.
"""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode
from uuid import UUID

from msgspec import Struct

from api.exchange import Exchange
from commands.accesses import NoteAccess, note_access
from domain.system.accesses import AccessFact, AuditAccessed, LogRead

_SEARCH: Final = "search"


class Access(Struct, frozen=True):
    """An access that is on record: its stream, and its event's position."""

    access_id: UUID
    position: int

    def upto(self, until: int | None) -> int:
        """The position up to which it is answered: what was asked for, if it is there yet."""
        before = self.position - 1
        return before if until is None else min(until, before)


async def accessed(exchange: Exchange, *, after: int = 0, until: int | None = None) -> Access:
    """Record that somebody asks the audit interface; every parameter must have been checked.

    Raises:
        OutOfReach: it cannot be recorded, so it is not answered.
    """
    fact = AuditAccessed(
        user_id=exchange.user.user_id, asked=asked(exchange.scope), after=after, until=until
    )
    return await _noted(exchange, fact)


async def log_read(exchange: Exchange, search: str | None = None) -> Access:
    """Record that somebody reads or downloads one of the operators' logs.

    Raises:
        OutOfReach: it cannot be recorded, so it is not answered.
    """
    fact = LogRead(user_id=exchange.user.user_id, asked=asked(exchange.scope), search=search)
    return await _noted(exchange, fact)


def asked(scope: Any) -> str:
    """Address and parameters in canonical form, without what was searched for."""
    query = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True)
    given = sorted(pair for pair in query if pair[0] != _SEARCH)
    path = quote(scope["path"])
    return f"{path}?{urlencode(given)}" if given else path


async def _noted(exchange: Exchange, fact: AccessFact) -> Access:
    access_id = exchange.platform.ids()
    position = await exchange.note(note_access, NoteAccess(access_id=access_id, fact=fact))
    return Access(access_id, position)
