"""Tokens by themselves: one that was good is good no longer than it says."""

from datetime import timedelta
from uuid import uuid4

import pytest

from api.rejection import Unauthenticated
from api.security import Tokens
from tests.api.opened import KEY, now

LIFETIME_S = 1_800
LEEWAY_S = 5


def test_a_token_that_was_read_before_still_ends_with_its_time() -> None:
    tokens, began, user = Tokens({"current": KEY}, lifetime_s=LIFETIME_S), now(), uuid4()
    token = tokens.issue(user, 3, now=began, token_id=uuid4())
    for seconds in (0, LIFETIME_S - 1):
        claims = tokens.read(token, now=began + timedelta(seconds=seconds))
        assert (claims.user_id, claims.token_version) == (user, 3)
    for seconds in (LIFETIME_S + LEEWAY_S, LIFETIME_S * 10):
        with pytest.raises(Unauthenticated):
            tokens.read(token, now=began + timedelta(seconds=seconds))


def test_a_token_of_a_key_that_is_kept_is_good_and_one_of_a_key_that_is_gone_is_not() -> None:
    old = Tokens({"one": KEY}, lifetime_s=LIFETIME_S)
    token = old.issue(uuid4(), 1, now=now(), token_id=uuid4())
    newer = b"n" * 32
    both = Tokens({"two": newer, "one": KEY}, lifetime_s=LIFETIME_S)
    assert both.read(token, now=now()) == old.read(token, now=now())
    with pytest.raises(Unauthenticated):
        Tokens({"two": newer}, lifetime_s=LIFETIME_S).read(token, now=now())
