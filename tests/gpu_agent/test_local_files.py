"""An agent and the operator's own files: it says whether it has any, and declines without."""

from __future__ import annotations

from pathlib import Path

import pytest

from domain.fleet.messages import Began, Heartbeat
from tests.gpu_agent.platform import Platform
from tests.gpu_agent.test_agent import MEDIA, living

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("media", [(), (MEDIA,)])
async def test_an_agent_says_whether_it_serves_files(
    platform: Platform, tmp_path: Path, media: tuple[Path, ...]
) -> None:
    async with living(platform.url, platform.server_id, tmp_path, media=media):
        await platform.until(lambda: platform.of(Heartbeat))
    assert {beat.serves_files for beat in platform.of(Heartbeat)} == {bool(media)}


async def test_without_them_it_declines_what_names_one_before_it_begins(
    platform: Platform, tmp_path: Path
) -> None:
    async with living(platform.url, platform.server_id, tmp_path, media=()):
        assigned = await platform.assign("video_analysis", video_url="file:clip.mp4")
        ended = await platform.ended(assigned)
    assert (ended.outcome, ended.reason, ended.run_ms) == ("refused", "agent_refused", 0)
    assert ended.error_message == "the agent has no media directory"
    assert platform.of(Began, assigned) == []
