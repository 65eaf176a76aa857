"""The refold: all aggregates again from the log's facts, each fact checked against the rules.

It trusts nothing but the order of the log: versions, postings, holds, codes, lives of tasks,
limits. What a fact must be is decided anew by the domain's own decisions, where there is one.
The checks ``I1`` to ``I6`` are the platform's invariants about money, codes and tasks;
``ORDER`` is about versions, ``FOLD`` about facts that cannot follow what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.accounts.admins import ADMINS
from domain.accounts.claim import CLAIM
from domain.accounts.events import AdminFact, ClaimFact, UserFact
from domain.accounts.user import USER
from domain.audit.packed import NOTHING, packed, unpacked
from domain.audit.pairing import Pairing
from domain.audit.rules import Broken, expected_postings, require
from domain.audit.totals import Totals
from domain.catalogue import BUSINESS, BY_TAG, decode
from domain.decider import Decider
from domain.facts import Fact, tag_of
from domain.fleet.events import ServerFact
from domain.fleet.server import SERVER
from domain.ids import (
    CONFIGURATION_STREAM,
    LOG_KEYS_STREAM,
    READ_MODELS_STREAM,
    account_stream,
)
from domain.money import Fen
from domain.recharge.code import CODE, Code, redeem
from domain.recharge.events import CodeFact, CodeIssued, CodeRedeemed
from domain.system.accesses import ACCESS, AccessFact
from domain.system.configuration import CONFIGURATION, Configuration
from domain.system.events import ConfigurationChanged, SystemFact
from domain.system.log_keys import LogKeyRotated
from domain.system.read_models import ReadModelFact
from domain.tasks.events import (
    TaskCancelled,
    TaskCompleted,
    TaskFact,
    TaskFailed,
    TaskRetried,
    TaskSubmitted,
    TaskSubmittedInClear,
)
from domain.tasks.lifecycle import OPEN
from domain.tasks.task import TASK, Task, cost_of
from domain.wallet.events import (
    AccountRecharged,
    BalanceAdjusted,
    HoldPlaced,
    HoldSettled,
    WalletFact,
)
from domain.wallet.wallet import WALLET, Wallet

FINDINGS_MAX: Final = 100
"""After so many the log is known to be wrong, and more would only repeat it."""


class Finding(Struct, frozen=True):
    """What is wrong, and the position at which it shows."""

    position: int
    check: str
    message: str


class Refold:
    """Feed it every event in order with ``apply``; read ``findings``, the first one first."""

    def __init__(self) -> None:
        self.position = 0
        self.findings: list[Finding] = []
        self.totals = Totals()
        self.wallets: dict[UUID, Wallet] = {}
        self.moved: dict[UUID, int] = {}
        """At which position a user's money moved last."""
        self.codes: dict[UUID, Code] = {}
        self.tasks: dict[bytes, Task | bytes] = {}
        """By stream; one that has ended is packed, since nearly all have."""
        self.configuration = Configuration()
        self._users: dict[bytes, UUID] = {}
        """Whose account a stream is."""
        self._others: dict[bytes, Any] = {}
        self._versions: dict[bytes, int] = {}
        self._broken: set[bytes] = set()
        self._pairing = Pairing()
        self._command = b""

    def take(self, row: Sequence[Any]) -> None:
        """One stored event more: a ``StoredEvent``, or a plain tuple like it."""
        self.take_part((*row[:4], *row[8:]))

    def take_part(self, row: tuple[int, bytes, int, str, bytes, bytes]) -> None:
        """The same, of the event only what counts: it lacks time, actor, why."""
        position, stream, version, tag, command, state = row
        try:
            fact = decode(state)
        except ValueError as error:
            self.position = position
            self._find(stream, "FOLD", f"the fact cannot be read: {error}")
            return
        self.apply(position, stream, version, command, fact)
        if BY_TAG.get(tag) is not type(fact):
            self._find(stream, "FOLD", f"a {tag_of(fact)} is filed as {tag}")

    def apply(
        self, position: int, stream: bytes, version: int, command: bytes, fact: Fact
    ) -> None:
        """One event more; ``stream`` and ``command`` are the bytes of their ids."""
        if command != self._command:
            self.end_of_command()
            self._command = command
        self.position = position
        expected = self._versions.get(stream, 0) + 1
        self._versions[stream] = version
        if version != expected:
            self._find(
                stream, "ORDER", f"version {version} of its stream follows {expected - 1}"
            )
        if stream in self._broken:
            return
        try:
            _RULES[type(fact)](self, stream, fact)
        except Broken as broken:
            self._find(stream, broken.check, str(broken))
        # whatever a fold raises: it is the stored history that it could not bear
        except Exception as error:  # noqa: BLE001
            self._find(stream, "FOLD", f"{type(fact).__name__}: {error!r}")

    def end_of_command(self) -> None:
        """What a command's facts owe each other must be there by its end."""
        if self._pairing.waiting:
            for check, message in self._pairing.unpaired():
                self._find(b"", check, message)

    def is_broken(self, stream: UUID) -> bool:
        """Whether something was found in the stream, and its later facts left out."""
        return stream.bytes in self._broken

    @property
    def wallets_fen(self) -> Fen:
        """All that users have, holds included."""
        return sum(wallet.balance_fen for wallet in self.wallets.values())

    def _find(self, stream: bytes, check: str, message: str) -> None:
        self._broken.add(stream)
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(self.position, check, message))

    # ── rules: one a kind of stream ────────────────────────────────────────────────────────

    def _wallet(self, stream: bytes, fact: WalletFact) -> None:
        user = self._users.get(stream)
        if user is None or user != fact.user_id:
            user = fact.user_id
            require(account_stream(user).bytes == stream, "FOLD", "an account of another user")
            self._users[stream] = user
        before = self.wallets.get(user, WALLET.initial)
        if fact.postings != expected_postings(before, fact):
            balanced = sum(posting.amount_fen for posting in fact.postings) == 0
            require(balanced, "I1", "its postings do not sum to nothing")
            raise Broken("I1", "its postings say other sums")
        try:
            after = WALLET.evolve(before, fact)
        except (AssertionError, KeyError) as error:
            raise Broken("I2", f"the account cannot bear it: {error}") from error
        require(after.available_fen >= 0, "I2", "less than nothing is left to spend")
        if isinstance(fact, HoldPlaced):
            self._held(before, after, fact)
        elif isinstance(fact, HoldSettled):
            self.totals.revenue_fen += fact.charged_fen
            self._pairing.settled(fact)
        elif isinstance(fact, AccountRecharged):
            self.totals.recharged_fen += fact.amount_fen
            self._pairing.credited(fact)
        elif isinstance(fact, BalanceAdjusted):
            self.totals.granted_fen += fact.delta_fen
            said = (fact.before_fen, fact.after_fen)
            require(said == (before.balance_fen, after.balance_fen), "I1", "other balances")
        self.wallets[user] = after
        self.moved[user] = self.position

    def _held(self, before: Wallet, after: Wallet, fact: HoldPlaced) -> None:
        require(fact.task_id not in before.holds, "I5", "the task is held for twice")
        limit = self.configuration.max_concurrent_tasks_per_user
        if len(after.holds) > limit:
            raise Broken("I6", f"more than {limit} open tasks")
        self._pairing.held(fact)

    def _code(self, stream: bytes, fact: CodeFact) -> None:
        require(fact.code_id.bytes == stream, "FOLD", "a code of another stream")
        before = self.codes.get(fact.code_id)
        if isinstance(fact, CodeIssued):
            require(before is None, "I3", "the code was issued before")
            require(fact.amount_fen > 0 < fact.max_uses, "I3", "a code that gives nothing")
            self.totals.issued_fen += fact.amount_fen * fact.max_uses
        if isinstance(fact, CodeRedeemed):
            try:
                allowed = redeem(
                    before, record_id=fact.record_id, user_id=fact.user_id, now=fact.redeemed_at
                )
            except Exception as refusal:
                raise Broken("I3", f"the code allows it not: {refusal!r}") from refusal
            require(allowed == fact, "I3", "the code promised another amount")
            self.totals.redeemed_fen += fact.amount_fen
            self._pairing.redeemed(fact)
        self.codes[fact.code_id] = CODE.evolve(before, fact) or _never()

    def _task(self, stream: bytes, fact: TaskFact) -> None:
        require(fact.task_id.bytes == stream, "FOLD", "a task of another stream")
        before = self.tasks.get(stream)
        if isinstance(before, bytes):
            before = unpacked(before)
        if isinstance(fact, TaskSubmitted | TaskSubmittedInClear):
            require(before is None, "I4", "the task was submitted before")
            self._pairing.opened(fact.task_id, 1, fact.user_id, fact.hold_fen)
            fact = replace(fact, config=NOTHING)
        elif isinstance(fact, TaskRetried):
            self._pairing.opened(fact.task_id, fact.attempt, fact.user_id, fact.hold_fen)
        elif isinstance(fact, TaskCompleted | TaskFailed | TaskCancelled):
            self._ended(before, fact)
        try:
            after = TASK.evolve(before, fact) or _never()
        except AssertionError as error:
            raise Broken("I4", str(error)) from error
        self.tasks[stream] = after if after.phase in OPEN else packed(after)

    def _ended(
        self, task: Task | None, fact: TaskCompleted | TaskFailed | TaskCancelled
    ) -> None:
        require(task is not None and task.attempt == fact.attempt, "I4", "no such attempt")
        assert task is not None
        require(task.user_id == fact.user_id, "I5", "the task is another user's")
        wallet = self.wallets.get(fact.user_id, WALLET.initial)
        owed = cost_of(
            task, fact.run_ms, None if isinstance(fact, TaskCompleted) else fact.reason
        )
        cost = min(owed, wallet.holds.get(fact.task_id, 0))
        if fact.cost_fen != cost:
            raise Broken("I5", f"{fact.run_ms} ms cost {cost}, not {fact.cost_fen}")
        self._pairing.ended(fact)

    def _configuration(self, stream: bytes, fact: SystemFact) -> None:
        if isinstance(fact, ConfigurationChanged):
            require(stream == CONFIGURATION_STREAM.bytes, "FOLD", "another configuration")
        self.configuration = CONFIGURATION.evolve(self.configuration, fact)

    def _other(self, decider: Decider[Any], stream: bytes, fact: Fact) -> None:
        before = self._others.get(stream, decider.initial)
        self._others[stream] = decider.evolve(before, fact)

    def _act(self, stream: bytes, _fact: Fact) -> None:
        require(stream == READ_MODELS_STREAM.bytes, "FOLD", "acts of another stream")

    def _log_key(self, stream: bytes, _fact: LogKeyRotated) -> None:
        require(stream == LOG_KEYS_STREAM.bytes, "FOLD", "keys of another stream")


Rule: TypeAlias = Callable[[Refold, bytes, Any], None]


def _by(decider: Decider[Any]) -> Rule:
    return lambda refold, stream, fact: refold._other(decider, stream, fact)  # noqa: SLF001


def _rules() -> dict[type[Fact], Rule]:
    of_kind: tuple[tuple[Any, Rule], ...] = (
        (WalletFact, Refold._wallet),  # noqa: SLF001
        (CodeFact, Refold._code),  # noqa: SLF001
        (TaskFact, Refold._task),  # noqa: SLF001
        (SystemFact, Refold._configuration),  # noqa: SLF001
        (ReadModelFact, Refold._act),  # noqa: SLF001
        (UserFact, _by(USER)),
        (ClaimFact, _by(CLAIM)),
        (AdminFact, _by(ADMINS)),
        (ServerFact, _by(SERVER)),
        (AccessFact, _by(ACCESS)),
    )
    rules = {fact: rule for union, rule in of_kind for fact in union.__args__}
    rules[LogKeyRotated] = Refold._log_key  # noqa: SLF001
    assert set(rules) == set(BUSINESS), "a kind of fact without a rule"
    return rules


_RULES: Final = _rules()


def _never() -> Any:
    raise AssertionError("an aggregate ended as nothing")
