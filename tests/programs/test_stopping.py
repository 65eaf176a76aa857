"""A program that is told to stop ends, whatever its libraries do with a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from api.programs import stopping
from api.programs.stopping import run_until
from commands.loop import end

pytestmark = pytest.mark.anyio


async def deaf_once(heard: list[str]) -> None:
    """As ``asyncio.wait_for`` before CPython 3.12: one cancellation is lost."""
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            heard.append("cancelled")
            if len(heard) > 1:
                raise


async def test_a_program_ends_though_a_library_swallows_a_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stopping, "INSIST_AFTER_S", 0.05)
    stop, heard = asyncio.Event(), list[str]()
    asyncio.get_running_loop().call_later(0.02, stop.set)
    await asyncio.wait_for(run_until(stop, deaf_once(heard)), 30)
    assert heard == ["cancelled", "cancelled"]


async def test_who_is_cancelled_while_others_end_still_ends_them_all() -> None:
    heard = list[str]()
    inner = asyncio.create_task(deaf_once(heard))
    await asyncio.sleep(0)
    ending = asyncio.create_task(end([inner], insist_after_s=3600))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(ending, 30)
    assert inner.done()
