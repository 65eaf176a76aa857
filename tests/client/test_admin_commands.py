"""``owl admin users`` and ``owl admin config``: people and settings, for administrators."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.live import LiveApi, Person, ok
from tests.client.owl import Owl

USERS, CONFIG = ("admin", "users"), ("admin", "config")


@pytest.fixture
def owl(api: LiveApi, user: Person, tmp_path: Path) -> Owl:
    return Owl(api.url, tmp_path / "user").log_in(user)


@pytest.fixture
def boss(api: LiveApi, tmp_path: Path) -> Iterator[Owl]:
    with api.someone("super_admin") as person:
        yield Owl(api.url, tmp_path / "boss").log_in(person)


def test_users_are_listed_by_role_and_activity(boss: Owl, user: Person) -> None:
    assert user.email in boss.ok(*USERS, "list")
    assert user.email not in boss.ok(*USERS, "list", "--role", "super_admin")
    assert user.email not in boss.ok(*USERS, "list", "--inactive")
    listed = boss.json(*USERS, "list", "--role", "user", "--active")["items"]
    assert str(user.user_id) in {found["id"] for found in listed}


@pytest.mark.parametrize("named_by", ["id", "email", "username"])
def test_a_user_is_shown_by_whatever_they_are_known_by(
    boss: Owl, user: Person, named_by: str
) -> None:
    listed = boss.json(*USERS, "list", "--page-size", "100")["items"]
    (known,) = [found for found in listed if found["email"] == user.email]
    assert boss.json(*USERS, "show", known[named_by].upper()) == known
    shown = boss.ok(*USERS, "show", known[named_by])
    for wanted in (user.email, str(user.user_id), "Balance", "may log in"):
        assert wanted in shown


def test_who_is_called_as_the_id_of_another_is_not_taken_for_them(
    api: LiveApi, boss: Owl, user: Person
) -> None:
    with api.someone() as other:
        ok(other.client.put("/api/users/me", json={"username": str(user.user_id)}))
        assert boss.json(*USERS, "show", str(user.user_id))["email"] == user.email


def test_an_operator_lists_the_tasks_of_whoever_they_name(
    boss: Owl, owl: Owl, user: Person
) -> None:
    task = owl.json("tasks", "submit", "test")["id"]
    for named in (user.email.upper(), str(user.user_id), user.email.partition("@")[0], "all"):
        listed = boss.json("tasks", "list", "--user", named)["items"]
        assert task in {found["id"] for found in listed}
    assert "no user is called mei" in boss("tasks", "list", "--user", "mei").stderr
    assert owl.json("tasks", "list", "--user", str(user.user_id))["items"][0]["id"] == task


def test_what_was_erased_names_nobody(boss: Owl) -> None:
    assert "[erased] may be several: give an id" in boss(*USERS, "show", "[erased]").stderr


def test_a_user_that_is_not_there_is_said_to_be_so(boss: Owl) -> None:
    for act in (("show",), ("update", "--active")):
        unknown = boss(*USERS, *act, "nobody@example.com")
        assert unknown.exit_code == 1
        assert "no user is called nobody@example.com" in unknown.stderr


def test_a_users_role_activity_and_balance_are_changed(
    boss: Owl, owl: Owl, user: Person
) -> None:
    said = boss.ok(*USERS, "update", user.email, "--balance", "12.50", "--reason", "gift")
    assert "¥12.50" in said
    assert owl.json("me")["balance"] == 12.5
    changed = boss.json(*USERS, "update", str(user.user_id), "--role", "auditor", "--inactive")
    assert (changed["role"], changed["is_active"]) == ("auditor", False)
    assert owl("me").exit_code == 1
    assert boss.json(*USERS, "update", user.email, "--active")["is_active"] is True


def test_a_change_of_nothing_and_a_sum_that_is_none_are_told(boss: Owl, user: Person) -> None:
    nothing = boss(*USERS, "update", user.email)
    assert nothing.exit_code == 2
    assert "--role" in nothing.stderr
    refused = boss(*USERS, "update", user.email, "--balance", "1e3")
    assert refused.exit_code == 1
    assert "balance: " in refused.stderr


def test_the_configuration_is_shown_with_what_each_key_means(boss: Owl) -> None:
    shown = boss.ok(*CONFIG, "show")
    assert "prices_per_minute.video_analysis" in shown
    assert "How many open tasks a user may have at once." in shown
    assert boss.json(*CONFIG, "show")["default_task_timeout"] == 3600


def test_the_configuration_is_changed_key_by_key(boss: Owl) -> None:
    said = boss.ok(*CONFIG, "set", "requeue_budget=2", "prices_per_minute.encoding=1.50")
    assert "requeue_budget" in said
    assert "default_task_timeout" not in said, "what was not named"
    whole = boss.json(*CONFIG, "set", "maintenance_mode=false", "requeue_budget=3")
    assert whole["prices_per_minute"] == {"video_analysis": 1.05, "test": 0, "encoding": 1.5}
    whole = boss.json(*CONFIG, "set", "prices_per_minute.encoding=null")
    assert whole["prices_per_minute"] == {"video_analysis": 1.05, "test": 0}


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        ((), 2, "Missing argument"),
        (("requeue_budget",), 2, "is not KEY=VALUE"),
        (("requeue_budget=99",), 1, "requeue_budget: "),
        (("reqeue_budget=2",), 2, "requeue_budget?"),
        (("prices_per_minute.=2",), 2, "is not KEY=VALUE"),
        (("requeue_budget.x=2",), 2, "is not KEY=VALUE"),
        (("prices_per_minute=5", "prices_per_minute.test=1"), 2, "given twice"),
        (("prices_per_minute.test=1", "prices_per_minute.test=2"), 2, "given twice"),
    ],
)
def test_a_setting_that_cannot_be_is_named(
    boss: Owl, arguments: tuple[str, ...], exit_code: int, said: str
) -> None:
    wrong = boss(*CONFIG, "set", *arguments)
    assert wrong.exit_code == exit_code
    assert said in wrong.stderr


def test_who_is_no_administrator_is_told_who_they_are(owl: Owl, user: Person) -> None:
    for command in ((*USERS, "list"), (*CONFIG, "show")):
        refused = owl(*command)
        assert refused.exit_code == 1
        assert "(ACCESS_DENIED)" in refused.stderr
        assert f"you are signed in as {user.email} (user)" in refused.stderr
