"""Commands decided together on one overlay of states: what a group commit is made of.

Pure bookkeeping, no I/O: the writer loads what is missing here and sends what is decided here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple, get_type_hints
from uuid import UUID

import msgspec
from msgspec import Struct

from commands.bounded_cache import BoundedCache
from commands.event_log.batch import TAGS, Appended, Batch, Envelope
from commands.event_log.failures import Unreadable
from commands.event_log.personal import KeyOf, as_read, sealed
from commands.event_log.row_calls import row_call
from commands.event_log.secrets import Secrets
from commands.event_log.session import Facts
from commands.event_log.wire import Call
from commands.rows import SubjectErasure, SubjectKey
from commands.unit_of_work import State, StreamMissing, Work, as_kind
from domain.catalogue import encode
from domain.decider import Decider
from domain.envelope import Context
from domain.errors import NotFound
from domain.facts import Fact


class Decided(NamedTuple):
    """A command's outcome, to be told when its round has landed.

    ``last`` counts the round's events up to this command's last one; 0 when it has none.
    """

    command: Any
    result: Any
    refusal: Exception | None
    last: int


class Round:
    """Commands decided one upon the other; they are committed together or decided again."""

    def __init__(self) -> None:
        self.overlay: dict[UUID, State] = {}
        self.bases: dict[UUID, int] = {}
        self.decided: list[Decided] = []
        self.facts: list[tuple[Fact, Context]] = []
        self.batch = Batch()
        self.new_keys: dict[UUID, bytes] = {}
        self.erased: list[UUID] = []

    @property
    def guards(self) -> list[tuple[UUID, int]]:
        """What was read and not written, and must not have moved: for refusals as well."""
        overlay = self.overlay
        return [base for base in self.bases.items() if base[0] not in overlay]

    def add(self, command: Any, context: Context, work: Work, decision: Decision) -> None:
        """Take a decided command's work over."""
        bases, overlay, batch = self.bases, self.overlay, self.batch
        for stream, loaded in work.streams.items():
            if stream not in bases:
                bases[stream] = loaded.base
            if loaded.version != loaded.base:
                overlay[stream] = (loaded.version, loaded.state, loaded.decider)
        appended = work.appended
        if appended:
            envelope = Envelope(context)
            for (stream, version, fact), state in zip(appended, decision.states, strict=True):
                batch.events.append(
                    Appended(stream, version, TAGS[type(fact)], state, envelope)
                )
            self.facts += [(fact, context) for fact in decision.facts]
        last = len(batch) if appended else 0
        self.decided.append(Decided(command, decision.result, None, last))
        if decision.receipt is not None and context.repeat is not None:
            batch.receipt(context.repeat, context.command_id, decision.receipt, len(appended))
        batch.rows(decision.rows)
        if context.fence is not None:
            batch.fences.add(context.fence)
        self._mind_keys(work.kept)

    def _mind_keys(self, kept: Iterable[Struct]) -> None:
        for row in kept:
            if isinstance(row, SubjectKey):
                self.new_keys[row.user_id] = row.key
            elif isinstance(row, SubjectErasure):
                self.erased.append(row.user_id)

    def refuse(self, command: Any, work: Work, refusal: Exception) -> None:
        """Take a refusal or a defect over: it holds if what it was decided on still holds."""
        for stream, loaded in work.streams.items():
            self.bases.setdefault(stream, loaded.base)
        self.decided.append(Decided(command, None, refusal, 0))


class Decision(NamedTuple):
    """What a handler returned, encoded as it will be stored."""

    result: Any
    facts: list[Fact]
    """As whoever reads them later sees them."""
    states: list[bytes]
    rows: list[Call]
    receipt: bytes | None


def decide(
    handler: Callable[[Any, Any], Any],
    command: Struct,
    work: Work,
    keys: KeyOf,
    secrets: Secrets,
    *,
    repeatable: bool,
) -> Decision:
    """Run a handler and encode what it appended, all that can fail for its own reasons.

    Raises:
        Refused: the domain said no.
        StreamMissing, KeyMissing: to be loaded first.
    """
    result = handler(command, work)
    rows = []
    if work.kept:
        keys = with_new_keys(work.kept, keys)
        rows = [row_call(row, secrets) for row in work.kept]
    said = [fact for _, _, fact in work.appended]
    stored = [sealed(fact, keys) for fact in said]
    facts = list(map(as_read, said, stored))
    receipt = msgspec.json.encode(result) if repeatable else None
    return Decision(result, facts, list(map(encode, stored)), rows, receipt)


def with_new_keys(kept: Iterable[Struct], keys: KeyOf) -> KeyOf:
    """Keys that include those this work keeps: a user's first facts carry the key along."""
    new = {row.user_id: row.key for row in kept if isinstance(row, SubjectKey)}

    def key_of(user_id: UUID) -> bytes | None:
        return new.get(user_id) or keys(user_id)

    return key_of


@cache
def receipt_type(handler: Callable[..., Any]) -> Any:
    """What the handler returns, by its annotation: how its stored receipts are read."""
    return get_type_hints(handler)["return"]


class States:
    """The states that this process knows, none of them trusted: every commit checks them.

    Doubted streams moved on elsewhere: they are read on from where they were known. Strange
    ones were asked for as what they are not: what their first fact is says so again, so that a
    wrong id has a stream read once, however often somebody tries it.
    """

    def __init__(self, limit: int) -> None:
        self._known: BoundedCache[UUID, State] = BoundedCache(limit)
        self._doubted: BoundedCache[UUID, State | tuple[()]] = BoundedCache(limit)
        self._strange: BoundedCache[UUID, type[Fact]] = BoundedCache(limit)
        self._read: dict[UUID, tuple[State | tuple[()], Facts]] = {}

    def find(self, decider: Decider[Any], stream: UUID) -> State:
        """The version and state that were last known.

        Raises:
            StreamMissing: load it.
            NotFound: it is of another kind.
            Unreadable: it was loaded, and this program cannot read it.
        """
        state = self._known.get(stream)
        if state is not None:
            return as_kind(decider, state)
        first = self._strange.get(stream)
        if first is not None and not decider.begins(first):
            raise NotFound
        if stream not in self._read:
            raise StreamMissing(stream)
        base, facts = self._read[stream]
        if isinstance(facts, Unreadable):
            raise facts
        version, folded, _ = as_kind(decider, base or (0, decider.initial, decider))
        if facts and not version and not decider.begins(type(facts[0])):
            self._strange.put(stream, type(facts[0]))
            raise NotFound
        evolve = decider.evolve
        for fact in facts:
            folded = evolve(folded, fact)
        state = (version + len(facts), folded, decider)
        if folded is not None:  # an id without a thing is anybody's word: it takes no room
            self._known.put(stream, state)
            del self._read[stream]
        return state

    def find_new(self, decider: Decider[Any], stream: UUID) -> State:
        """A stream that is said to be new: believed, unless a commit found otherwise."""
        if (self._read or self._doubted) and (
            self.knows(stream) or self._doubted.get(stream) is not None
        ):
            return self.find(decider, stream)
        return (0, decider.initial, decider)

    def knows(self, stream: UUID) -> bool:
        """Whether enough is known of the stream to try without loading it."""
        return (
            stream in self._read
            or self._known.get(stream) is not None
            or self._strange.get(stream) is not None
        )

    def wanted(self, streams: Iterable[UUID]) -> dict[UUID, State | tuple[()]]:
        """From which states on these streams are to be read; nothing: from their start."""
        return {stream: self._doubted.pop(stream) or () for stream in streams}

    def read(self, wanted: dict[UUID, State | tuple[()]], facts: dict[UUID, Facts]) -> None:
        """What was read; it is folded when a handler says by which decider."""
        for stream, base in wanted.items():
            self._read[stream] = (base, facts.get(stream, []))

    def landed(self, overlay: dict[UUID, State]) -> None:
        """These are committed."""
        put = self._known.put
        for stream, state in overlay.items():
            put(stream, state)

    def doubt(self, streams: Iterable[UUID]) -> None:
        """These may have moved on elsewhere."""
        for stream in streams:
            self._read.pop(stream, None)
            self._doubted.put(stream, self._known.pop(stream) or ())

    def settle(self) -> None:
        """Forget what was read and never asked for."""
        self._read.clear()
