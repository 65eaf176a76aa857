"""Obeys what administrators order of read models over the API: each order is an event.

The answer to the request is that the order is recorded. What came of it is in the log, by the
same actor, and in ``GET /admin/projections/{read_model}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
import psycopg
import structlog

from api.rebuilding import Operating
from api.verified_words import sentence
from commands.event_log.log import EventLog
from domain.envelope import Actor, Recorded
from domain.ids import READ_MODELS_STREAM
from domain.ports import CommandWriter, Ids
from domain.system.read_models import ReadModelActAsked
from projections import jobs, orders
from projections.catalogue import READ_MODELS
from projections.exclusive import BeingRebuilt
from projections.fingerprint import fingerprint
from projections.read_model import ReadModel
from projections.switching import NoWayBack
from projections.verifying import NothingBeside
from projections.versions import superseded

LOG = structlog.get_logger(__name__)
T = TypeVar("T")
Asked: TypeAlias = "Recorded[ReadModelActAsked]"

SUPERSEDED: Final = (
    "this worker's folds were superseded by those of another version: order it when the"
    " deployment is done, or go back to this version by rollback"
)


class NotObeyed(Exception):
    """There is nothing that could be done."""


class Ordering:
    """Led by one worker."""

    def __init__(
        self,
        log: EventLog,
        writer: CommandWriter,
        ids: Ids,
        read_models: Sequence[ReadModel] = READ_MODELS,
    ) -> None:
        self._log = log
        self._writer = writer
        self._ids = ids
        self._read_models = {model.name: model for model in read_models}
        self._seen_version = 0

    async def begin(self) -> None:
        """This worker leads from now on."""
        await self._call(orders.give_up_interrupted)
        self._seen_version = 0

    async def step(self) -> int:
        """Obey what is new, in order; how many orders that were."""
        version, found = await asyncio.to_thread(self._new)
        for order in found:
            await self._obey(order)
        self._seen_version = version
        return len(found)

    async def _obey(self, order: Asked) -> None:
        fact = order.fact
        model = self._read_models.get(fact.read_model)
        taken = await self._call(
            lambda connection: orders.take(
                connection,
                position=order.position,
                read_model=fact.read_model,
                act=fact.act,
                asked_by=order.actor,
                asked_at=order.recorded_at,
            )
        )
        if not taken:
            return
        operating = self._operating(order)
        state: orders.OrderState = "done"
        try:
            if model is None:
                raise NotObeyed("this version has no such read model")  # noqa: TRY301 - one way to end
            told = await self._act(model, fact, operating)
        except (
            NotObeyed,
            BeingRebuilt,
            NothingBeside,
            NoWayBack,
            psycopg.errors.LockNotAvailable,
        ) as no:
            state, told = "refused", str(no)
            await operating.refuse(fact.read_model, fact.act, told)
            LOG.warning("read_model.not_obeyed", read_model=fact.read_model, act=fact.act)
        await self._call(lambda connection: orders.end(connection, order.position, state, told))

    async def _act(
        self, model: ReadModel, order: ReadModelActAsked, operating: Operating
    ) -> str:
        """Do it; what is to be told of it."""
        match order.act:
            case "rebuild":
                return await self._rebuild(model, order.switching, order.max_load)
            case "resume":
                return await self._resume(model, operating)
            case "pause":
                _insist(await operating.pause(model), "no rebuild of it is at work")
                return "it pauses at the end of its chunk"
            case "cancel":
                _insist(await operating.cancel(model), "nothing is being built of it")
                return "what was built is thrown away"
            case "verify":
                return sentence(await operating.verify(model))
            case "switch":
                switched = await operating.switch(model)
                return f"generation {switched.before_generation} → {switched.after_generation}"
            case "rollback":
                shown = await operating.roll_back(model)
                return f"generation {shown.before_generation} → {shown.after_generation}"
            case "drop-old":
                dropped = await operating.drop_kept(model)
                _insist(bool(dropped), "nothing of it is kept")
                return f"dropped generation {', '.join(map(str, dropped))}"

    async def _rebuild(
        self, model: ReadModel, switching: jobs.Switching, max_load: float
    ) -> str:
        def ask(connection: psycopg.Connection[Any]) -> bool:
            _insist(not superseded(connection, {model.name: fingerprint(model)}), SUPERSEDED)
            return jobs.ask(connection, model.name, switching=switching, max_load=max_load)

        _insist(await self._call(ask), "it is being rebuilt already")
        return "the leading worker begins within seconds"

    async def _resume(self, model: ReadModel, operating: Operating) -> str:
        stopped_at = await operating.resume(model)
        job = (await self._call(jobs.read_jobs)).get(model.name)
        if job is not None and (job.step == "paused" or job.interrupted):
            return await self._rebuild(model, job.switching, job.max_load)
        _insist(stopped_at is not None, "it has not stopped, and no rebuild of it waits")
        return f"it tries position {stopped_at} again"

    def _operating(self, order: Asked) -> Operating:
        """Whoever ordered it has done it."""
        actor = actor_of(order.actor)
        return Operating(self._log, self._writer, self._ids, actor, because=order.position)

    def _new(self) -> tuple[int, list[Asked]]:
        """The stream's version, and the orders in it that nobody has taken."""
        version = self._log.heads([READ_MODELS_STREAM]).get(READ_MODELS_STREAM, 0)
        if version == self._seen_version:
            return version, []
        with psycopg.connect(self._log.conninfo) as connection:
            upto = orders.taken_upto(connection)
        return version, [
            event
            for event in self._log.read_streams([READ_MODELS_STREAM])
            if event.position > upto and isinstance(event.fact, ReadModelActAsked)
        ]

    async def _call(self, act: Callable[[psycopg.Connection[Any]], T]) -> T:
        def connected() -> T:
            with psycopg.connect(self._log.conninfo) as connection:
                return act(connection)

        return await asyncio.to_thread(connected)


def actor_of(written: str) -> Actor:
    """The actor as events name them."""
    kind, _, name = written.partition(":")
    return msgspec.convert({"kind": kind, "name": name}, Actor)


def _insist(possible: bool, why_not: str) -> None:  # noqa: FBT001 - the condition itself
    if not possible:
        raise NotObeyed(why_not)
