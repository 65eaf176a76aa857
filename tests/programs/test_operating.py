"""Each act on a read model is an event: by who did it, and from what it follows."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import psycopg
import pytest

from api.rebuild_orders import Orders
from api.rebuilding import Operating
from commands.event_log.log import EventLog
from commands.writer import Writer
from domain.envelope import Actor
from domain.ids import READ_MODELS_STREAM
from domain.system.events import ReadModelSwitched
from domain.system.read_models import (
    KeptGenerationDropped,
    ReadModelActRefused,
    ReadModelResumed,
    ReadModelRolledBack,
    ReadModelVerified,
    RebuildCancelled,
    RebuildFailed,
    RebuildPaused,
    RebuildStarted,
)
from projections.filling import Filling, fill_here
from projections.rebuild import NotRebuilt
from projections.recharge_codes import RECHARGE_CODES
from projections.runner import Runner
from projections.wishes import Stopped
from tests.projections.tables import finish

pytestmark = pytest.mark.anyio

OPERATOR = Actor("system", "owl-projections/somebody")
BECAUSE = 7
STOPPED = """
    UPDATE owl_read.checkpoints SET stopped_at = 3, error = 'it cannot be folded'
    WHERE read_model = 'recharge_codes' AND state = 'live'
"""


async def test_each_act_is_noted_with_who_did_it_and_why(log: EventLog, writer: Writer) -> None:
    operating = Operating(log, writer, uuid.uuid4, OPERATOR, because=BECAUSE)
    loop, model = asyncio.get_running_loop(), RECHARGE_CODES

    def paused(*about: Any, **more: Any) -> dict[str, str]:
        asyncio.run_coroutine_threadsafe(operating.pause(model), loop).result(30)
        return fill_here(*about, **more)

    def cancelled(*about: Any, **more: Any) -> dict[str, str]:
        asyncio.run_coroutine_threadsafe(operating.cancel(model), loop).result(30)
        return fill_here(*about, **more)

    def failing(*_about: Any, **_more: Any) -> dict[str, str]:
        return {model.name: "it cannot be folded"}

    async def rebuild(filling: Filling = fill_here) -> None:
        await operating.rebuild([model], Orders(filling=filling), lambda _: None)

    with pytest.raises(Stopped, match="pause"):
        await rebuild(paused)
    with pytest.raises(Stopped, match="cancel"):
        await rebuild(cancelled)
    with pytest.raises(NotRebuilt):
        await rebuild(failing)
    await rebuild()
    feed_rows(log)
    await operating.verify(model)
    feed_rows(log)
    await operating.roll_back(model)
    await operating.drop_kept(model)
    await operating.rebuild([model], Orders(switching="manual"), lambda _: None)
    await operating.switch(model)
    with psycopg.connect(log.conninfo) as connection:
        connection.execute(STOPPED)
    assert await operating.resume(model) == 3
    assert await operating.resume(model) is None
    await operating.refuse(model.name, "rollback", "it has none")
    noted = log.read_streams([READ_MODELS_STREAM])
    assert [type(each.fact) for each in noted] == [
        RebuildStarted,
        RebuildPaused,
        RebuildStarted,
        RebuildCancelled,
        RebuildStarted,
        RebuildFailed,
        RebuildStarted,
        ReadModelSwitched,
        ReadModelVerified,
        ReadModelRolledBack,
        KeptGenerationDropped,
        RebuildStarted,
        ReadModelSwitched,
        ReadModelResumed,
        ReadModelActRefused,
    ]
    assert {each.fact.read_model for each in noted} == {model.name}
    assert {(each.actor, each.causation_id) for each in noted} == {(str(OPERATOR), BECAUSE)}
    told = {type(each.fact): each.fact for each in noted}
    assert told[RebuildFailed].reason == "it cannot be folded"
    assert told[ReadModelResumed].stopped_at == 3
    assert told[KeptGenerationDropped].generations


def feed_rows(log: EventLog) -> None:
    """What a worker does all the time."""
    runner = Runner(log.feed(), log.conninfo, [RECHARGE_CODES], projected=None)
    finish(runner)
    runner.close()
