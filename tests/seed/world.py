"""What has to be there before a printed request can be sent as it is printed.

``SCENES`` has, for each heading of the document, who asks and what its placeholders stand for.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any, NamedTuple
from uuid import UUID

from api.registration import DEV_ADMIN_EMAIL, DEV_ADMIN_PASSWORD, ensure_dev_admin
from commands.configuration import ChangeConfiguration, change_configuration
from tests.api.live import LiveApi, Person, ok
from tests.client.played_farm import PlayedFarm

CODE_AS_PRINTED = "OWL-ABCD-1234-EFGH"
VIDEO = {
    "title": "视频分析任务",
    "description": "分析视频内容",
    "task_type": "video_analysis",
    "estimated_duration": 30,
    "config": {"video_url": "https://example.com/video.mp4", "analysis_type": "content"},
}

LINE = "显存不足"
LINES = """
    INSERT INTO owl_log.system_log
        (logged_at, level, program, logger, event, request_id, message, fields)
    VALUES
        ('2024-01-15T10:30:00Z', 'ERROR', 'work', 'a', 'e', NULL, '显存不足', '{}'),
        ('2024-01-16T00:00:00Z', 'ERROR', 'work', 'a', 'e', NULL, 'another day', '{}')
"""
"""One of the printed day, and one that is not."""


class Scene(NamedTuple):
    """``token`` stands for every printed token; ``fill`` for other placeholders."""

    token: str = ""
    fill: Mapping[str, str] = {}


class World:
    """A platform with an administrator, users and a played farm."""

    def __init__(self, api: LiveApi, people: ExitStack) -> None:
        self.api = api
        self._people = people
        self.farm = PlayedFarm(api)
        self.farm.beat()
        api.call(ensure_dev_admin(api.platform))
        with api.client() as client:
            login = {"email": DEV_ADMIN_EMAIL, "password": DEV_ADMIN_PASSWORD}
            data = ok(client.post("/api/auth/login", json=login))
        self.admin_token: str = data["access_token"]
        self.admin = people.enter_context(api.client(self.admin_token))

    def user(self, yuan: float = 0) -> Person:
        """Somebody new, signed in, with money."""
        person = self._people.enter_context(self.api.someone())
        if yuan:
            ok(person.client.post("/api/recharge/redeem", json={"code": self.code(yuan)}))
        return person

    def code(self, yuan: float) -> str:
        """A fresh recharge code."""
        batch = ok(self.admin.post("/api/recharge/codes", json={"amount": yuan}))
        return str(batch["codes"][0]["code"])

    def registered(self, email: str, username: str, password: str) -> None:
        """Make sure of an account with these names."""
        account = {"email": email, "username": username, "password": password}
        with self.api.client() as client:
            ok(client.post("/api/auth/register", json=account))

    def token_of(self, email: str, password: str) -> str:
        """Sign in."""
        with self.api.client() as client:
            login = {"email": email, "password": password}
            return str(ok(client.post("/api/auth/login", json=login))["access_token"])

    def task(self, person: Person, order: Mapping[str, Any] = VIDEO) -> UUID:
        """A task that waits."""
        return UUID(ok(person.client.post("/api/tasks", json=order))["id"])

    def start(self, task_id: UUID) -> None:
        """Run a task, until its server is seen to run it."""
        self.farm.start(task_id)
        deadline = time.monotonic() + 20
        path = f"/api/gpu/servers/{self.farm.server_id}/status"
        while str(task_id) not in self.admin.get(path).text:
            assert time.monotonic() < deadline, "the heartbeat was never shown"

    def configure(self, **changes: object) -> None:
        """Change the platform's configuration."""
        self.farm.run(change_configuration, ChangeConfiguration(changes=changes))


def newly_registered(world: World) -> Scene:
    world.registered("user@example.com", "username", "password123")
    return Scene()


def nobody(_world: World) -> Scene:
    return Scene()


def somebody(world: World) -> Scene:
    return Scene(world.user().token)


def somebody_with_money(world: World) -> Scene:
    return Scene(world.user(100).token)


def with_the_old_password(world: World) -> Scene:
    world.registered("old@example.com", "old_user", "old_password")
    return Scene(world.token_of("old@example.com", "old_password"))


def with_a_task_done(world: World) -> Scene:
    person = world.user(100)
    task_id = world.task(person)
    world.start(task_id)
    world.farm.complete(task_id)
    return Scene(person.token, {"{task_id}": str(task_id)})


def with_a_task_waiting(world: World) -> Scene:
    person = world.user(100)
    return Scene(person.token, {"{task_id}": str(world.task(person))})


def with_a_task_running(world: World) -> Scene:
    person = world.user(100)
    task_id = world.task(person)
    world.start(task_id)
    fill = {"{task_id}": str(task_id), "{server_id}": str(world.farm.server_id)}
    return Scene(person.token, fill)


def with_a_task_failed(world: World) -> Scene:
    person = world.user(100)
    task_id = world.task(person)
    world.start(task_id)
    world.farm.fail(task_id, "no such video")
    return Scene(person.token, {"{task_id}": str(task_id)})


def with_a_code(world: World) -> Scene:
    # the printed code belongs to nobody: 1 is not one of the symbols that codes are made of
    return Scene(world.user().token, {CODE_AS_PRINTED: world.code(100)})


def with_a_record(world: World) -> Scene:
    return Scene(world.user(100).token)


def operator(world: World) -> Scene:
    return Scene(world.admin_token, {"{user_id}": str(world.user(100).user_id)})


def with_a_line(world: World) -> Scene:
    world.api.execute(LINES)
    return operator(world)


SCENES: dict[str, Callable[[World], Scene]] = {
    "获取Token": newly_registered,
    "用户注册": nobody,
    "获取当前用户信息": somebody,
    "更新用户信息": somebody,
    "修改密码": with_the_old_password,
    "获取用户统计信息": with_a_task_done,
    "创建任务": somebody_with_money,
    "获取任务列表": with_a_task_running,
    "获取任务详情": with_a_task_running,
    "取消任务": with_a_task_waiting,
    "重新运行任务": with_a_task_failed,
    "删除任务": with_a_task_done,
    "获取GPU服务器列表": with_a_task_running,
    "获取GPU服务器详情": with_a_task_running,
    "获取GPU服务器实时状态": with_a_task_running,
    "获取GPU集群概览": with_a_task_running,
    "生成充值码": operator,
    "使用充值码": with_a_code,
    "获取充值记录": with_a_record,
    "获取充值码列表 (管理员)": operator,
    "获取系统统计信息": operator,
    "获取用户列表 (管理员)": operator,
    "更新用户信息 (管理员)": operator,
    "获取系统配置": operator,
    "更新系统配置": operator,
    "获取系统日志": operator,
    "获取用户操作日志": operator,
    "获取任务执行日志": with_a_task_done,
    "下载日志文件": with_a_line,
}


def open_world(api: LiveApi) -> Iterator[World]:
    """A world whose people leave at the end."""
    with ExitStack() as people:
        yield World(api, people)
