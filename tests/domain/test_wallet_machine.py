"""The account against a naive model: nothing is lost, made, or negative, whatever happens."""

from __future__ import annotations

from collections import defaultdict
from typing import Literal
from uuid import UUID

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.errors import InvalidState, Refused
from domain.money import GRANTED, RECHARGED, REVENUE, available, held
from domain.wallet.events import WalletFact
from domain.wallet.wallet import (
    WALLET,
    InsufficientBalance,
    TaskLimitExceeded,
    adjust,
    extend,
    hold,
    recharge,
    settle,
)
from tests.domain.cast import ALICE

AMOUNTS = st.one_of(st.integers(0, 50), st.integers(0, 2_000))
TASKS = st.integers(0, 4)
LIMIT = 3


class Account(RuleBasedStateMachine):
    """Postings, state and the model must tell one story."""

    def __init__(self) -> None:
        super().__init__()
        self.facts: list[WalletFact] = []
        self.ledger: defaultdict[str, int] = defaultdict(int)
        self.free = 0
        self.set_aside: dict[int, int] = {}

    def happened(self, fact: WalletFact) -> None:
        self.facts.append(fact)
        assert sum(posting.amount_fen for posting in fact.postings) == 0
        for posting in fact.postings:
            self.ledger[posting.account] += posting.amount_fen

    @initialize(amount=st.integers(1_000, 5_000))
    def begins_with_something(self, amount: int) -> None:
        self.recharges(amount)

    @rule(amount=st.integers(1, 3_000))
    def recharges(self, amount: int) -> None:
        some = UUID(int=1)
        self.happened(recharge(user_id=ALICE, amount_fen=amount, record_id=some, code_id=some))
        self.free += amount

    @rule(wanted=st.integers(0, 4_000))
    def is_adjusted(self, wanted: int) -> None:
        reserved = sum(self.set_aside.values())
        try:
            fact = adjust(WALLET.fold(self.facts), user_id=ALICE, target_fen=wanted, reason="")
        except InvalidState:
            assert wanted < reserved
            return
        self.happened(fact)
        self.free = wanted - reserved
        assert self.free >= 0

    @rule(task=TASKS, amount=AMOUNTS)
    def opens(self, task: int, amount: int) -> None:
        if task in self.set_aside:
            return
        try:
            fact = hold(
                WALLET.fold(self.facts),
                user_id=ALICE,
                task_id=UUID(int=task),
                attempt=1,
                amount_fen=amount,
                limit=LIMIT,
            )
        except TaskLimitExceeded:
            assert len(self.set_aside) == LIMIT
            return
        except InsufficientBalance:
            assert amount > self.free
            return
        self.happened(fact)
        self.free -= amount
        self.set_aside[task] = amount

    @rule(task=TASKS, amount=AMOUNTS)
    def extends(self, task: int, amount: int) -> None:
        try:
            fact = extend(
                WALLET.fold(self.facts),
                user_id=ALICE,
                task_id=UUID(int=task),
                attempt=1,
                amount_fen=amount,
            )
        except Refused:
            assert task not in self.set_aside or amount > self.free
            return
        self.happened(fact)
        self.free -= amount
        self.set_aside[task] += amount

    @rule(
        task=TASKS,
        price=AMOUNTS,
        outcome=st.sampled_from(["completed", "failed", "cancelled"]),
    )
    def closes(
        self, task: int, price: int, outcome: Literal["completed", "failed", "cancelled"]
    ) -> None:
        if task not in self.set_aside:
            return
        fact = settle(
            WALLET.fold(self.facts),
            user_id=ALICE,
            task_id=UUID(int=task),
            attempt=1,
            price_fen=price,
            outcome=outcome,
        )
        self.happened(fact)
        amount = self.set_aside.pop(task)
        assert fact.charged_fen == min(price, amount)
        self.free += amount - fact.charged_fen

    @invariant()
    def state_postings_and_model_agree(self) -> None:
        wallet = WALLET.fold(self.facts)
        assert wallet.available_fen == self.ledger[available(ALICE)] == self.free
        assert wallet.held_fen == self.ledger[held(ALICE)] == sum(self.set_aside.values())
        assert {task.int: amount for task, amount in wallet.holds.items()} == self.set_aside

    @invariant()
    def nothing_is_negative_and_the_limit_holds(self) -> None:
        assert self.free >= 0
        assert all(amount >= 0 for amount in self.set_aside.values())
        assert len(self.set_aside) <= LIMIT

    @invariant()
    def recharged_and_granted_less_revenue_is_the_balance(self) -> None:
        came_in = -self.ledger[RECHARGED] - self.ledger[GRANTED]
        assert came_in - self.ledger[REVENUE] == WALLET.fold(self.facts).balance_fen


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
