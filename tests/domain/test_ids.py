"""Ids are ordered by time, or derived and for ever the same."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from domain import ids
from domain.ids import CONFIGURATION_STREAM, account_stream, uuid7, uuid8

MS = st.integers(0, 2**48 - 1)
RANDOM = st.binary(min_size=10, max_size=10)


@given(MS, RANDOM)
def test_a_fresh_id_is_a_version_7_uuid_that_says_when(unix_ms: int, randomness: bytes) -> None:
    fresh = uuid7(unix_ms, randomness)
    assert (fresh.version, fresh.variant) == (7, "specified in RFC 4122")
    assert fresh.int >> 80 == unix_ms


@given(st.tuples(MS, RANDOM), st.tuples(MS, RANDOM))
def test_ids_are_ordered_by_their_time(
    one: tuple[int, bytes], other: tuple[int, bytes]
) -> None:
    if one[0] < other[0]:
        assert uuid7(*one) < uuid7(*other)


@given(st.binary(min_size=16, max_size=64))
def test_a_derived_id_is_a_version_8_uuid(digest: bytes) -> None:
    derived = uuid8(digest)
    assert (derived.version, derived.variant) == (8, "specified in RFC 4122")
    assert derived == uuid8(digest)


def test_the_streams_of_money_and_configuration_never_move() -> None:
    assert account_stream(UUID(int=1)) == UUID("d06b6d61-b4e7-5dd7-a17e-9fa1f818e320")
    assert UUID("8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a02") == CONFIGURATION_STREAM


def test_no_two_of_the_platforms_own_streams_share_an_id() -> None:
    own = {name: value for name, value in vars(ids).items() if isinstance(value, UUID)}
    assert len(own) >= 4
    assert len(set(own.values())) == len(own)
