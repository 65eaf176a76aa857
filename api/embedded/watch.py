"""The loop that notices a crashed server, tells the caller, starts it again with backoff."""

import asyncio
from collections.abc import Callable
from typing import Literal

from msgspec import Struct

from api.embedded.failure import StackFailed
from api.embedded.server import Server


class WatchConfig(Struct, frozen=True, kw_only=True):
    """How often to look, and how patiently to try again."""

    poll_s: float = 0.2
    first_delay_s: float = 0.25
    longest_delay_s: float = 15.0
    attempts_limit: int = 10


class Incident(Struct, frozen=True, kw_only=True):
    """Something that happened to a server, for the operator's eyes and the log."""

    server: str
    happened: Literal["crashed", "not_started", "restarted"]
    attempt: int
    detail: str


class Watch:
    """Keeps one server running until it is cancelled."""

    def __init__(
        self, server: Server, config: WatchConfig, report: Callable[[Incident], None]
    ) -> None:
        self._server = server
        self._config = config
        self._report = report

    async def run(self) -> None:
        """Look again and again.

        Raises:
            StackFailed: the server could not be brought back.
        """
        while True:
            await self.step()
            await asyncio.sleep(self._config.poll_s)

    async def step(self) -> None:
        """Bring the server back if it ended though nobody stopped it.

        Raises:
            StackFailed: every attempt failed.
        """
        code = self._server.crash()
        if code is None:
            return
        self._tell("crashed", 0, f"exit {code}\n{self._server.log_tail()}")
        delay_s = self._config.first_delay_s
        for attempt in range(1, self._config.attempts_limit + 1):
            try:
                await asyncio.to_thread(self._server.restart)
            except StackFailed as failure:
                self._tell("not_started", attempt, str(failure))
            else:
                self._tell("restarted", attempt, f"process {self._server.pid}")
                return
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, self._config.longest_delay_s)
        raise StackFailed(
            f"{self._server.name} crashed and did not come back in"
            f" {self._config.attempts_limit} attempts:\n{self._server.log_tail()}"
        )

    def _tell(
        self,
        happened: Literal["crashed", "not_started", "restarted"],
        attempt: int,
        detail: str,
    ) -> None:
        self._report(
            Incident(
                server=self._server.name, happened=happened, attempt=attempt, detail=detail
            )
        )
