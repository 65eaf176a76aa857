"""What a task can reach from inside the sandbox: nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from gpu_agent.fetch import Fetcher, FetchPolicy
from gpu_agent.media import MediaSource
from gpu_agent.sandbox import find_bubblewrap
from tests.gpu_agent.conftest import Diary, OpenChildren, attempt, offspring

pytestmark = pytest.mark.anyio
BUNNY = Path(__file__).parents[2] / "api" / "demo" / "media" / "bigbuckbunny.mp4"


@pytest.fixture(scope="module")
def bwrap() -> str:
    found = find_bubblewrap()
    if found is None:
        pytest.skip("bubblewrap is not installed, or user namespaces are forbidden here")
    return found


async def test_every_probe_of_the_walls_finds_them_closed(
    open_children: OpenChildren, tmp_path: Path, bwrap: str
) -> None:
    secret = tmp_path / "secrets" / "nkey"
    secret.parent.mkdir()
    secret.write_text("seed")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "socket"))
        unix.listen()
        config = {
            "secret": str(secret),
            "agent_pid": os.getpid(),
            "port": tcp.getsockname()[1],
            "unix": str(tmp_path / "socket"),
        }
        async with open_children(bwrap=bwrap, standby=2) as children:
            outcome = await attempt(children, Diary(), "look_around", config).run()
    assert outcome.kind == "completed", outcome.message
    assert len(outcome.result) >= 25
    assert [name for name, is_open in outcome.result.items() if is_open] == []


async def test_a_video_is_analysed_inside_the_sandbox(
    open_children: OpenChildren, bwrap: str
) -> None:
    source = MediaSource(Fetcher(FetchPolicy()), [BUNNY.parent])
    async with open_children(bwrap=bwrap, readable=(BUNNY.parent,)) as children:
        assert children.sandbox == "bubblewrap"
        run = attempt(
            children,
            Diary(),
            "video_analysis",
            {"video_url": f"file:{BUNNY.name}"},
            media=source,
        )
        outcome = await run.run()
        assert outcome.kind == "completed", outcome.message
        assert len(outcome.files) == 6


async def test_a_deaf_task_in_the_sandbox_dies_and_so_does_all_it_started(
    open_children: OpenChildren, bwrap: str
) -> None:
    async with open_children(bwrap=bwrap) as children:
        run = attempt(children, Diary(), "ignore_everything", timeout_s=0.5)
        outcome = await run.run()
        family = offspring()
        names = [process.name() for process in family]
    assert outcome.reason == "timeout"
    assert "sleep" not in names


async def test_a_file_left_in_the_sandbox_is_delivered(
    open_children: OpenChildren, bwrap: str
) -> None:
    async with open_children(bwrap=bwrap) as children:
        run = attempt(children, Diary(), "leave_files", {"count": 1})
        outcome = await run.run()
        assert outcome.directory is not None
        assert (outcome.directory / "0.txt").read_text() == "file 0"


async def test_a_task_may_follow_another_in_one_sandbox(
    open_children: OpenChildren, bwrap: str
) -> None:
    async with open_children(bwrap=bwrap) as children:
        outcomes = [await attempt(children, Diary(), "test").run() for _ in range(3)]
    assert [outcome.kind for outcome in outcomes] == ["completed"] * 3


AGENT = """
import asyncio, sys
from pathlib import Path
from gpu_agent.children import Children, Config
from gpu_agent.sandbox import find_bubblewrap
async def main():
    bwrap = find_bubblewrap() if sys.argv[2] == "walled" else None
    children = Children(Config(workspaces=Path(sys.argv[1]), bwrap=bwrap, standby=0))
    await children.start()
    child = await children.take()
    from gpu_agent.child_protocol import Run
    child.send(Run(task_type="test", config={"seconds": 300, "ignore_stop": True},
                   gpu_uuids=(), workspace=str(child.workspace)))
    await child.receive()
    print("running", flush=True)
    await asyncio.sleep(300)
asyncio.run(main())
"""


@pytest.mark.parametrize("walls", ["plain", "walled"])
def test_a_killed_agent_leaves_no_process_of_a_task_behind(walls: str, tmp_path: Path) -> None:
    if walls == "walled" and find_bubblewrap() is None:
        pytest.skip("bubblewrap is not installed, or user namespaces are forbidden here")
    with subprocess.Popen(
        [sys.executable, "-c", AGENT, str(tmp_path / "work"), walls],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    ) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == b"running\n"
        family = psutil.Process(agent.pid).children(recursive=True)
        assert len(family) >= 2
        agent.kill()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
