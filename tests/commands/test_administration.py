"""What an admin changes of a user happens together, and never leaves the farm without one."""

from typing import Any
from uuid import UUID

import pytest

from commands.accounts import RegisterUser, register_user
from commands.administration import UpdateUser, UserNow, update_user
from commands.rows import CredentialChange
from domain.accounts.admins import ADMINS, LastAdmin
from domain.accounts.events import (
    AdminAppointed,
    AdminDismissed,
    Role,
    RoleChanged,
    UserDeactivated,
    UserReactivated,
)
from domain.errors import Denied, InvalidState, NotFound
from domain.ids import ADMINS_STREAM, account_stream
from domain.wallet.events import BalanceAdjusted
from domain.wallet.wallet import WALLET
from tests.domain.cast import ALICE, BOB, hold_placed, recharged
from tests.memory import MemoryLog

CAROL = UUID(int=0xCA201)


def farm(**roles: Role) -> MemoryLog:
    """Users by name; whoever is not named does not exist."""
    log = MemoryLog()
    ids = {"alice": ALICE, "bob": BOB, "carol": CAROL}
    for name, role in roles.items():
        command = RegisterUser(
            user_id=ids[name],
            email="-",
            username="-",
            full_name="-",
            password_hash="-",
            email_claim=UUID(int=ids[name].int + 1),
            username_claim=UUID(int=ids[name].int + 2),
            subject_key=bytes(32),
            role=role,
        )
        log.run(register_user, command)
    log.story.clear()
    log.rows.clear()
    return log


def update(log: MemoryLog, user: UUID = ALICE, by: UUID | None = BOB, **wish: Any) -> UserNow:
    return log.run(update_user, UpdateUser(user_id=user, actor_id=by, **wish))


def test_the_sample_of_the_contract_is_one_commit() -> None:
    log = farm(alice="user", bob="admin")
    done = update(log, role="admin", is_active=False, balance_fen=20_000, reason="测试")
    assert done == UserNow(ALICE, "admin", is_active=False, token_version=2)
    role, off, balance = [fact for _, fact in log.story]
    assert role == RoleChanged(
        user_id=ALICE, before="user", after="admin", token_version=1, reason="测试"
    )
    assert off == UserDeactivated(user_id=ALICE, token_version=2, reason="测试")
    assert isinstance(balance, BalanceAdjusted)
    assert (balance.before_fen, balance.delta_fen, balance.after_fen) == (0, 20_000, 20_000)
    assert log.rows == [
        CredentialChange(user_id=ALICE, token_version=2, role="admin", is_active=False)
    ]


def test_a_balance_that_cannot_be_takes_the_rest_with_it() -> None:
    log = farm(alice="user", bob="admin")
    log.given(account_stream(ALICE), recharged(10_000), hold_placed(1_050))
    story = list(log.story)
    with pytest.raises(InvalidState) as refusal:
        update(log, role="admin", balance_fen=1_049)
    assert refusal.value.details == {"held": 10.5}
    assert (log.story, log.rows) == (story, [])
    update(log, balance_fen=1_050)
    assert log.state(WALLET, account_stream(ALICE)).available_fen == 0


def test_what_is_so_already_is_not_recorded() -> None:
    log = farm(alice="user", bob="admin")
    update(log, role="user", is_active=True, balance_fen=0)
    assert (log.story, log.rows) == ([], [])


def test_the_admins_are_counted_wherever_somebody_becomes_one_or_stops() -> None:
    log = farm(alice="user", bob="admin", carol="super_admin")

    def admins() -> frozenset[UUID]:
        return log.state(ADMINS, ADMINS_STREAM).active

    assert admins() == {BOB, CAROL}
    for wish, expected in (
        ({"role": "admin"}, {ALICE, BOB, CAROL}),
        ({"is_active": False}, {BOB, CAROL}),
        ({"role": "auditor"}, {BOB, CAROL}),
        ({"role": "admin", "is_active": True}, {ALICE, BOB, CAROL}),
        ({"role": "user"}, {BOB, CAROL}),
    ):
        update(log, **wish)
        assert admins() == expected
    facts = [fact for stream, fact in log.story if stream == ADMINS_STREAM]
    assert [type(fact) for fact in facts] == [AdminAppointed, AdminDismissed] * 2


@pytest.mark.parametrize("wish", [{"role": "user"}, {"is_active": False}])
@pytest.mark.parametrize("by", [BOB, None])
def test_the_last_active_admin_stays(wish: dict[str, Any], by: UUID | None) -> None:
    log = farm(bob="admin", alice="admin")
    update(log, is_active=False)
    story = list(log.story)
    with pytest.raises(LastAdmin):
        update(log, BOB, by, **wish)
    assert log.story == story


@pytest.mark.parametrize("wish", [{"role": "user"}, {"is_active": False}])
def test_nobody_takes_their_own_office_but_others_may(wish: dict[str, Any]) -> None:
    log = farm(bob="admin", alice="admin")
    with pytest.raises(InvalidState):
        update(log, BOB, BOB, **wish)
    update(log, BOB, ALICE, **wish)
    with pytest.raises(Denied):
        update(log, ALICE, BOB, balance_fen=1)


def test_a_super_admin_is_made_by_super_admins_only() -> None:
    log = farm(alice="user", bob="admin", carol="super_admin")
    for user, wish in ((ALICE, {"role": "super_admin"}), (CAROL, {"is_active": False})):
        with pytest.raises(Denied):
            update(log, user, BOB, **wish)
    update(log, ALICE, CAROL, role="super_admin")
    update(log, CAROL, None, role="user")  # the operator of the machine may


def test_who_is_not_there_is_not_changed() -> None:
    log = farm(bob="admin")
    with pytest.raises(NotFound):
        update(log, is_active=False)
    with pytest.raises(Denied):
        update(log, BOB, ALICE, is_active=False)


def test_switching_on_again_brings_no_token_back() -> None:
    log = farm(alice="user", bob="admin")
    update(log, is_active=False)
    assert update(log, is_active=True) == UserNow(ALICE, "user", True, 2)
    assert log.story[-1] == (ALICE, UserReactivated(user_id=ALICE))


def test_a_command_names_the_streams_it_will_want() -> None:
    command = UpdateUser(user_id=ALICE, actor_id=BOB, balance_fen=1)
    assert command.streams() == (ALICE, BOB, account_stream(ALICE))
    assert UpdateUser(user_id=ALICE, actor_id=None).streams() == (ALICE,)
