"""How a program ends: at the first SIGTERM or Ctrl-C it stops in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any


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
        for task in (*tasks, waiting):
            task.cancel()
        for task in (*tasks, waiting):
            with suppress(asyncio.CancelledError, Exception):
                await task
    for task in done - {waiting}:
        task.result()
