"""What administrators see of users, and of the platform at a glance."""

from uuid import UUID

import pytest

from commands import administration
from projections.system_stats import SystemStatistics, system_statistics
from projections.user_lists import user_page
from tests.projections.asking import Ask
from tests.projections.farm import Farm


def update(farm: Farm, user: UUID, **wish: object) -> None:
    command = administration.UpdateUser(user_id=user, actor_id=None, **wish)  # type: ignore[arg-type]  # any field
    farm.run(administration.update_user, command)


def test_users_are_listed_by_role_and_activity_the_newest_first(farm: Farm, ask: Ask) -> None:
    first = farm.users[0]
    second, third, fourth = (farm.register() for _ in range(3))
    update(farm, second, role="admin")
    update(farm, third, role="admin")
    update(farm, third, is_active=False)
    update(farm, fourth, is_active=False)

    def listed(**wanted: object) -> list[UUID]:
        page = ask(user_page, page=1, page_size=10, **wanted)
        assert page.total == len(page.items)
        return [row.user_id for row in page.items]

    assert listed() == [fourth, third, second, first]
    assert listed(role="user") == [fourth, first]
    assert listed(role="admin") == [third, second]
    assert listed(is_active=True) == [second, first]
    assert listed(is_active=False) == [fourth, third]
    assert listed(role="admin", is_active=True) == [second]
    assert listed(role="admin", is_active=False) == [third]
    assert listed(role="auditor") == []


def test_pages_of_users_cut_the_same_list(farm: Farm, ask: Ask) -> None:
    for _ in range(4):
        farm.register()
    whole = ask(user_page, page=1, page_size=10)
    pages = [ask(user_page, page=n, page_size=2) for n in (1, 2, 3, 4)]
    assert [row for page in pages for row in page.items] == list(whole.items)
    assert {page.total for page in pages} == {5}


def test_the_platform_at_a_glance_adds_up(farm: Farm, ask: Ask) -> None:
    user, server = farm.users[0], farm.servers[0]
    other = farm.register()
    update(farm, other, balance_fen=700)
    update(farm, other, balance_fen=500)
    update(farm, other, is_active=False)
    farm.submit(user, "video_analysis")
    done = farm.tasks[-1]
    farm.assign(done, server)
    farm.begin(done, server)
    farm.end(done, server)
    farm.submit(user, "test")
    found = ask(system_statistics, now=farm.now)
    assert isinstance(found, SystemStatistics)
    assert (found.total_users, found.active_users) == (2, 1)
    assert (found.total_tasks, found.completed_tasks, found.pending_tasks) == (2, 1, 1)
    assert (found.running_tasks, found.failed_tasks, found.cancelled_tasks) == (0, 0, 0)
    assert (found.total_gpu_servers, found.online_gpu_servers) == (1, 1)
    assert (found.recharged_fen, found.granted_fen) == (10_000, 500)
    assert found.revenue_fen > 0
    assert found.outstanding_fen == 10_500 - found.revenue_fen
    balances = sum(row.balance_fen for row in ask(user_page, page=1, page_size=10).items)
    assert found.outstanding_fen == balances


@pytest.mark.parametrize("farm", [Farm(0)])
def test_an_empty_platform_has_statistics(farm: Farm, ask: Ask) -> None:
    found = ask(system_statistics, now=farm.now)
    assert {getattr(found, name) for name in SystemStatistics.__struct_fields__} == {0}
