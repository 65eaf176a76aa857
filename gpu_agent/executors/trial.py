"""The ``test`` task type: takes the whole path of a task without a workload.

Its configuration lets an operator rehearse what can go wrong: failing, running long, writing a
lot, and refusing to die.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from gpu_agent.executors import TaskContext, TaskFailed

STEP_S: Final = 0.05


class TrialConfig(Struct, frozen=True):
    """What the trial is to do; keys it does not know are somebody else's and are ignored."""

    seconds: Annotated[float, Meta(ge=0, le=3600)] = 0.0
    fail: bool = False
    output: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """How many lines to write."""
    ignore_stop: bool = False
    """Do not stop when asked to: the agent has to kill."""


class Trial:
    """Waits, writes and ends as its configuration says."""

    reusable = True

    def run(self, config: dict[str, Any], context: TaskContext) -> Mapping[str, Any]:
        """Rehearse."""
        try:
            wanted = msgspec.convert(config, TrialConfig)
        except msgspec.ValidationError as error:
            raise TaskFailed(f"config: {error}") from error
        if wanted.ignore_stop:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        for number in range(1, wanted.output + 1):
            context.output(f"line {number} of {wanted.output}")
        _pass_time(wanted, context)
        if wanted.fail:
            raise TaskFailed("the configuration asked for a failure")
        return {"slept_s": wanted.seconds, "lines": wanted.output, "echo": config}


def _pass_time(wanted: TrialConfig, context: TaskContext) -> None:
    began = time.monotonic()
    while (passed := time.monotonic() - began) < wanted.seconds:
        context.progress(100 * passed / wanted.seconds)
        time.sleep(min(STEP_S, wanted.seconds - passed))
        if not wanted.ignore_stop:
            context.check()


EXECUTOR = Trial()
