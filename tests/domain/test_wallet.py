"""What a user may spend, what is held, and what was charged."""

from typing import Any

import pytest

from domain.errors import InvalidState
from domain.money import GRANTED, RECHARGED, REVENUE, Posting, available, held
from domain.wallet.events import BalanceAdjusted, HoldExtended, HoldSettled
from domain.wallet.wallet import (
    WALLET,
    InsufficientBalance,
    TaskLimitExceeded,
    Wallet,
    adjust,
    extend,
    hold,
    settle,
)
from tests.domain.cast import (
    ALICE,
    HOLD_FEN,
    OTHER_TASK,
    TASK_ID,
    hold_placed,
    recharged,
)
from tests.scenario import given

SPENDS, HELD = available(ALICE), held(ALICE)
ORDER: dict[str, Any] = {"user_id": ALICE, "task_id": TASK_ID, "attempt": 1}
HOLD = ORDER | {"amount_fen": HOLD_FEN, "limit": 5}


def settled(charged_fen: int, released_fen: int, *postings: Posting) -> HoldSettled:
    return HoldSettled(
        **ORDER,
        charged_fen=charged_fen,
        released_fen=released_fen,
        outcome="completed",
        postings=postings,
    )


def test_a_recharge_comes_from_outside() -> None:
    fact = recharged(10_000)
    assert fact.postings == (Posting(RECHARGED, -10_000), Posting(SPENDS, 10_000))
    assert WALLET.fold([fact]) == Wallet(available_fen=10_000)


def test_a_hold_moves_money_aside() -> None:
    given(WALLET, recharged()).when(hold, **HOLD).then(hold_placed())
    state = WALLET.fold([recharged(), hold_placed()])
    assert (state.available_fen, state.held_fen, state.balance_fen) == (8_950, 1_050, 10_000)


def test_the_last_fen_can_be_held_and_no_more() -> None:
    given(WALLET, recharged(HOLD_FEN)).when(hold, **HOLD).then(hold_placed())
    given(WALLET, recharged(HOLD_FEN - 1)).when(hold, **HOLD).then_refused(
        InsufficientBalance, required=10.5, available=10.49
    )


def test_held_money_cannot_be_held_again() -> None:
    history = (recharged(HOLD_FEN), hold_placed(task_id=OTHER_TASK))
    given(WALLET, *history).when(hold, **HOLD).then_refused(
        InsufficientBalance, required=10.5, available=0.0
    )


def test_a_free_task_counts_as_open_with_nothing_held() -> None:
    given(WALLET).when(hold, **(HOLD | {"amount_fen": 0})).then(hold_placed(0))
    assert WALLET.fold([hold_placed(0)]).holds == {TASK_ID: 0}
    assert hold_placed(0).postings == ()


def test_the_limit_counts_open_tasks() -> None:
    history = (recharged(), hold_placed(0, task_id=OTHER_TASK))
    given(WALLET, *history).when(hold, **(HOLD | {"limit": 2})).then(hold_placed())
    given(WALLET, *history).when(hold, **(HOLD | {"limit": 1})).then_refused(
        TaskLimitExceeded, limit=1, active=1
    )


def test_the_limit_is_checked_before_the_balance() -> None:
    given(WALLET, hold_placed(0, task_id=OTHER_TASK)).when(
        hold, **(HOLD | {"limit": 1})
    ).then_refused(TaskLimitExceeded)


def test_a_task_is_not_opened_twice() -> None:
    with pytest.raises(AssertionError, match="open already"):
        given(WALLET, recharged(), hold_placed()).when(hold, **HOLD)


def test_a_hold_is_extended_from_what_may_be_spent() -> None:
    wanted = ORDER | {"amount_fen": 525}
    fact = HoldExtended(**wanted, postings=(Posting(SPENDS, -525), Posting(HELD, 525)))
    given(WALLET, recharged(), hold_placed()).when(extend, **wanted).then(fact)
    state = WALLET.fold([recharged(), hold_placed(), fact])
    assert state.holds == {TASK_ID: HOLD_FEN + 525}


def test_a_hold_is_not_extended_beyond_what_may_be_spent() -> None:
    history = (recharged(HOLD_FEN + 10), hold_placed())
    given(WALLET, *history).when(extend, **ORDER, amount_fen=11).then_refused(
        InsufficientBalance, required=0.11, available=0.1
    )


def test_a_closed_task_has_no_hold_to_extend() -> None:
    given(WALLET, recharged()).when(extend, **ORDER, amount_fen=1).then_refused(InvalidState)


@pytest.mark.parametrize(
    ("price", "fact"),
    [
        (
            525,
            settled(
                525, 525, Posting(HELD, -1_050), Posting(REVENUE, 525), Posting(SPENDS, 525)
            ),
        ),
        (1_050, settled(1_050, 0, Posting(HELD, -1_050), Posting(REVENUE, 1_050))),
        (9_999, settled(1_050, 0, Posting(HELD, -1_050), Posting(REVENUE, 1_050))),
        (0, settled(0, 1_050, Posting(HELD, -1_050), Posting(SPENDS, 1_050))),
    ],
    ids=["some of it", "all of it", "never more than all of it", "nothing"],
)
def test_an_ending_charges_and_gives_back_the_rest(price: int, fact: HoldSettled) -> None:
    given(WALLET, recharged(), hold_placed()).when(
        settle, **ORDER, price_fen=price, outcome="completed"
    ).then(fact)
    state = WALLET.fold([recharged(), hold_placed(), fact])
    assert state == Wallet(available_fen=10_000 - fact.charged_fen)


def test_a_free_task_settles_without_postings() -> None:
    given(WALLET, hold_placed(0)).when(settle, **ORDER, price_fen=0, outcome="completed").then(
        settled(0, 0)
    )


def test_a_task_is_settled_once() -> None:
    done = settled(0, HOLD_FEN, Posting(HELD, -HOLD_FEN), Posting(SPENDS, HOLD_FEN))
    with pytest.raises(AssertionError, match="settled before"):
        given(WALLET, recharged(), hold_placed(), done).when(
            settle, **ORDER, price_fen=0, outcome="completed"
        )


def test_an_operator_sets_the_balance_holds_included() -> None:
    given(WALLET, recharged(), hold_placed()).when(
        adjust, user_id=ALICE, target_fen=1_050, reason="错充"
    ).then(
        BalanceAdjusted(
            user_id=ALICE,
            delta_fen=-8_950,
            before_fen=10_000,
            after_fen=1_050,
            reason="错充",
            postings=(Posting(GRANTED, 8_950), Posting(SPENDS, -8_950)),
        )
    )


def test_an_operator_cannot_take_what_is_held() -> None:
    given(WALLET, recharged(), hold_placed()).when(
        adjust, user_id=ALICE, target_fen=1_049, reason=""
    ).then_refused(InvalidState, held=10.5)


@pytest.mark.parametrize(
    "history",
    [
        (hold_placed(1),),
        (recharged(), hold_placed(), settled(1, 1)),
        (recharged(), hold_placed(), settled(-1, HOLD_FEN + 1)),
    ],
    ids=["spent but not there", "money lost", "money made"],
)
def test_a_stream_in_which_money_does_not_add_up_stops_its_reader(history: Any) -> None:
    with pytest.raises(AssertionError):
        WALLET.fold(history)


@pytest.mark.parametrize(
    ("charged_fen", "released_fen"), [(HOLD_FEN + 1, -1), (-1, HOLD_FEN + 1)]
)
def test_a_settlement_below_nothing_is_a_corrupt_stream(
    charged_fen: int, released_fen: int
) -> None:
    with pytest.raises(AssertionError, match="below nothing"):
        WALLET.fold([recharged(), hold_placed(), settled(charged_fen, released_fen)])
