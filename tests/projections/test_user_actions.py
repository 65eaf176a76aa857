"""What people did is found by who did it and to whom, day by day, with names as of now."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest

from commands import accounts, administration, profile, recharge, tasks
from domain.accounts.events import RoleChanged
from domain.facts import tag_of
from domain.system.accesses import LogRead
from projections.user_action_pages import UserAction, user_action_page, user_actions_after
from projections.user_actions import ACTIONS, NOBODY
from tests.projections.asking import Ask
from tests.projections.farm import Farm

DAY = date(2026, 11, 20)


@pytest.fixture
def admin(farm: Farm) -> UUID:
    """Farm's second user, who is an admin."""
    admin = farm.register()
    farm.run(
        administration.update_user,
        administration.UpdateUser(user_id=admin, actor_id=None, role="admin"),
    )
    return admin


def by(farm: Farm, actor: str, act: Callable[[], Any]) -> None:
    farm.actor, before = actor, farm.actor
    act()
    farm.actor = before


def tags(actions: tuple[UserAction, ...]) -> list[str]:
    return [action.tag.partition(".")[2].partition("/")[0] for action in actions]


def test_a_user_s_actions_are_those_by_and_about_them(
    farm: Farm, admin: UUID, ask: Ask
) -> None:
    user = farm.users[0]
    other = farm.register()
    before = len(farm.events)
    by(farm, f"user:{user}", lambda: farm.submit(user, "test"))
    by(
        farm,
        f"admin:{admin}",
        lambda: farm.run(
            administration.update_user,
            administration.UpdateUser(
                user_id=user, actor_id=admin, balance_fen=500, reason="补偿"
            ),
        ),
    )
    by(farm, f"user:{other}", lambda: farm.submit(other, "test"))
    by(farm, f"agent:{farm.servers[0]}", lambda: farm.assign(farm.tasks[0], farm.servers[0]))
    page = ask(user_action_page, user_id=user, page=1, page_size=2)
    assert tags(page.items) == ["balance_adjusted", "task_submitted"]
    adjusted, submitted = page.items
    assert (adjusted.actor_id, adjusted.subject_id) == (admin, user)
    assert adjusted.actor_username == admin.hex[-12:]
    assert adjusted.subject_username == user.hex[-12:]
    assert (adjusted.data["reason"], adjusted.data["after_fen"]) == ("补偿", 500)
    assert adjusted.request_id == "test"
    assert (submitted.actor_id, submitted.subject_id) == (user, NOBODY)
    assert submitted.position > before
    event = farm.events[submitted.position - 1]
    assert submitted.event_id == f"{event.stream}/{event.version}"
    # opened, redeemed, submitted, adjusted
    assert page.total == 4
    of_admin = ask(user_action_page, user_id=admin, page=1, page_size=20)
    assert tags(of_admin.items)[0] == "balance_adjusted"
    everybody = ask(user_action_page, page=1, page_size=100)
    assert everybody.total == len(everybody.items)
    assert "task_assigned" not in tags(everybody.items)


def test_pages_and_days_cut_the_same_list(farm: Farm, ask: Ask) -> None:
    user = farm.users[0]
    for day in range(3):
        for _ in range(4):
            login = accounts.LogIn(user_id=user, token_version=1, address="203.0.113.7")
            by(farm, f"user:{user}", lambda login=login: farm.run(accounts.log_in, login))  # type: ignore[misc]  # bound here
        farm.now += timedelta(days=1)
        assert day < 3
    whole = ask(user_action_page, user_id=user, page=1, page_size=100)
    pages = [ask(user_action_page, user_id=user, page=n, page_size=5) for n in range(1, 5)]
    assert [action for page in pages for action in page.items] == list(whole.items)
    assert {page.total for page in pages} == {whole.total}
    second = DAY + timedelta(days=1)
    for wanted in ({"user_id": user}, {}):
        page = ask(
            user_action_page,
            start_date=second,
            end_date=second,
            page=1,
            page_size=50,
            **wanted,
        )
        assert (page.total, tags(page.items)) == (4, ["user_logged_in"] * 4)
    assert ask(user_action_page, user_id=UUID(int=1), page=1, page_size=5).total == 0


def test_a_download_reads_on_from_where_it_was(farm: Farm, admin: UUID, ask: Ask) -> None:
    for user in (None, farm.users[0], admin):
        found: list[UserAction] = []
        while more := ask(
            user_actions_after, found[-1].cursor if found else None, user_id=user, limit=3
        ):
            found += more
        page = ask(user_action_page, user_id=user, page=1, page_size=100)
        assert found[::-1] == list(page.items)


def test_no_action_holds_what_is_personal_or_secret(farm: Farm, ask: Ask) -> None:
    user = farm.users[0]
    login = accounts.LogIn(user_id=user, token_version=1, address="203.0.113.7")
    rename = profile.ChangeProfile(user_id=user, full_name="张三")
    by(farm, f"user:{user}", lambda: farm.run(accounts.log_in, login))
    by(farm, f"user:{user}", lambda: farm.run(profile.change_profile, rename))
    data = str([action.data for action in ask(user_action_page, page=1, page_size=100).items])
    for hidden in ("@example.com", "203.0.113.7", "猫头鹰", "张三", "sealed", "digest"):
        assert hidden not in data


def test_a_task_that_its_agent_ended_is_no_action_of_its_user(farm: Farm, ask: Ask) -> None:
    user, server = farm.users[0], farm.servers[0]
    farm.actor = f"user:{user}"
    farm.submit(user, "test")
    task = farm.tasks[-1]
    farm.actor = f"agent:{server}"
    farm.assign(task, server)
    farm.begin(task, server)
    wish = tasks.CancelTask(task_id=task, user_id=user, is_admin=False, at=farm.now)
    by(farm, f"user:{user}", lambda: farm.run(tasks.cancel_task, wish))
    farm.end(task, server, "cancelled")
    page = ask(user_action_page, user_id=user, page=1, page_size=2)
    assert tags(page.items) == ["task_cancel_requested", "task_submitted"]


def test_an_actor_with_a_strange_name_stops_nothing(farm: Farm, ask: Ask) -> None:
    farm.actor = "admin:somebody"
    farm.run(recharge.revoke_code, recharge.RevokeCode(code_id=farm.codes[0]))
    (action,) = ask(user_action_page, page=1, page_size=1).items
    assert (action.actor, action.actor_id) == ("admin:somebody", NOBODY)


def test_what_is_said_of_a_role_tells_before_and_after(farm: Farm, ask: Ask) -> None:
    user = farm.users[0]
    change = RoleChanged(user_id=user, before="user", after="admin", token_version=1)
    farm.say(user, change)
    (action,) = ask(user_action_page, user_id=user, page=1, page_size=1).items
    assert action.tag == tag_of(change)
    assert (action.data["before"], action.data["after"]) == ("user", "admin")


def test_who_reads_this_very_list_is_not_in_it(farm: Farm, ask: Ask) -> None:
    user = farm.users[0]
    farm.actor = f"admin:{user}"
    for asked in ("logs/user-actions", "logs/user-actions?page=2", "logs/system?page=2"):
        farm.say(farm.fresh(), LogRead(user_id=user, asked=f"/api/{asked}"))
    found = ask(user_action_page, user_id=user, page=1, page_size=20).items
    read = [action.data["asked"] for action in found if action.tag == tag_of(LogRead)]
    assert read == ["/api/logs/system?page=2"]


def test_actions_are_found_while_rows_of_an_earlier_version_serve(farm: Farm, ask: Ask) -> None:
    """Which had the event's id, its tag, its actor and its data as well."""
    user = farm.users[0]
    by(farm, f"user:{user}", lambda: farm.submit(user, "test"))
    pages = [ask(user_action_page, user_id=each, page=1, page_size=9) for each in (user, None)]
    with psycopg.connect(ask.url) as connection:
        connection.execute(
            "CREATE TABLE before AS SELECT position, originator_id AS stream,"
            " originator_version AS version, topic AS tag, actor, actor_id, subject_id,"
            " correlation_id AS request_id, row.recorded_at, '{}'::jsonb AS data"
            " FROM read.user_actions AS row JOIN owl_log.events ON notification_id = position"
        )
        connection.execute("DROP VIEW read.user_actions")
        connection.execute("CREATE VIEW read.user_actions AS SELECT * FROM before")
    late = Ask(ask.url, lambda: None)
    for each, page in zip((user, None), pages, strict=True):
        assert late(user_action_page, user_id=each, page=1, page_size=9) == page
        assert late(user_actions_after, user_id=each, limit=9) == page.items[::-1]


def test_each_action_stands_once_in_the_list() -> None:
    assert len(set(ACTIONS)) == len(ACTIONS)
