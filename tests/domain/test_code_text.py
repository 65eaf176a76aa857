"""A code is printed clearly and read kindly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.recharge.code_text import ALPHABET, code_from, hint_of, read, written

SYMBOLS = st.text(ALPHABET, min_size=12, max_size=12)


@given(st.binary(min_size=8, max_size=8))
def test_what_is_printed_can_be_read(randomness: bytes) -> None:
    code = code_from(randomness)
    symbols = read(code)
    assert symbols is not None
    assert written(symbols) == code


@given(SYMBOLS, st.sampled_from(["-", "", " "]))
def test_case_dashes_and_spaces_do_not_matter(symbols: str, gap: str) -> None:
    typed = f"OWL{gap}" + gap.join(symbols[at : at + 4] for at in (0, 4, 8))
    assert read(typed) == read(typed.lower()) == symbols


@given(SYMBOLS)
def test_the_prefix_may_be_left_out(symbols: str) -> None:
    assert read(symbols) == symbols  # no code can begin with OWL: there is no O


@given(st.text(max_size=30))
def test_any_text_is_read_or_known_to_be_no_code(text: str) -> None:
    symbols = read(text)
    assert symbols is None or (len(symbols) == 12 and set(symbols) <= set(ALPHABET))


@pytest.mark.parametrize(
    "text",
    ["", "OWL-ABCD-2345", "OWL-ABCD-2345-EFG_", "OWL-ABCD-2345-EFGÄ", "OWL-ABCD-2345-EFGHJ"],
)
def test_what_cannot_be_a_code_is_none(text: str) -> None:
    assert read(text) is None


def test_sixty_random_bits_make_distinct_codes() -> None:
    codes = {code_from(number.to_bytes(8, "big")) for number in range(2_000)}
    assert len(codes) == 2_000
    assert len(ALPHABET) == len(set(ALPHABET)) == 32
    assert not set("01IO") & set(ALPHABET)


def test_a_hint_keeps_the_first_group_only() -> None:
    assert hint_of("OWL-ABCD-2345-EFGH") == "OWL-ABCD-****-****"


def test_what_only_looks_like_a_code_is_read_and_was_never_issued() -> None:
    assert read("OWL-ABCD-1234-EFGH") == "ABCD1234EFGH"
    assert not set("01OI") & set(ALPHABET)
