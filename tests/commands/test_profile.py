"""A user's own changes: the name moves with its claim, the password ends older tokens."""

from typing import Any
from uuid import UUID

import pytest

from commands.accounts import RegisterUser, register_user
from commands.profile import (
    ChangePassword,
    ChangeProfile,
    PasswordNow,
    ProfileNow,
    change_password,
    change_profile,
)
from commands.rows import CredentialChange
from domain.accounts.claim import CLAIM, UsernameTaken
from domain.accounts.events import (
    NameClaimed,
    NameReleased,
    PasswordChanged,
    ProfileChanged,
    UserDeactivated,
)
from domain.accounts.user import PasswordOutdated
from domain.errors import InvalidState, NotFound
from tests.domain.cast import ALICE, BOB
from tests.memory import MemoryLog

OLD, NEW = UUID(int=0x01D), UUID(int=0x2E3)
RENAMED: dict[str, Any] = {"user_id": ALICE, "username": "alice2", "username_claim": NEW}


def register(log: MemoryLog, user: UUID, username_claim: UUID) -> None:
    command = RegisterUser(
        user_id=user,
        email="-",
        username="-",
        full_name="-",
        password_hash="-",
        email_claim=UUID(int=user.int + 1),
        username_claim=username_claim,
        subject_key=bytes(32),
    )
    log.run(register_user, command)


@pytest.fixture
def log() -> MemoryLog:
    log = MemoryLog()
    register(log, ALICE, OLD)
    log.story.clear()
    log.rows.clear()
    return log


def test_a_new_name_is_claimed_and_the_old_one_released_in_one_commit(log: MemoryLog) -> None:
    assert log.run(change_profile, ChangeProfile(**RENAMED)) == ProfileNow(ALICE)
    assert log.story == [
        (NEW, NameClaimed(kind="username", user_id=ALICE)),
        (OLD, NameReleased(kind="username", user_id=ALICE)),
        (ALICE, ProfileChanged(user_id=ALICE, username="alice2", username_claim=NEW)),
    ]


def test_a_name_that_was_given_up_is_free_and_the_new_one_is_not(log: MemoryLog) -> None:
    log.run(change_profile, ChangeProfile(**RENAMED))
    register(log, BOB, OLD)
    story = list(log.story)
    with pytest.raises(UsernameTaken):
        log.run(
            change_profile, ChangeProfile(user_id=BOB, username="alice2", username_claim=NEW)
        )
    assert log.story == story


def test_going_back_and_forth_leaves_one_claim(log: MemoryLog) -> None:
    for claim in (NEW, OLD, NEW, NEW):
        log.run(
            change_profile, ChangeProfile(user_id=ALICE, username="x", username_claim=claim)
        )
    assert log.state(CLAIM, NEW).owner == ALICE
    assert log.state(CLAIM, OLD).owner is None


def test_another_case_of_the_same_name_needs_no_claim(log: MemoryLog) -> None:
    command = ChangeProfile(user_id=ALICE, username="ALICE", username_claim=OLD)
    log.run(change_profile, command)
    assert [type(fact) for _, fact in log.story] == [ProfileChanged]


def test_the_full_name_alone_touches_no_claim(log: MemoryLog) -> None:
    command = ChangeProfile(user_id=ALICE, full_name="爱丽丝二世")
    log.run(change_profile, command)
    assert log.story == [(ALICE, ProfileChanged(user_id=ALICE, full_name="爱丽丝二世"))]
    assert command.streams() == (ALICE,)
    assert ChangeProfile(**RENAMED).streams() == (ALICE, NEW)


def test_a_new_password_ends_older_tokens_in_the_same_commit(log: MemoryLog) -> None:
    command = ChangePassword(user_id=ALICE, password_hash="$argon2id$new", token_version=1)
    assert log.run(change_password, command) == PasswordNow(ALICE, 2)
    assert log.story == [(ALICE, PasswordChanged(user_id=ALICE, token_version=2))]
    assert log.rows == [
        CredentialChange(user_id=ALICE, token_version=2, password_hash="$argon2id$new")
    ]


def test_the_old_password_opens_once(log: MemoryLog) -> None:
    command = ChangePassword(user_id=ALICE, password_hash="-", token_version=1)
    log.run(change_password, command)
    with pytest.raises(PasswordOutdated):
        log.run(change_password, command)
    assert len(log.rows) == 1


def test_who_is_switched_off_or_unknown_changes_nothing(log: MemoryLog) -> None:
    log.given(ALICE, UserDeactivated(user_id=ALICE, token_version=2))
    password: dict[str, Any] = {"password_hash": "-", "token_version": 2}
    for user, refusal in ((ALICE, InvalidState), (BOB, NotFound)):
        with pytest.raises(refusal):
            log.run(change_profile, ChangeProfile(user_id=user, full_name="x"))
        with pytest.raises(refusal):
            log.run(change_password, ChangePassword(user_id=user, **password))
    assert log.rows == []
