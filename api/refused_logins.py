"""A refused login is an event, and a flood of them few: so many facts a minute in a process.

What the throttles stop is not tried, so it has no fact of its own: the fact of the try that
closed them says until when. What is more than ``api.few_facts`` allows is counted, and the
next fact says how many had none. Neither e-mail address nor network stands in it, but keyed
digests.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from api.exchange import Exchange
from commands.accesses import NoteAccess, note_access
from domain.envelope import Actor
from domain.system.accesses import LoginRefused, WhyRefused

_GUARD: Final = Actor("policy", "login")
"""Who wanted in is not known: it is in the fact whose account it was about."""


async def note_refused(
    exchange: Exchange,
    account: UUID,
    reason: WhyRefused,
    *,
    user_id: UUID | None,
    closed_until: datetime | None,
) -> None:
    """Record a refused login, unless there are too many.

    Raises:
        OutOfReach: it cannot be recorded, so it is not answered.
    """
    untold = exchange.desk.refused_logins.admit()
    if untold is None:
        return
    fact = LoginRefused(
        account=account,
        address=exchange.platform.throttle.address_id(exchange.client_address),
        reason=reason,
        user_id=user_id,
        closed_until=closed_until,
        untold=untold,
    )
    command = NoteAccess(access_id=exchange.platform.ids(), fact=fact)
    await exchange.note(note_access, command, actor=_GUARD)
