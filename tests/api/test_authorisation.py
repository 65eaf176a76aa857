"""Every route by everybody: the table is made of the routes, so a new one is in it at once."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import NamedTuple
from uuid import UUID, uuid4

import httpx
import pytest

from api.policy import Policy, policy_of
from domain.accounts.events import Role
from tests.api.live import PASSWORD, LiveApi, Person, ok, refused
from tests.api.test_policy import routes_of

FREE = {"title": "x", "task_type": "test"}
BODIES = {"POST", "PUT"}


class Asking(NamedTuple):
    """Somebody who asks; ``role`` is ``None`` for whoever must not get in."""

    client: httpx.Client
    role: Role | None


class Scene(NamedTuple):
    """Who asks, and the task that belongs to ``user``."""

    people: dict[str, Asking]
    task_id: UUID


@pytest.fixture(scope="module")
def scene(api: LiveApi) -> Iterator[Scene]:
    with ExitStack() as stack:

        def someone(role: Role = "user") -> Person:
            return stack.enter_context(api.someone(role))

        admin, user, deactivated, outdated = someone("admin"), someone(), someone(), someone()
        path = f"/api/admin/users/{deactivated.user_id}"
        ok(admin.client.put(path, json={"is_active": False}))
        body = {"current_password": PASSWORD, "new_password": f"{PASSWORD} 2"}
        ok(outdated.client.post("/api/users/change-password", json=body))
        task_id = UUID(ok(user.client.post("/api/tasks", json=FREE))["id"])
        people = {
            "anonymous": Asking(stack.enter_context(api.client()), None),
            "deactivated": Asking(deactivated.client, None),
            "old token": Asking(outdated.client, None),
            "other user": Asking(someone().client, "user"),
            "auditor": Asking(someone("auditor").client, "auditor"),
            "admin": Asking(admin.client, "admin"),
            "super admin": Asking(someone("super_admin").client, "super_admin"),
            "user": Asking(user.client, "user"),
        }
        yield Scene(people, task_id)


def asked(client: httpx.Client, route: str, task_id: UUID) -> httpx.Response:
    """Ask for the user's task, for nobody's other things, with an empty body."""
    method, path = route.split()
    parts = [
        str(task_id if part.startswith("{task_id") else uuid4()) if part[:1] == "{" else part
        for part in path.replace(":uuid}", "}").split("/")
    ]
    content = b"{}" if method in BODIES else None
    headers = {"Content-Type": "application/json"}
    return client.request(method, "/".join(parts), content=content, headers=headers)


@pytest.mark.parametrize("who", ["anonymous", "deactivated", "old token"])
def test_who_must_not_get_in_gets_nowhere(api: LiveApi, scene: Scene, who: str) -> None:
    for route, handler in routes_of(api).items():
        if policy_of(handler) is not Policy.PUBLIC:
            answer = asked(scene.people[who].client, route, scene.task_id)
            assert refused(answer, 401, "INVALID_CREDENTIALS") == {}, route
            assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("who", ["other user", "auditor", "admin", "super admin", "user"])
def test_a_role_gets_as_far_as_its_policy_and_no_further(
    api: LiveApi, scene: Scene, who: str
) -> None:
    client, role = scene.people[who]
    for route, handler in routes_of(api).items():
        policy = policy_of(handler)
        assert policy is not None, route
        if policy is Policy.PUBLIC or route.startswith("DELETE /api/tasks"):
            continue
        answer = asked(client, route, scene.task_id)
        assert answer.status_code < 500, route
        assert answer.status_code != 401, route
        assert (answer.status_code == 403) is (role not in policy.value), route


def test_another_users_task_is_nowhere(api: LiveApi, scene: Scene) -> None:
    there, nowhere = scene.people["other user"].client, uuid4()
    routes = [route for route in routes_of(api) if "{task_id" in route]
    assert len(routes) >= 6
    for route in routes:
        answer = asked(there, route, scene.task_id)
        refused(answer, 404, "RESOURCE_NOT_FOUND")
        assert answer.json() == asked(there, route, nowhere).json(), "no telling which it is"
    ok(scene.people["user"].client.get(f"/api/tasks/{scene.task_id}"))
