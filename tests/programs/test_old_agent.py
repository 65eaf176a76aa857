"""`owl up` and the agent that an earlier one left behind."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec
import pytest

from api.embedded import child as children
from api.programs.local_agent import AgentPlan, LocalAgent
from api.settings import environment_for_agent
from gpu_agent.enrolment import IDENTITY_FILE, Identity, new_seed

pytestmark = pytest.mark.anyio
WITHIN_S = 30
NOBODYS_ADDRESS = "nats://127.0.0.1:9"


async def nobody() -> str:
    raise AssertionError("it runs, and asks the API nothing")


async def owner_of(directory: Path, *, other_than: int) -> int:
    """The process that the agent's lock names, once it is another."""
    lock = directory / "agent.lock"
    async with asyncio.timeout(WITHIN_S):
        while True:
            with suppress(FileNotFoundError, ValueError):
                if (pid := int(lock.read_text())) != other_than:
                    return pid
            await asyncio.sleep(0.05)


async def test_an_old_agent_that_does_not_stop_is_killed_before_another_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children, "STOP_PATIENCE_S", 0.2)
    monkeypatch.setattr(children, "QUIT_PATIENCE_S", 0.2)
    directory = tmp_path / "agent"
    directory.mkdir()
    identity = Identity(
        server_id=uuid4(),
        name="old",
        seed=new_seed(bytes(32)),
        nats_urls=(NOBODYS_ADDRESS,),
    )
    (directory / IDENTITY_FILE).write_bytes(msgspec.json.encode(identity))
    command = [sys.executable, "-m", "gpu_agent", "run", "--state-dir", str(directory)]
    said: list[str] = []
    with subprocess.Popen(  # noqa: ASYNC220 - short
        command, cwd=directory, env=environment_for_agent(None), stderr=subprocess.DEVNULL
    ) as old:
        try:
            assert await owner_of(directory, other_than=0) == old.pid
            old.send_signal(signal.SIGSTOP)  # no signal that it could hear ends it now
            plan = AgentPlan(
                api_url="http://127.0.0.1:9/api", directory=directory, media_dirs=()
            )
            new = asyncio.create_task(LocalAgent(plan, nobody).run(said.append))
            try:
                new_pid = await owner_of(directory, other_than=old.pid)
            finally:
                new.cancel()
                await asyncio.gather(new, return_exceptions=True)
        finally:
            old.kill()
    assert old.returncode == -signal.SIGKILL
    assert said == []
    with pytest.raises(ProcessLookupError):
        os.kill(new_pid, 0)
