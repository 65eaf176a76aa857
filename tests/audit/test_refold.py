"""The refold accepts what the platform's own commands did, and names the first forged fact."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import asdict, replace

from commands.board import Board
from commands.board_folds import fold
from domain.audit.canonical import StoredEvent
from domain.audit.refold import Finding, Refold
from domain.catalogue import decode, encode
from domain.facts import Fact, tag_of
from domain.recharge.events import CodeRedeemed
from domain.tasks.events import TaskCompleted, TaskSubmitted, TaskSubmittedInClear
from domain.wallet.events import AccountRecharged, HoldPlaced, HoldSettled
from tests.audit.stories import played
from tests.domain.cast import NOON
from tests.projections.feed import recorded


def refolded(events: Sequence[StoredEvent]) -> Refold:
    refold = Refold()
    for event in events:
        fact = decode(event.state)
        refold.apply(event.position, event.stream, event.version, event.command_id, fact)
    refold.end_of_command()
    return refold


def forged(
    events: Sequence[StoredEvent], kind: type[Fact], **changes: Any
) -> list[StoredEvent]:
    """The log with the first fact of a kind replaced by another."""
    at = next(n for n, event in enumerate(events) if event.tag == tag_of(kind))
    fact = replace(decode(events[at].state), **changes)
    return [*events[:at], events[at]._replace(state=encode(fact)), *events[at + 1 :]]


@pytest.mark.parametrize("seed", range(20))
def test_what_the_platform_did_is_found_right(seed: int) -> None:
    story = played(seed, 300)
    refold = refolded(story.stored())
    assert refold.findings == []
    totals = refold.totals
    assert totals.recharged_fen == totals.redeemed_fen
    assert refold.wallets_fen == totals.recharged_fen + totals.granted_fen - totals.revenue_fen
    for user, wallet in refold.wallets.items():
        assert wallet == story.wallet(user)


def as_before(event: StoredEvent) -> StoredEvent:
    """As an earlier version stored it, when what users wrote was not sealed."""
    fact = decode(event.state)
    if not isinstance(fact, TaskSubmitted):
        return event
    said = TaskSubmittedInClear(**asdict(fact))
    return event._replace(tag=tag_of(said), state=encode(said))


def test_a_log_of_an_earlier_version_is_found_right_and_its_tasks_are_dispatched() -> None:
    events = played(2, 300).stored()
    before = list(map(as_before, events))
    assert {tag_of(TaskSubmittedInClear)} == {e.tag for e in before} - {e.tag for e in events}
    ours, theirs = refolded(events), refolded(before)
    assert theirs.findings == []
    assert (theirs.wallets, theirs.tasks) == (ours.wallets, ours.tasks)
    waiting = [board_of(each) for each in (events, before)]
    assert waiting[0] == waiting[1]
    assert waiting[0], "some task is open"


def board_of(events: Sequence[StoredEvent]) -> dict[UUID, Any]:
    board = Board()
    for event in events:
        stream = UUID(bytes=event.stream)
        fold(board, recorded(decode(event.state), stream, event.position, NOON))
    return board.tasks


@pytest.mark.parametrize(
    ("kind", "changes", "check"),
    [
        (AccountRecharged, {"amount_fen": 10**6}, "I1"),
        (AccountRecharged, {"postings": ()}, "I1"),
        (HoldPlaced, {"amount_fen": 10**9}, "I1"),
        (HoldSettled, {"charged_fen": -1}, "I1"),
        (CodeRedeemed, {"amount_fen": 1}, "I3"),
        (TaskCompleted, {"cost_fen": 1_000_000}, "I5"),
        (TaskCompleted, {"attempt": 9}, "I4"),
        (TaskSubmitted, {"hold_fen": 77}, "I2"),
    ],
)
def test_a_forged_fact_is_named_by_its_position_and_its_rule(
    kind: type[Fact], changes: dict[str, Any], check: str
) -> None:
    events = played(3, 300).stored()
    wrong = forged(events, kind, **changes)
    position = next(old.position for old, new in zip(events, wrong, strict=True) if old != new)
    first = refolded(wrong).findings[0]
    assert first.check == check, first
    # a half that lacks its other half shows at the end of its command
    assert 0 <= first.position - position <= 1, first


def test_a_fact_left_out_or_said_twice_shows_in_the_versions_of_its_stream() -> None:
    events = played(4, 300).stored()
    dice = random.Random(4)
    for _ in range(50):
        at = dice.randrange(len(events) - 1)
        stream = events[at].stream
        follows = next((e for e in events[at + 1 :] if e.stream == stream), None)
        left_out = [*events[:at], *events[at + 1 :]]
        if follows is not None:
            assert (
                Finding(
                    follows.position,
                    "ORDER",
                    f"version {follows.version} of its stream follows {events[at].version - 1}",
                )
                in refolded(left_out).findings
            )
        twice = [*events[: at + 1], *events[at:]]
        assert refolded(twice).findings[0].check == "ORDER"


def test_more_open_tasks_than_allowed_are_found() -> None:
    events = played(5, 300).stored()
    tight = [
        event._replace(state=event.state.replace(b'user":3', b'user":1'))
        if event.tag == "system.configuration_changed/1"
        else event
        for event in events
    ]
    assert [found.check for found in refolded(tight).findings][:1] == ["I6"]
