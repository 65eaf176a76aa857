"""Facts about who looked, or wanted in: every access to the log is itself in the log.

Each access has a stream of its own, so that no two of them ever wait for one another.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, Literal, TypeAlias
from uuid import UUID

from domain.decider import Decider
from domain.facts import Fact, Personal

TailEnd: TypeAlias = Literal["left", "slow", "token", "time", "shutdown", "out_of_reach"]
WhyRefused: TypeAlias = Literal["unknown", "wrong_password", "inactive"]


class AuditAccessed(Fact, frozen=True, tag="system.audit_accessed/1", kw_only=True):
    """Somebody asked the audit interface: address and parameters, these in one order.

    ``after`` and ``until`` are the positions that were asked for; without ``until`` the answer
    tells of what stood before this event.
    """

    user_id: UUID
    asked: str
    after: int = 0
    until: int | None = None


class AuditTailEnded(Fact, frozen=True, tag="system.audit_tail_ended/1", kw_only=True):
    """A tail of the log is over: all events up to ``upto`` were looked at, ``sent`` given."""

    user_id: UUID
    upto: int
    sent: int
    reason: TailEnd


class LogRead(Fact, frozen=True, tag="system.log_read/1", kw_only=True):
    """Somebody read one of the operators' logs, or took it as a file.

    What was searched for may name a person: it is encrypted under the reader's own key.
    """

    user_id: UUID
    asked: str
    search: Personal | None = None

    @property
    def is_of_actions(self) -> bool:
        """Whether the list of user actions was read, which each look would make longer."""
        return self.asked.partition("?")[0] == "/api/logs/user-actions"


class PersonReported(Fact, frozen=True, tag="system.person_reported/1", kw_only=True):
    """All that is stored about a user was shown, in the clear, to whoever runs programs."""

    user_id: UUID


class LoginRefused(Fact, frozen=True, tag="accounts.login_refused/1", kw_only=True):
    """A password was not accepted.

    ``account`` and ``address`` are keyed digests: of the e-mail address that was given, which
    is the stream of the claim on it, and of the network. ``user_id`` is whose it is, if
    anybody's. ``closed_until``: no password is taken from there for this account until then.
    ``untold`` is how many refusals since the fact before have no fact of their own.
    """

    account: UUID
    address: UUID
    reason: WhyRefused
    user_id: UUID | None = None
    closed_until: datetime | None = None
    untold: int = 0


AccessFact: TypeAlias = AuditAccessed | AuditTailEnded | LogRead | PersonReported | LoginRefused


def _count(facts: int, _fact: AccessFact) -> int:
    return facts + 1


ACCESS: Final[Decider[int]] = Decider("access", 0, _count, AccessFact)
