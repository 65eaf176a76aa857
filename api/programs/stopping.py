"""How a program ends: at the first SIGTERM or Ctrl-C it stops in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, Final

from commands.loop import end

INSIST_AFTER_S: Final = 10.0
"""Whatever takes longer to stop has not heard that it shall."""


def stop_event() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


async def run_until(stop: asyncio.Event, *works: Coroutine[Any, Any, Any]) -> None:
    """Run ``works`` until ``stop``, or until the first of them ends; then cancel the others.

    Raises:
        Exception: what the first one to fail raised.
    """
    tasks = [asyncio.ensure_future(work) for work in works]
    waiting = asyncio.ensure_future(stop.wait())
    try:
        done, _ = await asyncio.wait({*tasks, waiting}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end((*tasks, waiting), insist_after_s=INSIST_AFTER_S)
    for task in done - {waiting}:
        task.result()
