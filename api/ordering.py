"""Obeys what administrators order of read models over the API: each order is an event.

The answer to the request is that the order is recorded. What came of it is in the log, by the
same actor, and in ``GET /admin/projections/{read_model}``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgspec
import psycopg
import structlog

from api.messages import Text
from api.read_model_texts import why_not
from api.rebuilding import Operating
from api.verified_words import filled, verdict
from commands.event_log.log import EventLog
from domain.envelope import Actor, Recorded
from domain.ids import READ_MODELS_STREAM
from domain.ports import CommandWriter, Ids
from domain.system.events import ReadModelSwitched
from domain.system.read_models import ReadModelActAsked
from projections import jobs, orders
from projections.catalogue import READ_MODELS
from projections.exclusive import BeingRebuilt
from projections.fingerprint import fingerprint
from projections.not_possible import NotPossible
from projections.read_model import ReadModel
from projections.switching import Shown
from projections.versions import superseded

LOG = structlog.get_logger(__name__)
T = TypeVar("T")
Asked: TypeAlias = "Recorded[ReadModelActAsked]"

SUPERSEDED: Final = Text(
    "执行命令的工作进程不是最新版本：请在部署完成后再下令，或用 rollback 退回该版本",
    "this worker's folds were superseded by those of another version: order it when the"
    " deployment is done, or go back to this version by rollback",
)
UNKNOWN: Final = Text(
    "执行命令的工作进程没有这个读模型：请在部署完成后再下令",
    "the worker's version has no such read model: order it when the deployment is done",
)
BUSY: Final = Text(
    "数据库长时间被占用，未能执行：请稍后重新下令",
    "the database was held up for too long and it was not done: order it again in a moment",
)
BEGINS: Final = Text(
    "已交由领导的工作进程重建：进度见 progress",
    "the leading worker builds it: progress says how far it is",
)
PAUSES: Final = Text("做完手头一段后暂停", "it pauses at the end of its chunk")
CANCELLED: Final = Text("已丢弃新建的数据", "what was built is thrown away")
SHOWN: Final = Text("第 {before} 代 → 第 {after} 代", "generation {before} → {after}")
DROPPED: Final = Text("已删除第 {numbers} 代", "dropped generation {numbers}")
TRIES_AGAIN: Final = Text("重新处理位置 {at}", "it tries position {at} again")


class NotObeyed(Exception):
    """It could not be done; ``told`` says why."""

    def __init__(self, told: Text) -> None:
        super().__init__(told.en)
        self.told = told


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
                raise NotObeyed(UNKNOWN)  # noqa: TRY301 - one way to end
            told = await self._act(model, fact, operating)
        except (NotObeyed, NotPossible, psycopg.errors.LockNotAvailable) as no:
            state, told = "refused", _why(no)
            await operating.refuse(fact.read_model, fact.act, told.en)
            LOG.warning("read_model.not_obeyed", read_model=fact.read_model, act=fact.act)
        await self._call(
            lambda connection: orders.end(
                connection, order.position, state, told=told.en, told_zh=told.zh
            )
        )

    async def _act(
        self, model: ReadModel, order: ReadModelActAsked, operating: Operating
    ) -> Text:
        """Do it; what is to be told of it."""
        match order.act:
            case "rebuild":
                how = _How(order.switching, order.max_load, order.workers)
                return await self._rebuild(model, how)
            case "resume":
                return await self._resume(model, operating)
            case "pause":
                await operating.pause(model)
                return PAUSES
            case "cancel":
                await operating.cancel(model)
                return CANCELLED
            case "verify":
                return verdict(await operating.verify(model))
            case "switch":
                return _shown(await operating.switch(model))
            case "rollback":
                return _shown(await operating.roll_back(model))
            case "drop-old":
                dropped = await operating.drop_kept(model)
                return filled(DROPPED, numbers=", ".join(map(str, dropped)))

    async def _rebuild(self, model: ReadModel, how: _How) -> Text:
        def ask(connection: psycopg.Connection[Any]) -> bool:
            if superseded(connection, {model.name: fingerprint(model)}):
                raise NotObeyed(SUPERSEDED)
            return jobs.ask(
                connection,
                model.name,
                switching=how.switching,
                max_load=how.max_load,
                workers=how.workers,
            )

        if not await self._call(ask):
            raise BeingRebuilt(model.name)
        return BEGINS

    async def _resume(self, model: ReadModel, operating: Operating) -> Text:
        stopped_at = await operating.resume(model)
        job = (await self._call(jobs.read_jobs)).get(model.name)
        if job is not None and (job.step == "paused" or job.interrupted):
            return await self._rebuild(model, _How(job.switching, job.max_load, job.workers))
        if stopped_at is None:
            raise NotPossible(model.name, "not_stopped")
        return filled(TRIES_AGAIN, at=stopped_at)

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


class _How(NamedTuple):
    switching: jobs.Switching
    max_load: float
    workers: int


def _shown(shown: Shown | ReadModelSwitched) -> Text:
    return filled(SHOWN, before=shown.before_generation, after=shown.after_generation)


def _why(no: NotObeyed | NotPossible | psycopg.errors.LockNotAvailable) -> Text:
    if isinstance(no, NotObeyed):
        return no.told
    return why_not(no) if isinstance(no, NotPossible) else BUSY
