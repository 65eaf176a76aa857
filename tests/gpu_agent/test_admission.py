"""An enrolled agent is let in by the platform's own answer, and its rights suffice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from commands import admission
from commands.admission import Admission
from commands.loop import end
from domain.fleet.messages import Advanced, Heartbeat
from gpu_agent import broker
from gpu_agent.enrolment import new_seed, public_key_of
from tests.gpu_agent.platform import Platform, platform_at
from tests.gpu_agent.test_agent import living
from tests.stack import LiveStack

pytestmark = pytest.mark.anyio
SEED = new_seed(bytes(range(32)))


class Keys(dict[UUID, str]):
    """Enrolled keys; notes when one was looked up in vain for the third time."""

    def __init__(self) -> None:
        super().__init__()
        self.misses = 0
        self.asked_thrice = asyncio.Event()

    def get(self, server_id: UUID, default: str | None = None) -> str | None:  # type: ignore[override]  # narrower
        found = super().get(server_id, default)
        self.misses += found is None
        if self.misses >= 3:
            self.asked_thrice.set()
        return found


@asynccontextmanager
async def answering(
    platform: Platform, stack: LiveStack, keys: dict[UUID, str]
) -> AsyncIterator[None]:
    """The platform's admission, for servers with these keys."""

    async def public_key(server_id: UUID) -> str | None:
        return keys.get(server_id)

    door = Admission(
        platform.client, stack.callout_seed, public_key, clock=lambda: datetime.now(UTC)
    )
    open_door = asyncio.create_task(door.run(None))  # type: ignore[arg-type]  # not fenced here
    try:
        yield
    finally:
        await end([open_door])
        assert open_door.cancelled()


async def test_an_enrolled_agent_does_all_its_work_with_its_own_rights_only(
    session_stack: LiveStack, nats_url: str, tmp_path: Path
) -> None:
    server_id = uuid4()
    async with (
        platform_at(nats_url, server_id) as platform,
        answering(platform, session_stack, {server_id: public_key_of(SEED)}),
        living(session_stack.nats_address, server_id, tmp_path),
    ):
        assigned = await platform.assign("video_analysis", video_url="file:bigbuckbunny.mp4")
        ended = await platform.ended(assigned)
        assert ended.outcome == "completed", ended.error_message
        assert await platform.file(ended.artifacts[0].sha256)


async def test_a_session_that_ends_does_not_end_the_work(
    session_stack: LiveStack, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "SESSION_S", 2)
    server_id = uuid4()
    async with (
        platform_at(nats_url, server_id) as platform,
        answering(platform, session_stack, {server_id: public_key_of(SEED)}),
        living(session_stack.nats_address, server_id, tmp_path),
    ):
        assigned = await platform.assign("test", seconds=5)
        ended = await platform.ended(assigned)
        again = await platform.ended(await platform.assign("test"))
    assert (ended.outcome, again.outcome) == ("completed", "completed")
    assert len({beat.boot_id for beat in platform.of(Heartbeat)}) == 1
    assert platform.of(Advanced, assigned)


async def test_an_agent_that_is_not_enrolled_goes_on_knocking_and_is_let_in_later(
    session_stack: LiveStack, nats_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "KNOCK_AGAIN_S", 0.2)
    server_id, keys = uuid4(), Keys()
    async with (
        platform_at(nats_url, server_id) as platform,
        answering(platform, session_stack, keys),
        living(session_stack.nats_address, server_id, tmp_path),
    ):
        async with asyncio.timeout(30):
            await keys.asked_thrice.wait()
        assert platform.of(Heartbeat) == []
        keys[server_id] = public_key_of(SEED)
        await platform.until(lambda: platform.of(Heartbeat))
