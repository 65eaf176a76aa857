"""A farm of real processes on one database and one broker, and a client's view of it."""

from __future__ import annotations

import socket
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg

from api.keys import make_keys
from tests.api.live import NO_TLS
from tests.stack import LiveStack, data_directory
from tests.whole.processes import Process, wait_for

ADMIN = {"email": "admin@example.com", "password": "admin123"}
PASSWORD = "whole-farm"
ENDED = {"completed", "failed", "cancelled"}


class NotYet(LookupError):
    """503: who waits asks again."""


class Client:
    """One user's session at one API process, which asks to see what it has been told."""

    def __init__(self, api_url: str, token: str = "", position: str = "") -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self.statuses: Counter[int] = Counter()
        self.http = httpx.Client(
            base_url=api_url,
            headers=headers,
            timeout=20.0,
            trust_env=False,
            verify=NO_TLS,
            event_hooks={"response": [self._note]},
        )
        if position:
            self.http.headers["Owl-Min-Position"] = position

    @property
    def position(self) -> str:
        """The newest that it has been told of."""
        return str(self.http.headers.get("Owl-Min-Position", ""))

    def _note(self, answer: httpx.Response) -> None:
        self.statuses[answer.status_code] += 1
        if position := answer.headers.get("Owl-Position"):
            self.http.headers["Owl-Min-Position"] = position

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.http.request(method, path, json=body).json()
        if answer["error_code"] == "SERVER_UNAVAILABLE":
            raise NotYet(answer["message"])
        assert answer["success"], answer
        return answer["data"]

    def task(self, task_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.ask("GET", f"/tasks/{task_id}")
        return found

    def submit(self, task_type: str = "test", **config: Any) -> str:
        body = {"title": "whole", "task_type": task_type, "config": config}
        return str(self.ask("POST", "/tasks", body)["id"])

    def ended(self, task_id: str, *, within_s: float = 40.0) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            task = self.task(task_id)
            return task if task["status"] in ENDED else None

        found = wait_for(look, f"the task {task_id} ends", within_s=within_s)
        assert isinstance(found, dict)
        return found


class Farm:
    """Two API processes, two workers and one agent, unless told otherwise."""

    def __init__(self, stack: LiveStack, directory: Path) -> None:
        self.stack = stack
        self.database_url = stack.create_database()
        self.directory = directory
        make_keys(directory / "secrets")
        issuer = directory / "secrets" / "nats-issuer-seed"
        issuer.write_text(stack.callout_seed.decode())
        self.settings = {
            "OWL_PROFILE": "dev",
            "OWL_DATABASE_URL": self.database_url,
            "OWL_NATS_URL": stack.nats_url,
            "OWL_DATA_DIR": str(directory),
        }
        self.ports = [_free_port(), _free_port()]
        self.apis = [
            self._platform(f"serve-{port}", "serve", "--port", str(port)) for port in self.ports
        ]
        self.workers = [self._platform(f"work-{number}", "work") for number in range(2)]
        self.agent: Process | None = None
        self._clients: list[Client] = []

    @property
    def processes(self) -> list[Process]:
        agents = [] if self.agent is None else [self.agent]
        return [*self.apis, *self.workers, *agents]

    def start(self, *, agent: bool = True) -> None:
        """Everything up; with an agent that is online."""
        for process in [*self.apis, *self.workers]:
            process.start()
        for port in self.ports:
            wait_for(partial(_answers, port), f"port {port} answers")
        if agent:
            self._start_agent()

    def client(self, number: int = 0, token: str = "", position: str = "") -> Client:
        made = Client(f"http://127.0.0.1:{self.ports[number]}/api", token, position)
        self._clients.append(made)
        return made

    def close(self) -> None:
        """Nothing runs and nothing is open any more."""
        for client in self._clients:
            client.http.close()
        for process in reversed(self.processes):
            process.kill()

    def admin(self, number: int = 0) -> Client:
        return self.signed_in(ADMIN, number)

    def signed_in(self, account: dict[str, str], number: int = 0) -> Client:
        anonymous = self.client(number)
        token = anonymous.ask("POST", "/auth/login", account)["access_token"]
        return self.client(number, token, anonymous.position)

    def user(self, name: str, *, yuan: float = 0, number: int = 0) -> Client:
        """A new user with so much money."""
        account = {"email": f"{name}@example.com", "password": PASSWORD}
        self.client(number).ask(
            "POST", "/auth/register", {**account, "username": name, "full_name": name}
        )
        user = self.signed_in(account, number)
        if yuan:
            code = self.codes(amount=yuan)[0]
            user.ask("POST", "/recharge/redeem", {"code": code})
        return user

    def codes(self, **batch: Any) -> list[str]:
        made = self.admin().ask("POST", "/recharge/codes", batch)["codes"]
        return [code["code"] for code in made]

    def story(self, task_id: str) -> list[str]:
        """The tags of all events that speak of a task, in order, read with SQL alone."""
        return [tag for log, tag in self.whole_story(task_id) if log == "events"]

    def leader(self, lease: str) -> Process | None:
        """The worker that holds a lease, as the lease itself names it."""
        with psycopg.connect(self.database_url) as connection:
            row = connection.execute(
                "SELECT holder FROM owl_log.leases WHERE name = %s", (lease,)
            ).fetchone()
        if row is None or row[0] is None:
            return None
        pid = int(row[0].split(":")[1])
        return next((each for each in self.workers if each.pid == pid), None)

    def whole_story(self, task_id: str) -> list[tuple[str, str]]:
        """The same with what the task wrote: of each event its log and its tag."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(
                "SELECT log, tag FROM owl_log.task_story WHERE task_id = %s"
                " ORDER BY recorded_at, log, position",
                (task_id,),
            ).fetchall()

    def _platform(self, name: str, *words: str) -> Process:
        return Process(name, ["api.cli", *words], self.settings, self.directory)

    def _start_agent(self) -> None:
        answer = self.admin().ask(
            "POST", "/gpu/servers", {"name": "whole", "max_concurrent_tasks": 4}
        )
        self.agent = Process(
            "agent",
            ["gpu_agent", "run", "--api-url", f"http://127.0.0.1:{self.ports[0]}"],
            {
                "OWL_AGENT_TOKEN": answer["enrolment_token"],
                "OWL_AGENT_DIR": str(self.directory / "agent"),
                "OWL_AGENT_MEDIA_DIR": str(MEDIA),
            },
            self.directory,
        )
        self.agent.start()
        self.online()

    def online(self) -> None:
        """Wait until the first API answers, and the agent takes work."""
        admin = wait_for(self.admin, "an admin signs in")
        assert isinstance(admin, Client)
        wait_for(
            lambda: any(
                server["status"] == "online" for server in admin.ask("GET", "/gpu/servers")
            ),
            "the agent comes online",
        )


MEDIA = Path(__file__).parents[2] / "api" / "demo" / "media"
CLIP = MEDIA / "bigbuckbunny.mp4"


@contextmanager
def farm_on(stack: LiveStack) -> Iterator[Farm]:
    """A farm in a directory of its own; every process is gone afterwards."""
    with data_directory() as directory:
        farm = Farm(stack, directory)
        try:
            yield farm
        except BaseException:
            for process in farm.processes:
                print(f"── {process.name}\n{process.log_tail()}")  # noqa: T201 - for the reader
            raise
        finally:
            farm.close()


def new_name() -> str:
    return f"u{uuid.uuid4().hex[:12]}"


def _answers(port: int) -> bool:
    url = f"http://127.0.0.1:{port}/health/live"
    return httpx.get(url, trust_env=False, verify=NO_TLS).is_success


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
