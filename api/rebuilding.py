"""What operators may do with read models, for the command line, the API and the loop alike.

Each act is done by ``projections`` and noted in the log, with who did it; that it was ordered,
or begun, stands there before.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import psycopg

from api.log_doors import door_to
from api.read_model_facts import switched_fact, verified_fact
from api.rebuild_orders import Orders
from commands.event_log.log import EventLog
from commands.read_models import NoteAct, note_act
from domain.envelope import Actor, Context
from domain.ports import CommandWriter, Ids
from domain.system.events import ReadModelSwitched
from domain.system.read_models import (
    Act,
    KeptGenerationDropped,
    ReadModelActBegun,
    ReadModelActRefused,
    ReadModelFact,
    ReadModelResumed,
    ReadModelRolledBack,
    RebuildCancelled,
    RebuildFailed,
    RebuildPaused,
    RebuildStarted,
)
from projections import jobs, switching
from projections.exclusive import BeingRebuilt
from projections.fingerprint import fingerprint
from projections.generations import Opened
from projections.not_possible import NotPossible
from projections.progress import Progress
from projections.read_model import ReadModel, Source
from projections.rebuild import Log, NotRebuilt, rebuild
from projections.rebuilt import Hearing, Rebuilt
from projections.switching import Shown, require_feeders
from projections.verified import Verified
from projections.verifying import abandon, resume, show_built, verify
from projections.versions import want
from projections.wishes import Stopped


class Operating:
    """Acts of one actor; ``because`` is the position of the event that they follow from.

    ``orders`` says so by read model, where each has an order of its own.
    """

    def __init__(
        self,
        log: EventLog,
        writer: CommandWriter,
        ids: Ids,
        actor: Actor,
        *,
        because: int | None = None,
        orders: Mapping[str, int] | None = None,
    ) -> None:
        self._log = log
        self._writer = writer
        self._ids = ids
        self._actor = actor
        self._because = because
        self._orders = orders or {}

    async def rebuild(
        self,
        read_models: Sequence[ReadModel],
        orders: Orders,
        progress: Callable[[Progress], None],
    ) -> tuple[Rebuilt, ...]:
        """Build anew, in one pass for those of one log, and switch if it is so ordered.

        Raises:
            NotPossible: no worker would feed what is to be switched to.
            NotRebuilt: one at least was not switched to; says why.
            Stopped: an operator has paused or cancelled some; the others were done.
        """
        if orders.switching == "auto" and not orders.unfed:
            await self._call(require_feeders, read_models)
        done: list[Rebuilt] = []
        left: dict[str, jobs.Wish] = {}
        for source in ("business", "telemetry"):
            models = [model for model in read_models if model.source == source]
            if models:
                try:
                    done += await self._rebuild(models, orders, progress)
                except Stopped as stopped:
                    left |= stopped.wishes
                    done += stopped.done
        if left:
            raise Stopped(left, done)
        return tuple(done)

    async def _rebuild(
        self,
        read_models: Sequence[ReadModel],
        orders: Orders,
        progress: Callable[[Progress], None],
    ) -> tuple[Rebuilt, ...]:
        loop = asyncio.get_running_loop()
        if not orders.by_itself:
            for model in read_models:
                await self._call(want, model.name, fingerprint(model))

        def wait_for(noting: Coroutine[Any, Any, object]) -> None:
            asyncio.run_coroutine_threadsafe(noting, loop).result()

        def began(opened: Sequence[Opened], upto: int) -> None:
            for each in opened:
                fact = RebuildStarted(
                    read_model=each.generation.read_model.name,
                    generation=each.generation.generation,
                    from_position=each.generation.position,
                    upto=upto,
                    max_load=orders.max_load,
                )
                wait_for(self._note(fact))

        hearing = Hearing(
            began=began,
            concluded=lambda rebuilt: wait_for(self._note_switch(rebuilt)),
            found=lambda found: wait_for(self._note_verified(found)),
        )
        try:
            return await asyncio.to_thread(
                rebuild,
                self._log.conninfo,
                self.door(read_models[0].source),
                read_models,
                progress=progress,
                hearing=hearing,
                switching=orders.switching,
                switch_if_different=orders.accept_difference,
                config=orders.config(),
                filling=orders.filling,
                workers=orders.workers,
            )
        except NotRebuilt as failure:
            if isinstance(failure.__cause__, BeingRebuilt):
                raise  # somebody else is at it: that is no failure of theirs
            for name, reason in failure.reasons.items():
                await self._note(RebuildFailed(read_model=name, reason=reason))
            raise

    async def pause(self, read_model: ReadModel) -> None:
        """Let what is being built end its chunk and wait.

        Raises:
            NotPossible: nothing is at work.
        """
        if not await self._call(jobs.wish_for, read_model.name, "pause"):
            raise NotPossible(read_model.name, "nothing_at_work")
        await self._note(RebuildPaused(read_model=read_model.name))

    async def cancel(self, read_model: ReadModel) -> None:
        """Throw away what is being built.

        Raises:
            NotPossible: there is nothing.
        """
        asked = await self._call(jobs.wish_for, read_model.name, "cancel")
        try:
            gone = await asyncio.to_thread(abandon, self._log.conninfo, read_model)
        except BeingRebuilt:  # its process obeys the wish at the end of a chunk
            gone = False
        if not asked and not gone:
            raise NotPossible(read_model.name, "nothing_being_built")
        await self._note(RebuildCancelled(read_model=read_model.name))

    async def resume(self, read_model: ReadModel) -> int | None:
        """Let one that has stopped at an event try it again; which event, if it had."""
        stopped_at: int | None = await self._call(resume, read_model.name)
        if stopped_at is not None:
            fact = ReadModelResumed(read_model=read_model.name, stopped_at=stopped_at)
            await self._note(fact)
        return stopped_at

    async def verify(self, read_model: ReadModel, limit: int = 0) -> Verified:
        """Compare what was built, or what is kept, with the live rows.

        Raises:
            NothingBeside: there is nothing to compare with.
        """
        door = self.door(read_model.source)
        found = await asyncio.to_thread(
            verify, self._log.conninfo, door.feed, read_model, limit=limit
        )
        await self._note_verified(found)
        return found

    async def switch(self, read_model: ReadModel, *, unfed: bool = False) -> ReadModelSwitched:
        """Let queries see what was built and not yet switched to.

        Raises:
            NothingBeside: nothing is ready.
            NotPossible: no worker would feed it, and ``unfed`` does not insist.
        """
        door = self.door(read_model.source)
        shown = await asyncio.to_thread(
            show_built, self._log.conninfo, door, read_model, unfed=unfed
        )
        fact = switched_fact(shown)
        await self._note(fact)
        return fact

    async def roll_back(self, read_model: ReadModel, *, unfed: bool = False) -> Shown:
        """Let queries see the generation again that was kept.

        Raises:
            NoWayBack: nothing is kept, it is not current, or, without ``unfed``, not fed.
        """
        done = await asyncio.to_thread(
            switching.roll_back,
            self._log.conninfo,
            read_model,
            append_lock=self.door(read_model.source).append_lock,
            unfed=unfed,
        )
        await self._note(
            ReadModelRolledBack(
                read_model=done.read_model,
                before_generation=done.before_generation,
                after_generation=done.after_generation,
                at_position=done.at_position,
            )
        )
        return done

    async def drop_kept(self, read_model: ReadModel) -> tuple[int, ...]:
        """Drop what was kept for the way back; which generations those were.

        Raises:
            NotPossible: nothing is kept, or somebody reads it for long.
        """
        dropped = await asyncio.to_thread(switching.drop_kept, self._log.conninfo, read_model)
        await self._note(KeptGenerationDropped(read_model=read_model.name, generations=dropped))
        return dropped

    async def begin(self, read_model: str, act: Act) -> None:
        """Note what is about to be done: what is noted from now on follows from that."""
        fact = ReadModelActBegun(read_model=read_model, act=act)
        self._because = await self._note(fact)

    async def refuse(self, read_model: str, act: Act, reason: str) -> None:
        """Note that what was asked for could not be done."""
        await self._note(ReadModelActRefused(read_model=read_model, act=act, reason=reason))

    def door(self, source: Source) -> Log:
        """What ``projections`` needs of a log."""
        return door_to(self._log, source)

    async def _note_verified(self, found: Verified) -> None:
        await self._note(verified_fact(found))

    async def _note_switch(self, rebuilt: Rebuilt) -> None:
        if rebuilt.switched:
            await self._note(switched_fact(rebuilt, rebuilt.checksum))

    async def _note(self, fact: ReadModelFact | ReadModelSwitched) -> int:
        command_id = self._ids()
        context = Context(
            command_id=command_id,
            actor=self._actor,
            correlation_id=str(command_id),
            causation_id=self._orders.get(fact.read_model, self._because),
        )
        noted = await self._writer.run(note_act, NoteAct(fact=fact), context)
        return noted.position

    async def _call(self, act: Callable[..., Any], *arguments: Any) -> Any:
        def connected() -> Any:
            with psycopg.connect(self._log.conninfo) as connection:
                return act(connection, *arguments)

        return await asyncio.to_thread(connected)
