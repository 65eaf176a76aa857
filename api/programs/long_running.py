"""The event loop of a program that serves for months: uvloop, and garbage looked for seldom.

A server holds many small frozen structs (states, the newest events) that no cycle goes through.
By Python's defaults the collector walks them again and again: half of the processor time of a
command was that (40 µs of it became 21). The lists below are what a few hundred commands make.
"""

from __future__ import annotations

import gc
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

T = TypeVar("T")

YOUNG = 50_000
"""Allocated containers less freed ones before the young are looked at; CPython's own: 700."""
MIDDLE, OLD = 20, 20
"""Rounds of the younger generation before the next older one is looked at."""


def run_long(program: Coroutine[Any, Any, T]) -> T:
    """Run ``program`` to its end, as the process's only one."""
    seldom_look_for_garbage()
    return uvloop.run(program)


def seldom_look_for_garbage() -> None:
    """As in all programs that serve; for the whole process."""
    gc.collect()
    gc.freeze()  # what was imported stays: it need never be looked at again
    gc.set_threshold(YOUNG, MIDDLE, OLD)
