"""After a deployment with other folds: builds anew what is outdated, beside what is live.

Edit a fold or its ``.sql``, deploy: the leading worker sees the new fingerprint and does what
``owl projections rebuild`` does. Queries see the old rows until the commit that shows the new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import UUID

import structlog

from commands.event_log.batch import APPEND_LOCK
from commands.event_log.log import EventLog
from commands.read_models import NoteSwitch, note_switch
from domain.envelope import Actor, Context, Fence
from domain.ports import CommandWriter, Ids
from projections.catalogue import READ_MODELS
from projections.migrate import prepare
from projections.read_model import ReadModel
from projections.rebuild import Progress, RebuildFailed, Rebuilt, rebuild

LOG = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 30.0


class Refreshing:
    """The loop; led by one worker."""

    name = "refreshing"

    def __init__(self, log: EventLog, writer: CommandWriter, ids: Ids) -> None:
        self._log = log
        self._writer = writer
        self._ids = ids

    async def run(self, _fence: Fence) -> None:
        """Look now and then until cancelled; a rebuild is fenced by a lock of its own."""
        while True:
            await self.step()
            await asyncio.sleep(LOOK_EVERY_S)

    async def step(self) -> tuple[str, ...]:
        """Rebuild what is outdated; returns what was."""
        outdated = await asyncio.to_thread(prepare, self._log.conninfo)
        for name in outdated:
            model = next(each for each in READ_MODELS if each.name == name)
            LOG.warning("read_model.outdated", read_model=name)
            try:
                rebuilt = await asyncio.to_thread(build_beside, self._log, model)
            except RebuildFailed as failure:
                LOG.exception("read_model.not_rebuilt", read_model=name, why=str(failure))
            else:
                await note(self._writer, self._ids(), rebuilt, Actor("policy", self.name))
                LOG.info("read_model.switched", read_model=name, seconds=rebuilt.seconds)
        return outdated


def build_beside(
    log: EventLog,
    model: ReadModel,
    *,
    progress: Callable[[Progress], None] | None = None,
    accept_difference: bool = False,
) -> Rebuilt:
    """Build the next generation of a read model and switch to it; blocks.

    Raises:
        RebuildFailed: it was not switched; says why.
    """
    return rebuild(
        log.conninfo,
        log.feed() if model.source == "business" else log.telemetry.feed(),
        model,
        append_lock=APPEND_LOCK,
        progress=progress or (lambda _progress: None),
        switch_if_different=accept_difference,
    )


async def note(writer: CommandWriter, command_id: UUID, rebuilt: Rebuilt, actor: Actor) -> None:
    """Record a switch in the log."""
    command = NoteSwitch(
        read_model=rebuilt.read_model,
        before_generation=rebuilt.before_generation,
        after_generation=rebuilt.after_generation,
        at_position=rebuilt.at_position,
        checksum=rebuilt.checksum,
    )
    context = Context(command_id=command_id, actor=actor, correlation_id=str(command_id))
    await writer.run(note_switch, command, context)
