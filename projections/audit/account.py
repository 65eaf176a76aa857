"""Does one account add up? Answered from its own stream, however long the log is.

The rules of ``reconcile`` that are about one account: R1 the postings of each fact, R2 their
sum as the user is shown it, R3 never below nothing. What its facts owe those of codes and tasks
(R4, R5) and the sums of all (R6) take the whole log.
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from domain.audit.refold import Finding, Refold
from domain.ids import CONFIGURATION_STREAM, account_stream
from domain.money import Fen
from projections.audit.reconcile import RULES, SNAPSHOT
from projections.audit.stored import StoredLog

CHECKS: Final = ("R1", "R2", "R3")
# the configuration says how many tasks an account may hold money for
OF_ACCOUNT: Final = """
    SELECT notification_id, originator_id, originator_version, topic,
        recorded_at, actor, correlation_id, causation_id, command_id, state
    FROM owl_log.events
    WHERE originator_id = ANY (%(streams)s) AND notification_id <= %(until)s
    ORDER BY notification_id
"""
SHOWN: Final = """
    SELECT position, balance_fen, held_fen
    FROM owl_read.checkpoints LEFT JOIN read.users ON user_id = %(user)s
    WHERE state = 'live' AND read_model = 'users'
"""


class AccountReconciled(Struct, frozen=True, kw_only=True):
    """One account as of ``position``; ``compared_at`` is where the read model stood, if asked.

    ``events`` is how many there were about it, ``moved_at`` the position of the last.
    """

    position: int
    user_id: UUID
    available_fen: Fen
    held_fen: Fen
    moved_at: int
    events: int
    checks: tuple[str, ...]
    compared_at: int | None
    is_right: bool
    findings: tuple[Finding, ...]


class _OneAccount(Refold):
    """A refold that sees one side of every command only."""

    def end_of_command(self) -> None:
        """The other sides stand in streams that are not read here."""


def reconcile_account(
    log: StoredLog, user: UUID, *, at: int | None = None
) -> AccountReconciled | None:
    """Add one account up as of position ``at``; without it as of now, as the user is shown it.

    ``None``: there is no such account by then.
    """
    shown: tuple[Any, ...] | None = None
    streams = [account_stream(user), CONFIGURATION_STREAM]
    with log.connection.transaction(), log.connection.cursor(binary=True) as cursor:
        cursor.execute(SNAPSHOT)
        until = log.head() if at is None else min(at, log.head())
        rows = cursor.execute(OF_ACCOUNT, {"streams": streams, "until": until}).fetchall()
        if at is None:
            shown = cursor.execute(SHOWN, {"user": user}).fetchone()
    refold, found, events = _OneAccount(), list[Finding](), 0
    due = shown
    for row in rows:
        if due is not None and row[0] > due[0]:
            found += _compare(refold, user, due)
            due = None
        refold.take(row)
        events += row[1] == streams[0].bytes
    if due is not None:
        found += _compare(refold, user, due)
    is_shown = shown is not None and shown[1] is not None
    if user not in refold.wallets and not refold.findings and not is_shown:
        return None
    found += [
        Finding(each.position, RULES.get(each.check, "LOG"), each.message)
        for each in refold.findings
    ]
    wallet = refold.wallets.get(user)
    return AccountReconciled(
        position=until,
        user_id=user,
        available_fen=0 if wallet is None else wallet.available_fen,
        held_fen=0 if wallet is None else wallet.held_fen,
        moved_at=refold.moved.get(user, 0),
        events=events,
        checks=CHECKS if at is None else ("R1", "R3"),
        compared_at=None if shown is None else shown[0],
        is_right=not found,
        findings=tuple(sorted(found, key=lambda finding: finding.position)),
    )


def _compare(refold: Refold, user: UUID, shown: tuple[Any, ...]) -> list[Finding]:
    """What the user is shown against what the postings sum up to by then."""
    wallet = refold.wallets.get(user)
    if refold.is_broken(account_stream(user)):
        return []
    folded = (0, 0) if wallet is None else (wallet.balance_fen, wallet.held_fen)
    row = shown[1:] if shown[1] is not None else None
    if row == folded or (row is None and wallet is None):
        return []
    said = "no row" if row is None else f"balance {row[0]}, held {row[1]}"
    message = (
        f"user {user}: the log says balance {folded[0]}, held {folded[1]}; users shows {said}"
    )
    return [Finding(refold.moved.get(user, 0), "R2", message)]
