"""Who may change whom, and what that does to tokens and to the office of admin."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec.structs import replace

from domain.accounts.admins import ADMINS, LastAdmin, appoint, dismiss, is_active_admin
from domain.accounts.events import (
    AdminAppointed,
    AdminDismissed,
    Role,
    RoleChanged,
    UserDeactivated,
    UserReactivated,
)
from domain.accounts.standing import (
    MAY,
    authorise,
    change_role,
    keep_own_office,
    set_active,
)
from domain.accounts.user import USER, User
from domain.errors import Denied, InvalidState, Refused
from tests.domain.cast import ALICE, BOB, registered
from tests.scenario import given

ADMIN = User(user_id=BOB, role="admin")
SUPER = User(user_id=BOB, role="super_admin")
PLAIN = User(user_id=ALICE, role="user")
OFF = UserDeactivated(user_id=ALICE, token_version=2)


def changed(before: Role, after: Role, token_version: int) -> RoleChanged:
    return RoleChanged(
        user_id=ALICE, before=before, after=after, token_version=token_version, reason="why"
    )


def test_a_promotion_leaves_tokens_alone() -> None:
    given(USER, registered()).when(change_role, "admin", reason="why").then(
        changed("user", "admin", 1)
    )


def test_a_demotion_ends_every_token_given_before() -> None:
    given(USER, registered(role="admin")).when(change_role, "user", reason="why").then(
        changed("admin", "user", 2)
    )


@pytest.mark.parametrize(("before", "after"), list(permutations(MAY, 2)))
def test_whatever_takes_something_away_ends_tokens(before: Role, after: Role) -> None:
    (fact,) = change_role(User(user_id=ALICE, role=before), after, reason="")
    assert (fact.token_version > 1) == bool(MAY[before] - MAY[after])


def test_the_same_again_is_not_recorded() -> None:
    given(USER, registered()).when(change_role, "user", reason="").then_nothing()
    given(USER, registered()).when(set_active, is_active=True, reason="").then_nothing()
    given(USER, registered(), OFF).when(set_active, is_active=False, reason="").then_nothing()


def test_switching_off_ends_every_token_and_switching_on_brings_none_back() -> None:
    given(USER, registered()).when(set_active, is_active=False, reason="").then(OFF)
    state = USER.fold([registered(), OFF, UserReactivated(user_id=ALICE)])
    assert state == User(user_id=ALICE, role="user", token_version=2)


@pytest.mark.parametrize(
    ("actor", "user", "role", "refusal"),
    [
        (ADMIN, PLAIN, "admin", None),
        (ADMIN, PLAIN, None, None),
        (ADMIN, replace(PLAIN, role="admin"), "user", None),
        (ADMIN, PLAIN, "super_admin", Denied),
        (ADMIN, replace(PLAIN, role="super_admin"), "user", Denied),
        (ADMIN, replace(PLAIN, role="super_admin"), None, Denied),
        (SUPER, PLAIN, "super_admin", None),
        (SUPER, replace(PLAIN, role="super_admin"), "user", None),
        (None, PLAIN, None, Denied),
        (replace(ADMIN, is_active=False), PLAIN, None, Denied),
        (replace(ADMIN, role="auditor"), PLAIN, None, Denied),
        (replace(ADMIN, role="user"), PLAIN, None, Denied),
    ],
)
def test_who_may_change_whom(
    actor: User | None, user: User, role: Role | None, refusal: type[Refused] | None
) -> None:
    if refusal is None:
        authorise(actor, user, role=role)
        return
    with pytest.raises(refusal):
        authorise(actor, user, role=role)


def test_admins_do_not_take_their_own_office() -> None:
    for after in (replace(ADMIN, role="user"), replace(ADMIN, is_active=False)):
        with pytest.raises(InvalidState):
            keep_own_office(ADMIN, after)
    keep_own_office(SUPER, replace(SUPER, role="admin"))
    keep_own_office(ADMIN, replace(PLAIN, is_active=False))


def test_the_last_admin_stays() -> None:
    both = (AdminAppointed(user_id=ALICE), AdminAppointed(user_id=BOB))
    given(ADMINS, *both).when(dismiss, user_id=ALICE).then(AdminDismissed(user_id=ALICE))
    given(ADMINS, *both, AdminDismissed(user_id=ALICE)).when(dismiss, user_id=BOB).then_refused(
        LastAdmin
    )
    given(ADMINS).when(dismiss, user_id=BOB).then_refused(LastAdmin)


def test_an_office_is_taken_once() -> None:
    given(ADMINS).when(appoint, user_id=ALICE).then(AdminAppointed(user_id=ALICE))
    given(ADMINS, AdminAppointed(user_id=ALICE)).when(appoint, user_id=ALICE).then_nothing()


def test_an_admin_who_was_never_counted_is_dismissed_without_a_trace() -> None:
    given(ADMINS, AdminAppointed(user_id=BOB)).when(dismiss, user_id=ALICE).then_nothing()


def test_only_the_active_ones_of_two_roles_are_admins() -> None:
    assert is_active_admin(ADMIN)
    assert is_active_admin(SUPER)
    assert not is_active_admin(replace(ADMIN, is_active=False))
    assert not is_active_admin(PLAIN)
    assert not is_active_admin(None)
