"""The GPU agent of ``owl up``: enrolled at the first start, restarted when it dies, never left.

Law: it is the same program as on any GPU host, and knows of us only what it is told there.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from api.client.http import ApiClient, ApiRefused, ApiUnreachable
from api.embedded.child import Child, Launch, stop_orphans
from api.programs.local_farm import farm_told
from api.settings import environment_for_agent

PROGRAM = "gpu_agent"
POLL_S = 0.5
RESTART_PAUSE_S = 2.0
ONLINE_WITHIN_S = 30.0
REBUILT_WITHIN_S = 600.0
SERVER_NAME = "GPU-Server-01"
"""Every user reads it: not what the host calls itself, which only operators see."""
SLOTS = 2
ASKED_WITHIN_S = 3.0
GOODBYE_S = 10
"""What running tasks have when a person stops everything; `Child` bears with more."""


class AgentPlan(Struct, frozen=True, kw_only=True):
    """``directory``, in that of ``owl up``, keeps what the agent must not lose.

    ``media_dirs`` is what it may open.
    """

    api_url: str
    directory: Path
    media_dirs: tuple[Path, ...]
    simulated_gpus: int = 0


class AgentNotOnline(Exception):
    """The agent did not come online in time; the message says where its log is."""


class LocalAgent:
    """``enrol`` once, then ``run`` until cancelled; ``operator`` gives an operator's token."""

    def __init__(self, plan: AgentPlan, operator: Callable[[], Awaitable[str]]) -> None:
        self._plan = plan
        self.operator = operator
        self._token: str | None = None

    @property
    def log_path(self) -> Path:
        """What the agent writes."""
        return self._plan.directory / "agent.log"

    async def _client(self) -> ApiClient:
        return ApiClient(self._plan.api_url, token=await self.operator())

    async def enrol(self) -> None:
        """Make room for this machine, unless an earlier start has on the same database."""
        self._plan.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with await self._client() as client:
            if await self._is_known(client):
                return
            answer = await self._room(client)
        self._token = answer["enrolment_token"]

    @staticmethod
    async def _room(client: ApiClient) -> Any:
        """A token for what a start made that ended before its agent came, else for new room.

        Nobody would ever come for that one: it would be shown as offline for good.
        """
        wanted = {"name": SERVER_NAME, "max_concurrent_tasks": SLOTS}
        for server in await client.get_as_it_is("/gpu/servers"):
            if server["enrolled_at"] is None and wanted.items() <= server.items():
                return await client.post(f"/gpu/servers/{server['id']}/enrolment-token")
        return await client.post("/gpu/servers", wanted)

    async def _is_known(self, client: ApiClient) -> bool:
        """Whether the identity in the directory is one of this platform's servers."""
        identity = self._plan.directory / "identity.json"
        if not identity.exists():
            return False
        server_id = msgspec.json.decode(identity.read_bytes())["server_id"]
        path = f"/gpu/servers/{server_id}"
        try:
            try:
                await client.get_as_it_is(path)
            except ApiRefused:  # perhaps not yet: a server is only let go of for certain
                await _patient(lambda: client.get(path))
        except ApiRefused as refused:
            if refused.status != HTTPStatus.NOT_FOUND:
                raise
            identity.unlink()
            return False
        return True

    async def run(self, report: Callable[[str], None]) -> None:
        """Keep the agent running; ``report`` hears when it had to be started again."""
        plan = self._plan
        await asyncio.to_thread(stop_orphans, plan.directory, PROGRAM, signal.SIGTERM)
        with farm_told(plan.directory.parent, plan.api_url, plan.media_dirs):
            await self._kept_running(report)

    async def _kept_running(self, report: Callable[[str], None]) -> None:
        while True:
            child = Child(self._launch())
            try:
                await _ended(child)
            finally:
                await asyncio.shield(asyncio.to_thread(child.stop))
            report(f"the agent ended with {child.exit_code()} and is started again")
            await asyncio.sleep(RESTART_PAUSE_S)

    async def online(self) -> None:
        """Return when the platform sees it.

        Raises:
            AgentNotOnline: it took too long.
        """
        async with await self._client() as client:
            if await self._is_online(client):
                return
            # its rows may be those that are being built: only then is it too late
            await _patient(lambda: client.get("/gpu/servers"))
            if await self._is_online(client):
                return
        raise AgentNotOnline(f"no server came online: see {self.log_path}")

    async def _is_online(self, client: ApiClient) -> bool:
        """Whether it is seen in time; other read models are not waited for."""
        deadline = asyncio.get_running_loop().time() + ONLINE_WITHIN_S
        while asyncio.get_running_loop().time() < deadline:
            servers = await client.get_as_it_is("/gpu/servers")
            if any(server["status"] == "online" for server in servers):
                return True
            await asyncio.sleep(POLL_S / 5)
        return False

    async def current(self) -> None:
        """Return when no read model has to be built any more."""
        async with await self._client() as client:
            await _patient(lambda: client.get("/gpu/servers"))

    async def last_words(self) -> str:
        """What is said before it is stopped: what becomes of the tasks that run."""
        try:
            async with asyncio.timeout(ASKED_WITHIN_S), await self._client() as client:
                overview = await client.get("/gpu/cluster/overview")
        except (ApiRefused, ApiUnreachable, TimeoutError):
            return "stopping"  # it is stopped all the same
        if not (running := overview["total_running_tasks"]):
            return "stopping: no task runs"
        return (
            f"stopping: tasks that run ({running}) have {GOODBYE_S} s to end; one that does not"
            " is queued again, free, and runs at the next start"
        )

    def _launch(self) -> Launch:
        plan = self._plan
        argv = [sys.executable, "-m", PROGRAM, "run"]
        argv += ["--api-url", plan.api_url]
        argv += ["--state-dir", str(plan.directory)]
        argv += ["--shutdown-s", str(GOODBYE_S)]
        for directory in plan.media_dirs:
            argv += ["--media-dir", str(directory)]
        if plan.simulated_gpus:
            argv += ["--simulate-gpus", str(plan.simulated_gpus)]
        return Launch(
            argv=tuple(argv),
            cwd=plan.directory,
            log_path=self.log_path,
            stop_signal=signal.SIGTERM,
            account=None,
            environment=environment_for_agent(self._token),
        )


async def _patient(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask until there is an answer: after an update, read models may have to be built first."""
    deadline = asyncio.get_running_loop().time() + REBUILT_WITHIN_S
    while True:
        try:
            return await ask()
        except ApiRefused as refused:
            late = asyncio.get_running_loop().time() > deadline
            if refused.status != HTTPStatus.SERVICE_UNAVAILABLE or late:
                raise
        await asyncio.sleep(POLL_S)


async def _ended(child: Child) -> None:
    while child.exit_code() is None:  # noqa: ASYNC110 - a process sets no event of ours
        await asyncio.sleep(POLL_S)
