"""Money is whole fen, and every move is balanced."""

from fractions import Fraction
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.money import RECHARGED, available, held, price_of, to_yuan, transfer

ALICE = UUID(int=1)


@given(st.integers(-(10**12), 10**12))
def test_what_leaves_one_account_arrives_in_the_other(amount_fen: int) -> None:
    postings = transfer(amount_fen, source=RECHARGED, target=available(ALICE))
    assert sum(posting.amount_fen for posting in postings) == 0
    moved = {posting.account: posting.amount_fen for posting in postings}
    assert moved.get(available(ALICE), 0) == amount_fen


def test_moving_nothing_leaves_no_postings() -> None:
    assert transfer(0, source=available(ALICE), target=held(ALICE)) == ()


@pytest.mark.parametrize(
    ("run_ms", "price", "fen"),
    [
        (300_000, 105, 525),  # five minutes, as the published sample
        (0, 105, 0),
        (1, 105, 0),
        (285, 105, 0),  # 0.49875 fen
        (286, 105, 1),  # 0.5005 fen
        (30_000, 1, 1),  # exactly half a fen goes up
        (29_999, 1, 0),
        (10**12, 0, 0),
    ],
)
def test_seconds_are_priced_to_the_fen(run_ms: int, price: int, fen: int) -> None:
    assert price_of(run_ms, price_fen_per_minute=price) == fen


@given(st.integers(0, 10**12), st.integers(0, 10**6))
def test_a_price_is_the_exact_one_rounded_half_up(run_ms: int, price: int) -> None:
    exact = Fraction(run_ms * price, 60_000)
    rounded = price_of(run_ms, price_fen_per_minute=price)
    assert Fraction(-1, 2) < rounded - exact <= Fraction(1, 2)


@given(st.integers(0, 10**9))
def test_yuan_have_two_decimals_at_most(amount_fen: int) -> None:
    assert round(to_yuan(amount_fen), 2) == to_yuan(amount_fen)
    assert round(to_yuan(amount_fen) * 100) == amount_fen
