"""Children with hostile plugins, a listener that remembers, and a platform to talk to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest

from gpu_agent.children import Children, Config
from gpu_agent.executors import ENTRY_POINT_GROUP, Level
from gpu_agent.fetch import Fetcher, FetchPolicy
from gpu_agent.media import MediaSource
from gpu_agent.supervisor import Attempt, Job, Limits
from tests.gpu_agent.hostile_executors import ACTS
from tests.gpu_agent.platform import Platform, platform_at

LIMITS = Limits(grace_s=0.3)


def offspring() -> list[psutil.Process]:
    """This test's fork servers and everything under them; not the broker of other tests."""
    servers = [
        child
        for child in psutil.Process().children()
        if "gpu_agent.forkserver" in " ".join(child.cmdline())
    ]
    return [*servers, *(below for one in servers for below in one.children(recursive=True))]


async def until(met: Callable[[], bool], within_s: float = 30.0) -> None:
    async with asyncio.timeout(within_s):
        while not met():  # noqa: ASYNC110 - what is waited for is another process
            await asyncio.sleep(0.005)


class Diary:
    """A listener that remembers what it heard."""

    def __init__(self) -> None:
        self.begun = 0
        self.progress: list[float] = []
        self.lines: list[tuple[Level, str]] = []
        self.hooks: list[Callable[[str], None]] = []

    def began(self) -> None:
        self.begun += 1

    def advanced(self, percent: float, _note: str) -> None:
        self.progress.append(percent)

    def wrote(self, text: str, level: Level) -> None:
        self.lines.append((level, text))
        for hook in self.hooks:
            hook(text)

    @property
    def text(self) -> list[str]:
        return [text for _, text in self.lines]


OpenChildren = Callable[..., AbstractAsyncContextManager[Children]]


@pytest.fixture
def open_children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OpenChildren:
    """Start a fork server that knows the hostile plugins too."""
    plugins = tmp_path / "plugins"
    metadata = plugins / "hostile-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile\nVersion: 1.0\n")
    module = "tests.gpu_agent.hostile_executors"
    entries = [f"{name} = {module}:plugin_{name}" for name in ACTS]
    entries.append("broken = tests.gpu_agent.no_such_module:EXECUTOR")
    (metadata / "entry_points.txt").write_text("\n".join([f"[{ENTRY_POINT_GROUP}]", *entries]))
    monkeypatch.syspath_prepend(str(plugins))

    @asynccontextmanager
    async def opened(**options: Any) -> Any:
        children = Children(Config(workspaces=tmp_path / "work", **options))
        await children.start()
        try:
            yield children
        finally:
            await children.close()

    return opened


@pytest.fixture
async def platform(nats_url: str) -> AsyncIterator[Platform]:
    async with platform_at(nats_url, uuid4()) as started:
        yield started


def attempt(
    children: Children,
    listener: Diary,
    task_type: str,
    config: dict[str, Any] | None = None,
    *,
    media: MediaSource | None = None,
    limits: Limits = LIMITS,
    **job: Any,
) -> Attempt:
    """One run of a task, ready to go."""
    wanted = Job(task_type=task_type, config=config or {}, **({"timeout_s": 30.0} | job))
    source = media or MediaSource(Fetcher(FetchPolicy()))
    return Attempt(wanted, children=children, media=source, listener=listener, limits=limits)
