"""``owl audit reconcile``: does every fen add up, in the log and in what users are shown?

R1 each fact's postings sum to nothing. R2 each account is what its postings sum up to, in the
log and in the read model. R3 no account ever falls below nothing. R4 codes pay what they
promise, no more often than they promise. R5 each task is charged for what it ran, at its price,
out of its hold. R6 what codes paid in is what users have and what the platform earned.

R1 to R5 are checked at every event; the read models are compared at the position where they
stand, in one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias
from uuid import UUID

from msgspec import Struct

from domain.audit.refold import Finding, Refold
from domain.ids import account_stream
from domain.money import Fen
from projections.audit.stored import StoredLog

RULES: Final = {"I1": "R1", "I2": "R3", "I3": "R4", "I5": "R5", "R2": "R2", "R4": "R4"}
"""Which rule a check of the refold belongs to; the others make the sums worthless: ``LOG``."""
CHECKS: Final = ("R1", "R2", "R3", "R4", "R5", "R6")
DIFFERENCES_MAX: Final = 100

SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
POSITIONS: Final = """
    SELECT read_model, position FROM owl_read.checkpoints
    WHERE state = 'live' AND read_model = ANY(%(names)s)
"""
BALANCES: Final = "SELECT user_id, balance_fen, held_fen FROM read.users"
CODES: Final = "SELECT code_id, amount_fen, max_uses, used_count FROM read.recharge_codes"

Rows: TypeAlias = dict[bytes, tuple[int, ...]]


class Account(Struct, frozen=True, kw_only=True):
    """One user's money; ``moved_at`` is the position at which it moved last."""

    user_id: UUID
    available_fen: Fen
    held_fen: Fen
    moved_at: int


class Reconciled(Struct, frozen=True, kw_only=True):
    """What was found at ``position``; ``findings`` are in the order of their positions.

    ``compared`` names the read models that were compared, each with its position.
    """

    position: int
    accounts: tuple[Account, ...]
    codes: int
    tasks: int
    recharged_fen: Fen
    granted_fen: Fen
    revenue_fen: Fen
    wallets_fen: Fen
    issued_fen: Fen
    outstanding_fen: Fen
    compared: dict[str, int]
    findings: tuple[Finding, ...]

    @property
    def is_right(self) -> bool:
        """Whether everything adds up."""
        return not self.findings

    def first(self, check: str) -> Finding | None:
        """The first finding against a rule; whatever else is wrong with the log breaks all."""
        return next((found for found in self.findings if found.check in {check, "LOG"}), None)


class ReadModels(Struct, frozen=True):
    """Rows of read models as of one snapshot, and how far each was then."""

    positions: dict[str, int]
    balances: Rows
    codes: Rows

    @classmethod
    def read(cls, log: StoredLog) -> ReadModels:
        """In one short transaction."""
        with log.connection.transaction(), log.connection.cursor(binary=True) as cursor:
            cursor.execute(SNAPSHOT)
            names = {"names": ["users", "recharge_codes"]}
            positions = dict(cursor.execute(POSITIONS, names).fetchall())
            balances = {row[0]: row[1:] for row in cursor.execute(BALANCES)}
            codes = {row[0]: row[1:] for row in cursor.execute(CODES)}
        return cls(positions, balances, codes)


def reconcile(
    log: StoredLog,
    *,
    at: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reconciled:
    """Add everything up as of position ``at``; without it as of now, read models included."""
    shown = ReadModels.read(log) if at is None else ReadModels({}, {}, {})
    until = log.head() if at is None else min(at, log.head())
    refold, found = Refold(), list[Finding]()
    after = 0
    for name, position in sorted(shown.positions.items(), key=lambda item: item[1]):
        _fold(log, refold, after, min(position, until), until, progress)
        after = max(after, min(position, until))
        found += _COMPARE[name](refold, shown)
    _fold(log, refold, after, until, until, progress)
    if until == log.head():  # a position may lie in the middle of a command
        refold.end_of_command()
    found += [
        Finding(each.position, RULES.get(each.check, "LOG"), each.message)
        for each in refold.findings
    ]
    found += _totals(refold)
    return _reconciled(refold, until, shown.positions, found)


def _fold(
    log: StoredLog,
    refold: Refold,
    after: int,
    until: int,
    last: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    for rows in log.chunks(after, until):
        for row in rows:
            refold.take(row)
        if progress is not None:
            progress(refold.position, last)


def _compare_users(refold: Refold, shown: ReadModels) -> list[Finding]:
    found = []
    rows = dict(shown.balances)
    for user, wallet in refold.wallets.items():
        row = rows.pop(user.bytes, None)
        folded = (wallet.balance_fen, wallet.held_fen)
        if row != folded and not refold.is_broken(account_stream(user)):
            said = "no row" if row is None else f"balance {row[0]}, held {row[1]}"
            message = f"user {user}: the log says balance {folded[0]}, held {folded[1]}; "
            found.append(Finding(refold.moved[user], "R2", f"{message}users shows {said}"))
    for stray, row in rows.items():
        if any(row):
            message = f"user {UUID(bytes=stray)}: users shows money that no event tells of"
            found.append(Finding(refold.position, "R2", message))
    return found[:DIFFERENCES_MAX]


def _compare_codes(refold: Refold, shown: ReadModels) -> list[Finding]:
    found = []
    rows = dict(shown.codes)
    for code_id, code in refold.codes.items():
        row = rows.pop(code_id.bytes, None)
        folded = (code.amount_fen, code.max_uses, len(code.redeemed_by))
        if row != folded and not refold.is_broken(code_id):
            message = f"code {code_id}: the log says {folded}; recharge_codes shows {row}"
            found.append(Finding(refold.position, "R4", message))
    for stray in rows:
        message = f"code {UUID(bytes=stray)}: recharge_codes shows what no event tells of"
        found.append(Finding(refold.position, "R4", message))
    return found[:DIFFERENCES_MAX]


_COMPARE: Final[dict[str, Callable[[Refold, ReadModels], list[Finding]]]] = {
    "users": _compare_users,
    "recharge_codes": _compare_codes,
}


def _totals(refold: Refold) -> list[Finding]:
    totals, found = refold.totals, []
    if totals.redeemed_fen != totals.recharged_fen:
        message = f"codes paid {totals.redeemed_fen}, accounts got {totals.recharged_fen}"
        found.append(Finding(refold.position, "R6", message))
    came_in = totals.recharged_fen + totals.granted_fen
    if came_in != refold.wallets_fen + totals.revenue_fen:
        message = (
            f"{came_in} came in, users have {refold.wallets_fen},"
            f" the platform earned {totals.revenue_fen}"
        )
        found.append(Finding(refold.position, "R6", message))
    return found


def _reconciled(
    refold: Refold, position: int, compared: dict[str, int], found: list[Finding]
) -> Reconciled:
    totals = refold.totals
    accounts = tuple(
        Account(
            user_id=user,
            available_fen=wallet.available_fen,
            held_fen=wallet.held_fen,
            moved_at=refold.moved[user],
        )
        for user, wallet in sorted(refold.wallets.items())
    )
    return Reconciled(
        position=position,
        accounts=accounts,
        codes=len(refold.codes),
        tasks=len(refold.tasks),
        recharged_fen=totals.recharged_fen,
        granted_fen=totals.granted_fen,
        revenue_fen=totals.revenue_fen,
        wallets_fen=refold.wallets_fen,
        issued_fen=totals.issued_fen,
        outstanding_fen=totals.issued_fen - totals.redeemed_fen,
        compared=compared,
        findings=tuple(sorted(found, key=lambda finding: finding.position)),
    )
