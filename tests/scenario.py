"""Given what happened, when something is decided, then these facts or this refusal.

``given(CODE, issued()).when(redeem, user_id=ALICE, now=NOON).then_refused(CodeExpired)``
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from domain.decider import Decider
from domain.errors import Refused
from domain.facts import Fact

S = TypeVar("S")


def given(decider: Decider[S], *facts: Fact) -> Given[S]:
    """A stream in which ``facts`` happened."""
    return Given(decider.fold(facts))


class Given(Generic[S]):
    """A state that a decision is about to be taken on."""

    def __init__(self, state: S) -> None:
        self.state = state

    def when(self, decide: Callable[..., Any], *arguments: Any, **named: Any) -> Decided:
        """Decide; the state comes first."""
        try:
            return Decided(_facts(decide(self.state, *arguments, **named)), None)
        except Refused as refusal:
            return Decided((), refusal)


class Decided:
    """What a decision said."""

    def __init__(self, facts: tuple[Fact, ...], refusal: Refused | None) -> None:
        self.facts = facts
        self.refusal = refusal

    def then(self, *expected: Fact) -> None:
        """Exactly these facts, in this order."""
        assert self.refusal is None, f"refused: {self.refusal!r}"
        assert self.facts == expected

    def then_nothing(self) -> None:
        """Neither a fact nor a refusal."""
        self.then()

    def then_refused(self, refusal: type[Refused], **details: Any) -> None:
        """This refusal; ``details`` must be among those that it shows."""
        assert type(self.refusal) is refusal, f"{self.refusal!r}, {self.facts}"
        assert details.items() <= dict(self.refusal.details).items()


def _facts(decided: Fact | Iterable[Fact] | None) -> tuple[Fact, ...]:
    if decided is None:
        return ()
    return (decided,) if isinstance(decided, Fact) else tuple(decided)
