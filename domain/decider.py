"""A decider: how one kind of stream is folded into a state.

Decisions themselves are plain functions beside each aggregate: ``decide(state, …) -> facts``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import UnionType
from typing import Any, Generic, TypeVar

from msgspec import Struct

from domain.facts import Fact

S = TypeVar("S")


class Decider(Struct, Generic[S], frozen=True):
    """``category`` names the kind of stream; ``evolve`` is total over its ``facts``."""

    category: str
    initial: S
    evolve: Callable[[S, Any], S]
    facts: type[Fact] | UnionType

    def begins(self, fact: type[Fact]) -> bool:
        """Whether a stream with this first fact is of this kind: it is, or is not, for ever."""
        return issubclass(fact, self.facts)

    def fold(self, facts: Iterable[Any], state: S | None = None) -> S:
        """The state after ``facts``, starting from ``state`` or from the initial one."""
        current = self.initial if state is None else state
        for fact in facts:
            current = self.evolve(current, fact)
        return current
