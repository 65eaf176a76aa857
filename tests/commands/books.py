"""An auditor's books over a farm in memory: what must hold after every event."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TypeVar
from uuid import UUID

from domain.facts import Fact
from domain.ids import CONFIGURATION_STREAM
from domain.money import GRANTED, RECHARGED, REVENUE, available, held
from domain.recharge.code import CODE
from domain.recharge.events import CodeRedeemed
from domain.system.configuration import CONFIGURATION
from domain.tasks.ending import Ending
from domain.tasks.lifecycle import OPEN
from domain.wallet.events import AccountRecharged, HoldSettled, WalletFact
from tests.commands.farm import Farm

F = TypeVar("F", bound=Fact)


class Books:
    """Reads a farm's story from where it stopped and posts it to a ledger of its own."""

    def __init__(self, farm: Farm, users: tuple[UUID, ...]) -> None:
        self._farm = farm
        self._users = users
        self._ledger: defaultdict[str, int] = defaultdict(int)
        self._read = 0

    def post(self) -> None:
        """Recharged and granted less revenue is the sum of balances, after each event."""
        accounts = [account(user) for user in self._users for account in (available, held)]
        for _, fact in self._farm.story[self._read :]:
            if isinstance(fact, WalletFact):
                assert sum(posting.amount_fen for posting in fact.postings) == 0
                for posting in fact.postings:
                    self._ledger[posting.account] += posting.amount_fen
            came_in = -self._ledger[RECHARGED] - self._ledger[GRANTED]
            balances = sum(self._ledger[account] for account in accounts)
            assert came_in - self._ledger[REVENUE] == balances
        self._read = len(self._farm.story)

    def check_balances(self) -> None:
        """The streams say what the postings say, and nothing is negative."""
        for user in self._users:
            wallet = self._farm.wallet(user)
            assert wallet.available_fen == self._ledger[available(user)] >= 0
            assert wallet.held_fen == self._ledger[held(user)] >= 0
            assert all(amount >= 0 for amount in wallet.holds.values())
        assert self._ledger[REVENUE] >= 0

    def check_holds(self, tasks: list[UUID]) -> None:
        """Open tasks are those with a hold, and within the limit."""
        configuration = self._farm.state(CONFIGURATION, CONFIGURATION_STREAM)
        states = [self._farm.task(task_id) for task_id in tasks]
        for user in self._users:
            open_ones = {s.task_id for s in states if s.user_id == user and s.phase in OPEN}
            assert set(self._farm.wallet(user).holds) == open_ones
            assert len(open_ones) <= configuration.max_concurrent_tasks_per_user

    def check_settlements(self) -> None:
        """Every ending is settled once, for what it cost; nothing else is revenue."""
        endings = [fact for _, fact in self._farm.story if isinstance(fact, Ending)]
        settled = self._facts(HoldSettled)
        costs = {(fact.task_id, fact.attempt): fact.cost_fen for fact in endings}
        charges = {(fact.task_id, fact.attempt): fact.charged_fen for fact in settled}
        assert costs == charges
        assert (len(endings), len(settled)) == (len(costs), len(charges))
        assert self._ledger[REVENUE] == sum(charges.values())

    def check_codes(self) -> None:
        """Every use of a code is credited once, and no code pays more than it promised."""
        redeemed = self._facts(CodeRedeemed)
        used = [(fact.record_id, fact.amount_fen) for fact in redeemed]
        credited = [(fact.record_id, fact.amount_fen) for fact in self._facts(AccountRecharged)]
        assert used == credited
        for code_id, uses in Counter(fact.code_id for fact in redeemed).items():
            code = self._farm.state(CODE, code_id)
            assert code is not None
            assert uses <= code.max_uses

    def _facts(self, kind: type[F]) -> list[F]:
        return [fact for _, fact in self._farm.story if isinstance(fact, kind)]
