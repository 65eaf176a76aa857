"""A deployment with other folds: what is outdated is built anew and noted in the log."""

import uuid
from datetime import timedelta
from pathlib import Path
from typing import Literal

import psycopg
import pytest
from msgspec.structs import replace

from api.ordering import Ordering
from api.rebuild_orders import Orders
from api.rebuilding import Operating
from api.refreshing import Refreshing
from commands.event_log.log import EventLog
from commands.read_models import AskAct, ask_act
from commands.writer import Writer
from domain.envelope import Actor
from domain.ids import READ_MODELS_STREAM
from domain.system.events import ReadModelSwitched
from domain.system.read_models import (
    Act,
    KeptGenerationDropped,
    ReadModelActRefused,
    ReadModelRolledBack,
    ReadModelVerified,
    RebuildStarted,
)
from domain.system.read_models import ReadModelActAsked as Asked
from projections.filling import Filling, fill_here
from projections.jobs import read_jobs
from projections.orders import take
from projections.read_model import ReadModel
from projections.recharge_codes import RECHARGE_CODES
from projections.runner import Runner
from tests.commands.accounting import Credit, clock, context, credit
from tests.projections.tables import finish

pytestmark = pytest.mark.anyio

OTHER_FOLDS = "UPDATE owl_read.checkpoints SET fingerprint = 'of another version'"


async def test_an_outdated_read_model_is_rebuilt_switched_and_contrasted(
    log: EventLog, writer: Writer, database_url: str
) -> None:
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    with psycopg.connect(database_url) as connection:
        connection.execute(OTHER_FOLDS + " WHERE read_model = 'recharge_codes'")
    refreshing = Refreshing(log, writer, uuid.uuid4)
    assert await refreshing.step() == ("recharge_codes",)
    assert await refreshing.step() == ()
    switched, compared = [event.fact for event in log.feed().read(0, 10)][-2:]
    assert isinstance(switched, ReadModelSwitched)
    assert (switched.read_model, switched.after_generation) == ("recharge_codes", 2)
    # with the rows as they were before queries moved
    assert isinstance(compared, ReadModelVerified)
    assert (compared.live_generation, compared.other_generation) == (1, 2)


async def test_what_is_ordered_over_the_api_is_done_and_each_step_is_on_record(
    log: EventLog, writer: Writer, database_url: str
) -> None:
    admin = Actor("admin", str(uuid.uuid4()))
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    ordering = Ordering(log, writer, uuid.uuid4)
    refreshing = Refreshing(log, writer, uuid.uuid4)

    async def order(act: Act, switching: Literal["auto", "manual"] = "auto") -> None:
        command = AskAct(read_models=("recharge_codes",), act=act, switching=switching)
        await writer.run(ask_act, command, replace(context(), actor=admin))
        runner = Runner(log.feed(), database_url, [RECHARGE_CODES], projected=None)
        finish(runner)
        runner.close()
        assert await ordering.step() == 1
        assert await ordering.step() == 0

    await order("rebuild", "manual")
    assert await refreshing.step() == ("recharge_codes",)
    acts: tuple[Act, ...] = ("verify", "switch", "rollback", "drop-old", "cancel")
    for act in acts:
        await order(act)
    story = log.read_streams([READ_MODELS_STREAM])
    asked = {each.position: each for each in story if isinstance(each.fact, Asked)}
    noted = [each for each in story if each.position not in asked]
    assert [type(each.fact) for each in noted] == [
        RebuildStarted,
        ReadModelVerified,
        ReadModelSwitched,
        ReadModelRolledBack,
        KeptGenerationDropped,
        ReadModelActRefused,
    ]
    assert {each.actor for each in noted} == {str(admin)}
    assert [each.causation_id for each in noted] == list(asked)
    with psycopg.connect(database_url) as connection:
        told = connection.execute(
            "SELECT state, told, told_zh FROM owl_read.orders ORDER BY position"
        ).fetchall()
    assert [state for state, _, _ in told] == ["done"] * 5 + ["refused"]
    assert told[-1][1:] == (
        "nothing of recharge_codes is being built or waits: nothing to cancel",
        "recharge_codes 没有正在建或建好待切换的，无可取消",
    )


async def test_orders_that_are_alike_are_obeyed_in_one_pass_by_as_many_workers_as_asked_for(
    log: EventLog, writer: Writer, database_url: str
) -> None:
    admin, asked = Actor("admin", str(uuid.uuid4())), []

    def filling(workers: int) -> Filling:
        asked.append(workers)
        return fill_here

    names = ("recharge_codes", "recharge_records")
    command = AskAct(read_models=names, act="rebuild", switching="manual", workers=3)
    await writer.run(ask_act, command, replace(context(), actor=admin))
    refreshing = Refreshing(log, writer, uuid.uuid4, filling=filling)
    assert await Ordering(log, writer, uuid.uuid4).step() == 2
    assert sorted(await refreshing.step()) == sorted(names)
    assert await refreshing.step() == ()
    story = log.read_streams([READ_MODELS_STREAM])
    assert asked == [3]
    orders = {each.fact.read_model: each.position for each in story[:2]}
    began = {each.fact.read_model: each.causation_id for each in story[2:]}
    assert began == orders
    assert {each.actor for each in story} == {str(admin)}
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT step, workers FROM owl_read.rebuilds").fetchall()
    assert rows == [("ready", 3)] * 2


async def test_what_was_ordered_is_gone_on_with_when_its_worker_has_died(
    log: EventLog, writer: Writer, database_url: str
) -> None:
    admin = Actor("admin", str(uuid.uuid4()))
    command = AskAct(read_models=("recharge_codes",), act="rebuild", workers=2)
    await writer.run(ask_act, command, replace(context(), actor=admin))
    dying = Refreshing(log, writer, uuid.uuid4, filling=lambda _workers: die)
    assert await Ordering(log, writer, uuid.uuid4).step() == 1
    with pytest.raises(Died):
        await dying.step()
    next_worker = Refreshing(log, writer, uuid.uuid4, filling=lambda _workers: fill_here)
    assert await next_worker.step() == ("recharge_codes",)
    assert await next_worker.step() == ()
    order, *done = log.read_streams([READ_MODELS_STREAM])
    facts = [type(each.fact) for each in done]
    assert facts == [RebuildStarted, RebuildStarted, ReadModelSwitched]
    assert {(each.actor, each.causation_id) for each in done} == {(str(admin), order.position)}
    # what an operator has begun by a command of their own is left to them
    operating = Operating(log, writer, uuid.uuid4, Actor("system", "operator"))
    with pytest.raises(Died):
        await operating.rebuild([RECHARGE_CODES], Orders(filling=die), lambda _: None)
    with psycopg.connect(database_url) as connection:
        assert read_jobs(connection)["recharge_codes"].interrupted
    assert await next_worker.step() == ()


class Died(BaseException):
    """As a process that is killed: it says nothing any more."""


def die(*_about: object, **_named: object) -> dict[str, str]:
    raise Died


async def test_an_order_that_a_worker_died_of_or_that_waited_too_long_is_not_obeyed(
    log: EventLog, writer: Writer, database_url: str
) -> None:
    rollback = AskAct(read_models=("users",), act="rollback")
    async with Writer(log, lambda: clock() - timedelta(minutes=11)) as earlier:
        await earlier.run(ask_act, rollback, context())
        await earlier.run(ask_act, rollback, context())
    with psycopg.connect(database_url) as connection:
        taken = {"read_model": "users", "act": "rollback", "asked_by": "admin:1"}
        assert take(connection, position=1, **taken, asked_at=clock())
        assert not take(connection, position=1, **taken, asked_at=clock())
    ordering = Ordering(log, writer, uuid.uuid4)
    await ordering.begin()
    assert await ordering.step() == 1
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT state FROM owl_read.orders ORDER BY position")
        assert rows.fetchall() == [("interrupted",), ("expired",)]
    assert len(log.feed().read(0, 9)) == 2


async def test_what_an_operator_has_rolled_back_from_is_not_built_again_by_itself(
    log: EventLog, writer: Writer, database_url: str
) -> None:
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    with psycopg.connect(database_url) as connection:
        connection.execute(OTHER_FOLDS + " WHERE read_model = 'recharge_codes'")
    refreshing = Refreshing(log, writer, uuid.uuid4)
    assert await refreshing.step() == ("recharge_codes",)
    with psycopg.connect(database_url) as connection:  # an older version feeds it
        connection.execute("UPDATE owl_read.checkpoints SET position = 100")
    operating = Operating(log, writer, uuid.uuid4, Actor("system", "operator"))
    await operating.roll_back(RECHARGE_CODES, unfed=True)
    assert await refreshing.step() == ()


async def test_what_was_built_before_the_deployment_is_switched_to_at_once(
    log: EventLog, writer: Writer, tmp_path: Path
) -> None:
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    later = changed(tmp_path, "v2")
    operating = Operating(log, writer, uuid.uuid4, Actor("system", "operator"))
    (built,) = await operating.rebuild([later], Orders(switching="manual"), lambda _: None)
    assert not built.switched
    assert await Refreshing(log, writer, uuid.uuid4, [RECHARGE_CODES]).step() == ()
    new = Refreshing(log, writer, uuid.uuid4, [later])
    assert await new.step() == ("recharge_codes",)
    assert await new.step() == ()
    switched = log.read_streams([READ_MODELS_STREAM])[-1].fact
    assert isinstance(switched, ReadModelSwitched)
    assert switched.after_generation == built.after_generation


async def test_two_versions_at_once_do_not_build_to_and_fro(
    log: EventLog, writer: Writer, tmp_path: Path
) -> None:
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    versions = [RECHARGE_CODES] + [changed(tmp_path, name) for name in ("v2", "v3")]
    old, new, newest = (Refreshing(log, writer, uuid.uuid4, [model]) for model in versions)
    operating = Operating(log, writer, uuid.uuid4, Actor("system", "operator"))
    rebuilt = ("recharge_codes",)
    assert await old.step() == ()
    assert await new.step() == rebuilt
    for _ in range(2):  # the lease goes to and fro while the deployment rolls
        assert (await old.step(), await new.step()) == ((), ())
    await operating.drop_kept(RECHARGE_CODES)
    assert (await old.step(), await new.step()) == ((), ())
    # an operator may want the older rows; then the newer version leaves them alone
    await operating.rebuild([RECHARGE_CODES], Orders(), lambda _: None)
    assert (await new.step(), await old.step()) == ((), ())
    assert await newest.step() == rebuilt
    assert (await old.step(), await new.step(), await newest.step()) == ((), (), ())


def changed(folder: Path, version: str) -> ReadModel:
    """The read model as a later version folds it: the same rows, another fingerprint."""
    there = folder / version
    there.mkdir()
    source = RECHARGE_CODES.ddl.with_suffix(".py").read_text(encoding="utf-8")
    (there / "recharge_codes.py").write_text(f"{source}\nVERSION = ('{version}',)\n")
    ddl = RECHARGE_CODES.ddl.read_text(encoding="utf-8")
    (there / "recharge_codes.sql").write_text(ddl)
    return replace(RECHARGE_CODES, ddl=there / "recharge_codes.sql")
