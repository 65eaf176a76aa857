"""Opening an account takes both names, or nothing."""

from typing import Any
from uuid import UUID

import pytest

from commands.accounts import LoggedIn, LogIn, Registered, RegisterUser, log_in, register_user
from commands.rows import Credential, CredentialChange, SubjectKey
from domain.accounts.claim import CLAIM, EmailTaken, UsernameTaken
from domain.accounts.events import (
    NameClaimed,
    PasswordChanged,
    UserDeactivated,
    UserLoggedIn,
)
from domain.accounts.user import PasswordOutdated
from domain.errors import InvalidState, NotFound
from tests.domain.cast import ALICE, BOB, registered
from tests.memory import MemoryLog

EMAIL, USERNAME, OTHER = UUID(int=0xE), UUID(int=0xF), UUID(int=0x10)
ORDER: dict[str, Any] = {
    "user_id": ALICE,
    "email": "alice@example.com",
    "username": "alice",
    "full_name": "爱丽丝",
    "password_hash": "$argon2id$…",
    "email_claim": EMAIL,
    "username_claim": USERNAME,
    "subject_key": bytes(32),
}


def test_an_account_is_opened_with_its_names_its_key_and_its_credential() -> None:
    log = MemoryLog()
    assert log.run(register_user, RegisterUser(**ORDER)) == Registered(ALICE)
    assert log.story == [
        (EMAIL, NameClaimed(kind="email", user_id=ALICE)),
        (USERNAME, NameClaimed(kind="username", user_id=ALICE)),
        (ALICE, registered(username_claim=USERNAME)),
    ]
    assert log.rows == [
        SubjectKey(user_id=ALICE, key=bytes(32)),
        Credential(
            user_id=ALICE,
            email_claim=EMAIL,
            password_hash="$argon2id$…",
            token_version=1,
            role="user",
            is_active=True,
        ),
    ]


def test_the_password_is_in_no_fact() -> None:
    log = MemoryLog()
    log.run(register_user, RegisterUser(**ORDER))
    assert "argon2" not in str(log.story)


@pytest.mark.parametrize(
    ("taken", "refusal"),
    [
        ({"username_claim": OTHER}, EmailTaken),
        ({"email_claim": OTHER}, UsernameTaken),
        ({}, EmailTaken),
    ],
)
def test_a_taken_name_leaves_no_trace(taken: dict[str, Any], refusal: type) -> None:
    log = MemoryLog()
    log.run(register_user, RegisterUser(**ORDER))
    story, rows = list(log.story), list(log.rows)
    with pytest.raises(refusal):
        log.run(register_user, RegisterUser(**(ORDER | {"user_id": BOB} | taken)))
    assert (log.story, log.rows) == (story, rows)
    assert log.state(CLAIM, OTHER).owner is None


def test_a_login_answers_what_a_token_needs() -> None:
    log = MemoryLog()
    log.run(register_user, RegisterUser(**(ORDER | {"role": "admin"})))
    login = LogIn(user_id=ALICE, token_version=1, address="203.0.113.7")
    assert log.run(log_in, login) == LoggedIn(ALICE, "admin", 1)
    assert log.story[-1] == (ALICE, UserLoggedIn(user_id=ALICE, address="203.0.113.7"))


def test_a_login_leaves_a_new_hash_only_while_the_password_is_the_one_that_was_given() -> None:
    log = MemoryLog()
    log.run(register_user, RegisterUser(**ORDER))
    log.run(log_in, LogIn(user_id=ALICE, token_version=1))
    before = list(log.rows)
    login = LogIn(user_id=ALICE, token_version=1, password_hash="anew")
    log.run(log_in, login)
    change = CredentialChange(user_id=ALICE, token_version=1, password_hash="anew")
    assert log.rows == [*before, change]
    log.given(ALICE, PasswordChanged(user_id=ALICE, token_version=2))
    with pytest.raises(PasswordOutdated):
        log.run(log_in, login)
    assert log.rows == [*before, change]


def test_nobody_logs_in_who_is_not_there_or_switched_off() -> None:
    log = MemoryLog()
    with pytest.raises(NotFound):
        log.run(log_in, LogIn(user_id=ALICE, token_version=1))
    log.given(ALICE, registered(), UserDeactivated(user_id=ALICE, token_version=2))
    with pytest.raises(InvalidState):
        log.run(log_in, LogIn(user_id=ALICE, token_version=1))


def test_a_command_names_the_streams_it_will_want() -> None:
    assert RegisterUser(**ORDER).streams() == (EMAIL, USERNAME)
    assert LogIn(user_id=ALICE, token_version=1).streams() == (ALICE,)
