"""Who may be forgotten, and what that leaves."""

from __future__ import annotations

import pytest

from domain.accounts.erasure import erase
from domain.accounts.events import RoleChanged, UserErased
from domain.accounts.standing import set_active
from domain.accounts.user import USER
from domain.errors import InvalidState, NotFound
from domain.wallet.wallet import WALLET, Wallet
from tests.domain.cast import ALICE, hold_placed, recharged, registered
from tests.scenario import given

ERASED = UserErased(user_id=ALICE, token_version=2, reason="wish")


def test_a_user_is_forgotten_once() -> None:
    given(USER, registered()).when(erase, Wallet(), reason="wish").then(ERASED)
    given(USER, registered(), ERASED).when(erase, Wallet(), reason="wish").then_nothing()
    given(USER).when(erase, Wallet(), reason="wish").then_refused(NotFound)


def test_the_money_stays_and_open_tasks_come_first() -> None:
    rich = WALLET.fold([recharged(10_000)])
    given(USER, registered()).when(erase, rich, reason="wish").then(ERASED)
    busy = WALLET.fold([recharged(10_000), hold_placed()])
    given(USER, registered()).when(erase, busy, reason="wish").then_refused(
        InvalidState, open=1
    )


def test_an_administrator_is_not_forgotten_in_office() -> None:
    admin = given(USER, registered(role="admin"))
    admin.when(erase, Wallet(), reason="wish").then_refused(InvalidState)
    former = RoleChanged(user_id=ALICE, before="admin", after="user", token_version=2)
    given(USER, registered(role="admin"), former).when(erase, Wallet(), reason="wish").then(
        UserErased(user_id=ALICE, token_version=3, reason="wish")
    )


def test_who_was_forgotten_does_not_come_back() -> None:
    user = USER.fold([registered(), ERASED])
    assert user is not None
    assert (user.is_active, user.token_version) == (False, 2)
    with pytest.raises(InvalidState):
        set_active(user, is_active=True, reason="")
