"""A thread that makes calls which may never return, so that the caller always does.

A driver call cannot be interrupted: when one hangs, its thread hangs with it. There is one such
thread, and while it hangs every further call fails at once instead of hanging another one. When
the driver recovers, so does the thread.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

R = TypeVar("R")


class CallHung(Exception):
    """The call, or one before it, has not returned in time."""


class _Call:
    def __init__(self, function: Callable[[], Any]) -> None:
        self.function = function
        self.done = threading.Event()
        self.result: Any = None
        self.error: BaseException | None = None

    def make(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:  # noqa: BLE001 - handed to the caller, whatever it is
            self.error = error
        self.done.set()


class BoundedCalls:
    """Makes one call at a time in a daemon thread of its own.

    Used from one thread at a time: a call that hangs is remembered by the next caller.
    """

    def __init__(self, name: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._calls: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._overdue: _Call | None = None
        threading.Thread(target=self._make_calls, name=name, daemon=True).start()

    @property
    def hung(self) -> bool:
        """Whether a call that ran out of time is still out."""
        return self._overdue is not None and not self._overdue.done.is_set()

    def call(self, function: Callable[[], R]) -> R:
        """Give ``function``'s result, or raise what it raised.

        Raises:
            CallHung: no answer within the timeout, or an earlier call still hangs.
        """
        if self.hung:
            raise CallHung("an earlier call has not returned")
        call = _Call(function)
        self._overdue = call
        self._calls.put(call)
        if not call.done.wait(self._timeout_s):
            raise CallHung(f"no answer within {self._timeout_s:g} s")
        self._overdue = None
        if call.error is not None:
            raise call.error
        result: R = call.result
        return result

    def close(self) -> None:
        """Let the thread end once its last call returns."""
        self._calls.put(None)

    def _make_calls(self) -> None:
        while (call := self._calls.get()) is not None:
            call.make()
