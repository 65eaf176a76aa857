"""GPU监控: a server comes in, is seen, is drained, goes; figures are live or not there."""

import asyncio
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from api.programs.local_agent import SERVER_NAME, AgentPlan, LocalAgent
from commands.fleet import NoteServerSilent, note_server_silent
from domain.fleet.messages import RunningTask
from tests.api.live import LiveApi, Person, ok, refused
from tests.api.opened import new_id, now
from tests.journeys.farm import Server, public_key

FREE = {"title": "x", "task_type": "test"}


def test_a_server_enrols_once_with_its_token(api: LiveApi, admin: Person) -> None:
    server = Server(api, admin, name="once")
    with api.client() as agent:
        body = {"token": server.token[:-1] + "_", "public_key": server.key}
        refused(agent.post("/api/gpu/servers/enroll", json=body), 401, "INVALID_CREDENTIALS")
    enrolled = server.enrol()
    assert enrolled == {
        "server_id": str(server.server_id),
        "name": "once",
        "max_concurrent_tasks": 4,
        "nats_urls": ["nats://127.0.0.1:4222"],
    }
    assert server.enrol() == enrolled  # the same key again: the answer was lost on the way
    with api.client() as agent:
        for token, key in (
            (server.token, public_key()),
            ("owl_" + "0" * 32 + "_" + "x" * 43, server.key),
            ("nonsense", server.key),
        ):
            answer = agent.post(
                "/api/gpu/servers/enroll", json={"token": token, "public_key": key}
            )
            refused(answer, 401, "INVALID_CREDENTIALS")
        wrong = agent.post(
            "/api/gpu/servers/enroll", json={"token": server.token, "public_key": "SUAXXX"}
        )
        assert "public_key" in refused(wrong, 422, "VALIDATION_ERROR")["field_errors"]


def test_a_server_enrols_anew_with_another_token(api: LiveApi, admin: Person) -> None:
    server = Server(api, admin, name="anew")
    server.enrol()
    path = f"/api/gpu/servers/{server.server_id}/enrolment-token"
    fresh = ok(admin.client.post(path))
    server.token, server.key = fresh["enrolment_token"], public_key()
    assert server.enrol()["server_id"] == str(server.server_id)


def test_a_server_is_seen_as_the_contract_prints_it(fresh_api: LiveApi) -> None:
    with fresh_api.someone("admin") as admin, fresh_api.someone() as user:
        server = Server(fresh_api, admin)
        path = f"/api/gpu/servers/{server.server_id}"
        before = ok(user.client.get(path))
        assert (before["status"], before["last_heartbeat"]) == ("offline", None)
        server.enrol()
        task = RunningTask(task_id=new_id(), attempt=1, progress=45.5)
        server.beat(task)

        fresh_api.until(lambda: ok(user.client.get(f"{path}/status"))["gpu_usage"])
        now_ = ok(user.client.get(f"{path}/status"))
        assert (now_["status"], now_["cpu_usage"], now_["memory_usage"]) == (
            "online",
            45.2,
            68.3,
        )
        (gpu,) = now_["gpu_usage"]
        assert (gpu["gpu_id"], gpu["usage"]) == (0, 85.5)
        assert (gpu["memory_used"], gpu["memory_total"]) == (10.2, 12.0)
        (running,) = ok(admin.client.get(f"{path}/status"))["running_tasks"]
        assert (running["task_id"], running["progress"]) == (str(task.task_id), 45.5)
        assert now_["timestamp"].endswith("Z")

        (listed,) = ok(user.client.get("/api/gpu/servers"))
        assert listed == ok(user.client.get(path))
        (known,) = ok(admin.client.get("/api/gpu/servers"))
        assert known == ok(admin.client.get(path))
        assert (known["name"], known["host"]) == ("GPU-Server-01", "gpu-01.lan")
        assert known["agent_version"]
        assert listed == known | {"host": "", "agent_version": ""}
        assert (listed["total_memory"], listed["used_memory"]) == (12.0, 10.2)
        assert (listed["gpu_count"], listed["current_tasks"]) == (1, 0)
        overview = ok(user.client.get("/api/gpu/cluster/overview"))
        assert overview == {
            "total_servers": 1,
            "online_servers": 1,
            "offline_servers": 0,
            "total_gpus": 1,
            "busy_gpus": 0,
            "idle_gpus": 1,
            "total_running_tasks": 0,
            "queue_length": 0,
            "average_gpu_usage": 85.5,
            "total_memory": 12.0,
            "used_memory": 10.2,
        }

        silent = NoteServerSilent(
            server_id=server.server_id, last_seen_at=now() - timedelta(seconds=31)
        )
        server.run(note_server_silent, silent)
        gone = ok(user.client.get(f"{path}/status"))
        assert (gone["status"], gone["cpu_usage"], gone["gpu_usage"]) == ("offline", None, [])
        overview = ok(user.client.get("/api/gpu/cluster/overview"))
        assert (overview["online_servers"], overview["used_memory"]) == (0, 0.0)


def test_a_server_without_a_gpu_has_no_gpu_memory_in_use_and_no_figure_that_is_not_there(
    fresh_api: LiveApi,
) -> None:
    with fresh_api.someone("admin") as admin:
        server, client = Server(fresh_api, admin), admin.client
        server.enrol()
        path = f"/api/gpu/servers/{server.server_id}"
        assert ok(client.get(path))["used_memory"] is None, "it is not online"
        server.beat(has_gpu=False)
        fresh_api.until(lambda: ok(client.get(path))["cpu_usage"] == 45.2)
        (listed,) = ok(client.get("/api/gpu/servers"))
        assert listed == ok(client.get(path))
        assert (listed["status"], listed["gpu_count"], listed["gpus"]) == ("online", 0, [])
        assert (listed["total_memory"], listed["used_memory"]) == (0.0, 0.0)
        assert ok(client.get(f"{path}/status"))["gpu_usage"] == []
        overview = ok(client.get("/api/gpu/cluster/overview"))
        assert (overview["online_servers"], overview["total_gpus"]) == (1, 0)
        assert (overview["total_memory"], overview["used_memory"]) == (0.0, 0.0)
        assert overview["average_gpu_usage"] == 0.0


def test_who_runs_what_where_is_for_them_and_for_operators(
    fresh_api: LiveApi,
) -> None:
    with (
        fresh_api.someone("admin") as admin,
        fresh_api.someone("auditor") as auditor,
        fresh_api.someone() as one,
        fresh_api.someone() as other,
    ):
        server = Server(fresh_api, admin)
        server.enrol()
        path = f"/api/gpu/servers/{server.server_id}/status"
        tasks = [
            UUID(ok(person.client.post("/api/tasks", json=FREE))["id"])
            for person in (one, other)
        ]
        server.beat(*(RunningTask(task_id=task, attempt=1, progress=1.0) for task in tasks))
        fresh_api.until(lambda: ok(admin.client.get(path))["running_tasks"])

        def seen_by(person: Person) -> list[UUID]:
            shown = ok(person.client.get(path))["running_tasks"]
            return [UUID(running["task_id"]) for running in shown]

        assert seen_by(admin) == seen_by(auditor) == tasks
        assert [seen_by(one), seen_by(other)] == [[task] for task in tasks]
        with fresh_api.someone() as third:
            assert seen_by(third) == []


def test_a_server_that_falls_silent_is_offline_also_while_no_worker_runs(
    fresh_api: LiveApi,
) -> None:
    with fresh_api.someone("admin") as admin:
        server, client = Server(fresh_api, admin), admin.client
        server.enrol()
        quick = {
            "heartbeat_interval_seconds": 1,
            "suspect_after_seconds": 2,
            "offline_after_seconds": 3,
        }
        ok(client.put("/api/admin/config", json=quick))
        task_id = ok(client.post("/api/tasks", json={"title": "x", "task_type": "test"}))["id"]
        server.beat()
        path = f"/api/gpu/servers/{server.server_id}"

        def told() -> tuple[object, ...]:
            figures = ok(client.get(f"{path}/status"))
            overview = ok(client.get("/api/gpu/cluster/overview"))
            return (
                ok(client.get(path))["status"],
                (figures["status"], bool(figures["gpu_usage"])),
                (overview["online_servers"], overview["used_memory"]),
                ok(client.get("/api/admin/stats"))["online_gpu_servers"],
                ok(client.get(f"/api/tasks/{task_id}"))["pending_reason"],
                "owl_online_servers 1.0" in client.get("/metrics").text,
            )

        live = ("online", ("online", True), (1, 10.2), 1, "next", True)
        fresh_api.until(lambda: told() == live)
        # nobody says that it has gone: only its heartbeats stay away
        gone = ("offline", ("offline", False), (0, 0.0), 0, "no_online_server", False)
        fresh_api.until(lambda: told() == gone)
        assert ok(client.get(f"{path}/status"))["timestamp"].endswith("Z")


def test_a_start_that_ended_before_its_agent_came_leaves_its_room_to_the_next(
    api: LiveApi, admin: Person, tmp_path: Path
) -> None:
    plan = AgentPlan(api_url=f"{api.url}/api", directory=tmp_path, media_dirs=())

    async def operator() -> str:
        return admin.token

    def started() -> str:
        agent = LocalAgent(plan, operator)
        asyncio.run(agent.enrol())
        assert agent._token is not None
        return agent._token

    def rooms() -> list[str]:
        servers = ok(admin.client.get("/api/gpu/servers"))
        return [server["id"] for server in servers if server["name"] == SERVER_NAME]

    dead, token = started(), started()
    (server_id,) = rooms()
    with api.client() as agent:
        body = {"token": dead, "public_key": public_key()}
        refused(agent.post("/api/gpu/servers/enroll", json=body), 401, "INVALID_CREDENTIALS")
        enrolled = ok(agent.post("/api/gpu/servers/enroll", json=body | {"token": token}))
    assert enrolled["server_id"] == server_id
    started()
    assert len(rooms()) == 2, "what an agent has is not given to another"


def test_a_server_is_changed_drained_resumed_and_removed(api: LiveApi, admin: Person) -> None:
    server = Server(api, admin, name="short-lived")
    server.enrol()
    server.beat()
    client, path = admin.client, f"/api/gpu/servers/{server.server_id}"
    ok(client.put(path, json={"name": "renamed", "max_concurrent_tasks": 2}))
    assert ok(client.get(path))["name"] == "renamed"
    assert "body" in refused(client.put(path, json={}), 422, "VALIDATION_ERROR")["field_errors"]
    assert ok(client.post(f"{path}/drain"))["changed"] is True
    assert ok(client.post(f"{path}/drain"))["changed"] is False
    assert ok(client.get(path))["status"] == "maintenance"
    ok(client.post(f"{path}/resume"))
    assert ok(client.get(path))["status"] == "online"
    ok(client.delete(path))
    for answer in (client.get(path), client.delete(path), client.post(f"{path}/drain")):
        refused(answer, 404, "RESOURCE_NOT_FOUND")
    with api.client() as agent:
        body = {"token": server.token, "public_key": server.key}
        refused(agent.post("/api/gpu/servers/enroll", json=body), 401, "INVALID_CREDENTIALS")
