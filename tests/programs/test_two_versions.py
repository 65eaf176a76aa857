"""Two versions side by side: what each builds and feeds while the other one leads."""

import uuid
from pathlib import Path

import psycopg
import pytest

from api.building_ahead import TEAMS, BuildingAhead
from api.feeding_aside import FeedingAside
from api.rebuild_orders import Orders
from api.rebuilding import Operating
from api.refreshing import Refreshing
from commands.event_log.log import EventLog
from commands.team_lease import TeamLease
from commands.writer import Writer
from domain.envelope import Actor
from domain.ids import READ_MODELS_STREAM
from domain.system.events import ReadModelSwitched
from projections.not_possible import NotPossible
from projections.recharge_codes import RECHARGE_CODES
from projections.runner import Runner
from tests.commands.accounting import Credit, context, credit
from tests.programs.test_refreshing import changed

pytestmark = pytest.mark.anyio

A_WHILE_AGO = "UPDATE owl_read.checkpoints SET updated_at = now() - interval '1 minute'"
STOPPED = """
    UPDATE owl_read.checkpoints SET stopped_at = 1, error = 'it cannot be folded'
    WHERE read_model = 'recharge_codes'
"""
FED = "UPDATE owl_read.checkpoints SET position = 100 WHERE read_model = 'recharge_codes'"
POSITIONS = """
    SELECT state, position FROM owl_read.checkpoints WHERE read_model = 'recharge_codes'
    ORDER BY generation
"""


async def test_a_new_version_that_stands_by_builds_ahead_and_switches_when_it_leads(
    log: EventLog, writer: Writer, tmp_path: Path
) -> None:
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    later = changed(tmp_path, "v2")
    ahead = BuildingAhead(log, writer, uuid.uuid4, "new", [later])
    assert await ahead.step() == (), "nobody else feeds the live rows"
    await lead(log, "old")
    same = BuildingAhead(log, writer, uuid.uuid4, "new", [RECHARGE_CODES])
    assert await same.step() == ()
    leading = BuildingAhead(log, writer, uuid.uuid4, "old", [later])
    assert await leading.step() == (), "who leads builds as it is"
    assert await ahead.step() == ("recharge_codes",)
    assert await ahead.step() == ()
    old = Refreshing(log, writer, uuid.uuid4, [RECHARGE_CODES])
    assert await old.step() == ()
    switches = [type(each.fact) for each in log.read_streams([READ_MODELS_STREAM])]
    assert ReadModelSwitched not in switches
    new = Refreshing(log, writer, uuid.uuid4, [later])
    assert await new.step() == ("recharge_codes",)
    assert await new.step() == ()
    # folds that were here before are no news: nothing is built to and fro
    assert await same.step() == ()
    switched = log.read_streams([READ_MODELS_STREAM])[-1].fact
    assert isinstance(switched, ReadModelSwitched)


async def test_a_mended_fold_is_built_ahead_of_rows_that_have_stopped(
    log: EventLog, writer: Writer, tmp_path: Path
) -> None:
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    await lead(log, "old")
    with psycopg.connect(log.conninfo) as connection:
        connection.execute(STOPPED)
    mended = changed(tmp_path, "v2")
    ahead = BuildingAhead(log, writer, uuid.uuid4, "new", [mended])
    assert await ahead.step() == ("recharge_codes",)
    assert await ahead.step() == ()
    head = log.feed().head()
    assert await Refreshing(log, writer, uuid.uuid4, [mended]).step() == ("recharge_codes",)
    with psycopg.connect(log.conninfo) as connection:
        rows = connection.execute(POSITIONS).fetchall()
    assert rows == [("kept", 0), ("live", head)]


async def test_queries_are_not_switched_to_rows_that_no_worker_would_feed(
    log: EventLog, writer: Writer, tmp_path: Path
) -> None:
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    later = changed(tmp_path, "v2")
    operating = Operating(log, writer, uuid.uuid4, Actor("system", "operator"))
    by_itself = Orders(switching="auto", unfed=False)
    await operating.rebuild([later], Orders(switching="manual"), lambda _: None)
    old = FeedingAside(log, "old", [RECHARGE_CODES])
    old.step()
    with pytest.raises(NotPossible, match="nobody_feeds"):
        await operating.rebuild([later], by_itself, lambda _: None)
    with pytest.raises(NotPossible, match="nobody_feeds"):
        await operating.switch(later)
    switches = [type(each.fact) for each in log.read_streams([READ_MODELS_STREAM])]
    assert ReadModelSwitched not in switches
    new = FeedingAside(log, "new", [later])
    new.step()
    switched = await operating.switch(later)
    assert switched.after_generation == 2
    (rebuilt,) = await operating.rebuild([RECHARGE_CODES], by_itself, lambda _: None)
    assert rebuilt.switched, "the old version runs as well"
    old.close()
    new.close()
    # the same folds stand still as well as they did, and who insists is obeyed
    await operating.rebuild([RECHARGE_CODES], by_itself, lambda _: None)
    await operating.rebuild([later], Orders(switching="manual"), lambda _: None)
    with pytest.raises(NotPossible, match="nobody_feeds"):
        await operating.switch(later)
    assert (await operating.switch(later, unfed=True)).read_model == "recharge_codes"
    with psycopg.connect(log.conninfo) as connection:  # the old version's last breath
        connection.execute(FED)
    with pytest.raises(NotPossible, match="kept_is_unfed"):
        await operating.roll_back(later)
    again = FeedingAside(log, "old", [RECHARGE_CODES])
    again.step()
    assert (await operating.roll_back(later)).before_generation == 5
    again.close()
    assert (await operating.roll_back(later, unfed=True)).after_generation == 5


async def lead(log: EventLog, holder: str) -> None:
    for name in TEAMS:
        lease = TeamLease(log.conninfo, name, holder, 600)
        assert await lease.acquire()
        await lease.close()


async def test_what_only_this_version_can_feed_goes_on_while_another_leads(
    log: EventLog,
    writer: Writer,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("api.feeding_aside.LOOK_EVERY_S", 0.0)
    later = changed(tmp_path, "v2")
    operating = Operating(log, writer, uuid.uuid4, Actor("system", "operator"))
    await operating.rebuild([later], Orders(), lambda _: None)
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    head = log.feed().head()

    def positions() -> dict[str, int]:
        with psycopg.connect(database_url) as connection:
            return dict(connection.execute(POSITIONS).fetchall())

    new = FeedingAside(log, "new", [later])
    old = FeedingAside(log, "old", [RECHARGE_CODES])
    with psycopg.connect(database_url) as connection:
        connection.execute(A_WHILE_AGO)
    assert not new.step(), "nobody leads: whoever will feeds it"
    lease = TeamLease(database_url, "projections", "old", 600)
    fence = await lease.acquire()
    assert fence is not None
    assert not old.step(), "who leads feeds it as it is"
    assert not new.step(), "who has just begun to lead may be about to"
    assert new.step()
    assert positions() == {"kept": 0, "live": head}
    # once the new one leads, the old one keeps the way back open
    await lease.release(fence)
    lease = TeamLease(database_url, "projections", "new", 600)
    assert await lease.acquire()
    await lease.close()
    assert not new.step()
    assert not old.step()
    assert old.step()
    assert positions() == {"kept": head, "live": head}
    for each in (new, old):
        each.close()


async def test_an_event_of_just_now_is_left_to_who_leads(
    log: EventLog, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.feeding_aside.LOOK_EVERY_S", 0.0)
    await lead(log, "leader")
    standby = FeedingAside(log, "standby", [RECHARGE_CODES])
    runner = Runner(log.feed(), log.conninfo, [RECHARGE_CODES], projected=None)
    for _ in range(3):
        with psycopg.connect(log.conninfo) as connection:  # nothing has come for long
            connection.execute(A_WHILE_AGO)
        await writer.run(credit, Credit(account=uuid.uuid4()), context())
        assert not standby.step()
        while runner.step():
            pass
    runner.close()
    standby.close()


async def test_what_waits_to_be_switched_to_is_fed_from_the_switch_on(
    log: EventLog, writer: Writer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.feeding_aside.LOOK_EVERY_S", 0.0)
    later = changed(tmp_path, "v2")
    operating = Operating(log, writer, uuid.uuid4, Actor("system", "operator"))
    await operating.rebuild([later], Orders(switching="manual"), lambda _: None)
    await lead(log, "old")
    new = FeedingAside(log, "new", [later])
    assert new.step()
    await operating.switch(later)
    await writer.run(credit, Credit(account=uuid.uuid4()), context())
    new.step()
    new.close()
    with psycopg.connect(log.conninfo) as connection:
        positions: dict[str, int] = dict(connection.execute(POSITIONS).fetchall())
    assert positions["live"] == log.feed().head()
