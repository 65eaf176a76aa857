"""A user registers once and logs in while active."""

import pytest

from domain.accounts.events import (
    PasswordChanged,
    ProfileChanged,
    RoleChanged,
    UserDeactivated,
    UserLoggedIn,
    UserReactivated,
)
from domain.accounts.user import USER, PasswordOutdated, User, log_in
from domain.errors import InvalidState, NotFound
from tests.domain.cast import ALICE, registered
from tests.scenario import given

LOGGED_IN = UserLoggedIn(user_id=ALICE, address="203.0.113.7")
OFF = UserDeactivated(user_id=ALICE, token_version=2)


def test_a_login_is_on_record_with_its_address() -> None:
    given(USER, registered()).when(log_in, token_version=1, address="203.0.113.7").then(
        LOGGED_IN
    )


def test_nobody_logs_in_who_never_registered() -> None:
    given(USER).when(log_in, token_version=1, address=None).then_refused(NotFound)


def test_a_user_who_is_switched_off_does_not_log_in() -> None:
    again = given(USER, registered(), OFF)
    again.when(log_in, token_version=2, address=None).then_refused(InvalidState)


def test_a_user_who_is_switched_on_again_does() -> None:
    history = (registered(), OFF, UserReactivated(user_id=ALICE))
    again = given(USER, *history).when(log_in, token_version=2, address=None)
    again.then(UserLoggedIn(user_id=ALICE))


def test_a_password_that_was_right_before_a_change_is_right_no_more() -> None:
    changed = PasswordChanged(user_id=ALICE, token_version=2)
    late = given(USER, registered(), changed).when(log_in, token_version=1, address=None)
    late.then_refused(PasswordOutdated)


def test_the_state_holds_what_decisions_need() -> None:
    state = USER.fold(
        [
            registered(),
            LOGGED_IN,
            ProfileChanged(user_id=ALICE, full_name="爱丽丝二世"),
            PasswordChanged(user_id=ALICE, token_version=2),
            RoleChanged(user_id=ALICE, before="user", after="admin", token_version=3),
        ]
    )
    assert state == User(user_id=ALICE, role="admin", token_version=3)


def test_a_fact_before_the_registration_is_a_corrupt_stream() -> None:
    with pytest.raises(AssertionError, match="corrupt"):
        USER.fold([LOGGED_IN])
