"""The log refolded after a test: money conserved, nothing negative, one end an attempt."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

import psycopg

from domain.catalogue import decode
from domain.money import GRANTED, RECHARGED, REVENUE
from domain.recharge.events import CodeIssued, CodeRedeemed
from domain.tasks.events import TaskCancelled, TaskCompleted, TaskFailed
from domain.wallet.events import HoldSettled
from domain.wallet.wallet import WALLET, Wallet

ENDINGS = (TaskCompleted, TaskFailed, TaskCancelled)
READ = "SELECT notification_id, originator_id, state FROM owl_log.events ORDER BY 1"
BALANCES = "SELECT user_id, balance_fen, held_fen FROM read.users"


def audit(database_url: str) -> None:
    """Refold everything; fails at the first thing that is wrong."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute(READ).fetchall()
        balances = connection.execute(BALANCES).fetchall()
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1)), "a gap in the log"
    facts = [(stream, decode(bytes(state))) for _, stream, state in rows]
    wallets = _wallets(facts)
    _money_is_conserved(facts, wallets)
    _each_attempt_ends_once(facts)
    _codes_pay_what_they_promised(fact for _, fact in facts)
    shown = {user: (balance, held) for user, balance, held in balances}
    assert {user: (w.balance_fen, w.held_fen) for user, w in wallets.items()}.items() <= (
        shown.items()
    ), "the read model's balances are not the fold of the log"


def _wallets(facts: list[tuple[UUID, Any]]) -> dict[UUID, Wallet]:
    wallets: dict[UUID, Wallet] = {}
    for _, fact in facts:
        if type(fact).__module__ == "domain.wallet.events":
            wallet = WALLET.fold([fact], wallets.get(fact.user_id))
            assert wallet.available_fen >= 0, f"a negative balance: {fact}"
            wallets[fact.user_id] = wallet
    return wallets


def _money_is_conserved(facts: list[tuple[UUID, Any]], wallets: dict[UUID, Wallet]) -> None:
    books: defaultdict[str, int] = defaultdict(int)
    for _, fact in facts:
        postings = getattr(fact, "postings", ())
        assert sum(posting.amount_fen for posting in postings) == 0, fact
        for posting in postings:
            books[posting.account] += posting.amount_fen
    owned = sum(wallet.balance_fen for wallet in wallets.values())
    assert -books[RECHARGED] - books[GRANTED] - books[REVENUE] == owned


def _each_attempt_ends_once(facts: list[tuple[UUID, Any]]) -> None:
    endings = Counter(
        (fact.task_id, fact.attempt) for _, fact in facts if isinstance(fact, ENDINGS)
    )
    charges = Counter(
        (fact.task_id, fact.attempt) for _, fact in facts if isinstance(fact, HoldSettled)
    )
    assert not [key for key, times in endings.items() if times > 1], "an attempt ended twice"
    assert not [key for key, times in charges.items() if times > 1], "an attempt charged twice"


def _codes_pay_what_they_promised(facts: Iterable[Any]) -> None:
    issued: dict[UUID, CodeIssued] = {}
    users: defaultdict[UUID, list[UUID]] = defaultdict(list)
    for fact in facts:
        if isinstance(fact, CodeIssued):
            issued[fact.code_id] = fact
        elif isinstance(fact, CodeRedeemed):
            users[fact.code_id].append(fact.user_id)
    for code_id, redeemers in users.items():
        assert len(redeemers) <= issued[code_id].max_uses, "a code paid more than it promised"
        assert len(redeemers) == len(set(redeemers)), "a user redeemed a code twice"
