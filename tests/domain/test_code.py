"""A recharge code pays what it promised: to so many users, once each, in time."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import hypothesis
import pytest
from hypothesis import strategies as st

from domain.errors import InvalidInput, InvalidState, NotFound, Refused
from domain.facts import Fact
from domain.recharge.code import (
    CODE,
    CodeAlreadyRedeemed,
    CodeEnded,
    CodeExhausted,
    CodeExpired,
    issue,
    redeem,
    reveal,
    revoke,
)
from domain.recharge.events import CodeRedeemed, CodeRevealed, CodeRevoked
from domain.recharge.redeemers import Redeemers
from tests.domain.cast import ALICE, BOB, CODE_ID, NOON, RECORD_ID, after, issued, redeemed
from tests.scenario import given

BY_ALICE: dict[str, Any] = {"record_id": RECORD_ID, "user_id": ALICE, "now": NOON}
REVOKED = CodeRevoked(code_id=CODE_ID)
ORDER: dict[str, Any] = {
    "code_id": CODE_ID,
    "batch_id": UUID(int=1),
    "hint": "OWL-ABCD-****-****",
    "sealed": "ciphertext",
    "amount_fen": 10_000,
    "max_uses": 1,
    "expires_at": None,
    "description": "",
    "now": NOON,
}


def test_a_code_pays_its_amount() -> None:
    given(CODE, issued()).when(redeem, **BY_ALICE).then(redeemed())


def test_a_code_that_was_never_issued_is_not_found() -> None:
    given(CODE).when(redeem, **BY_ALICE).then_refused(NotFound)


def test_a_user_redeems_a_code_once() -> None:
    history = (issued(max_uses=5), redeemed())
    given(CODE, *history).when(redeem, **BY_ALICE).then_refused(CodeAlreadyRedeemed)


def test_a_spent_code_tells_its_redeemer_that_they_had_it() -> None:
    given(CODE, issued(), redeemed()).when(redeem, **BY_ALICE).then_refused(CodeAlreadyRedeemed)


def test_the_last_use_can_be_spent_and_no_more() -> None:
    twice = issued(max_uses=2)
    by_bob = redeemed(user_id=BOB)
    given(CODE, twice, by_bob).when(redeem, **BY_ALICE).then(redeemed())
    given(CODE, issued(), by_bob).when(redeem, **BY_ALICE).then_refused(CodeExhausted)


def test_a_code_is_dead_at_the_instant_it_expires() -> None:
    given(CODE, issued(expires_at=NOON)).when(redeem, **BY_ALICE).then_refused(CodeExpired)


def test_a_code_lives_until_the_instant_it_expires() -> None:
    last = NOON + timedelta(microseconds=1)
    given(CODE, issued(expires_at=last)).when(redeem, **BY_ALICE).then(redeemed())


def test_a_revoked_code_is_dead_and_tells_its_redeemer_that_they_had_it() -> None:
    five_times = issued(max_uses=5)
    given(CODE, five_times, REVOKED).when(redeem, **BY_ALICE).then_refused(CodeEnded)
    by_bob = (five_times, redeemed(user_id=BOB), REVOKED)
    given(CODE, *by_bob).when(redeem, **BY_ALICE).then_refused(CodeEnded)
    by_alice = (five_times, redeemed(), REVOKED)
    given(CODE, *by_alice).when(redeem, **BY_ALICE).then_refused(CodeAlreadyRedeemed)


def test_revoking_twice_is_once() -> None:
    given(CODE, issued()).when(revoke).then(REVOKED)
    given(CODE, issued(), REVOKED).when(revoke).then_nothing()


def test_a_code_that_is_used_up_stays_used() -> None:
    given(CODE, issued(), redeemed()).when(revoke).then_refused(InvalidState)
    given(CODE, issued(max_uses=2), redeemed()).when(revoke).then(REVOKED)


def test_what_was_revoked_when_it_was_used_up_already_is_not_refused_again() -> None:
    given(CODE, issued(), redeemed(), REVOKED).when(revoke).then_nothing()


def test_each_look_at_a_code_is_on_record() -> None:
    seen = CodeRevealed(code_id=CODE_ID)
    given(CODE, issued(), seen, REVOKED).when(reveal).then(seen)


@pytest.mark.parametrize("decide", [revoke, reveal])
def test_what_was_never_issued_can_be_neither_revoked_nor_revealed(
    decide: Callable[..., Any],
) -> None:
    given(CODE).when(decide).then_refused(NotFound)


def test_a_code_is_issued_as_ordered() -> None:
    assert issue(**ORDER) == issued()


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("expires_at", {"expires_at": NOON}),
        ("amount", {"amount_fen": 0}),
        ("amount", {"amount_fen": -1}),
        ("max_uses", {"max_uses": 0}),
    ],
)
def test_a_code_that_could_pay_nobody_is_not_issued(field: str, bad: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        issue(**(ORDER | bad))
    assert refusal.value.details["field"] == field


def test_a_fact_before_the_issue_is_a_corrupt_stream() -> None:
    with pytest.raises(AssertionError, match="corrupt"):
        CODE.fold([redeemed()])


@hypothesis.given(
    max_uses=st.integers(1, 5),
    attempts=st.lists(
        st.one_of(st.tuples(st.integers(0, 7), st.integers(-48, 48)), st.just("revoke")),
        max_size=30,
    ),
)
def test_a_code_never_pays_more_than_it_promised(
    max_uses: int, attempts: list[tuple[int, int] | str]
) -> None:
    history: list[Fact] = [issued(max_uses=max_uses, expires_at=NOON)]
    dead = False
    for number, attempt in enumerate(attempts):
        code = CODE.fold(history)
        if isinstance(attempt, str):
            try:
                history.extend(revoke(code))
            except InvalidState:
                assert sum(isinstance(fact, CodeRedeemed) for fact in history) == max_uses
            else:
                dead = True
            continue
        user, hour = attempt
        named = {"record_id": UUID(int=number), "user_id": UUID(int=user)}
        try:
            fact = redeem(code, now=after(hour * 3600), **named)
        except Refused:
            continue
        assert not dead
        history.append(fact)
    paid = [fact for fact in history if isinstance(fact, CodeRedeemed)]
    assert len(paid) <= max_uses
    assert len({fact.user_id for fact in paid}) == len(paid)
    assert all(fact.redeemed_at < NOON and fact.amount_fen == 10_000 for fact in paid)


@hypothesis.given(st.lists(st.uuids()), st.uuids())
def test_the_set_of_redeemers_is_a_set(users: list[UUID], other: UUID) -> None:
    redeemers = Redeemers()
    for user in users:
        redeemers = redeemers.and_also(user)
    assert len(redeemers) == len(set(users))
    assert all(user in redeemers for user in users)
    assert (other in redeemers) == (other in users)
