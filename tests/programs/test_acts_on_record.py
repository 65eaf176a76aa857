"""What an operator does by command is in the log before it is done, whatever comes of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from click.testing import CliRunner, Result

from api.cli import main
from api.clock import new_id, now
from api.keys import load_keys
from api.rebuild_orders import Orders
from api.rebuilding import Operating
from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.writer import Writer
from domain.envelope import Actor, Recorded
from domain.facts import Fact
from domain.ids import READ_MODELS_STREAM
from domain.system.read_models import (
    Act,
    KeptGenerationDropped,
    ReadModelActBegun,
    ReadModelActRefused,
    ReadModelResumed,
    ReadModelRolledBack,
    RebuildStarted,
)
from projections.filling import Filling, fill_here
from projections.migrate import prepare
from projections.runner import Runner
from projections.users import USERS
from projections.wishes import Stopped
from tests.projections.tables import finish

STOPPED = """
    UPDATE owl_read.checkpoints SET stopped_at = 3, error = 'it cannot be folded'
    WHERE read_model = 'users' AND state = 'live'
"""


class Owl(Protocol):
    def __call__(self, *words: str) -> Result: ...


class Killed(BaseException):
    """As ``kill -9``: nothing is done after it."""


@pytest.fixture
def owl(database_url: str, tmp_path: Path) -> Owl:
    load_keys(tmp_path, make=True)
    environment = {"OWL_DATABASE_URL": database_url, "OWL_SECRETS_DIR": str(tmp_path)}
    environment |= {"OWL_PROFILE": "test"}

    def run(*words: str) -> Result:
        return CliRunner().invoke(main, ["projections", *words], env=environment)

    return run


def opened(database_url: str, tmp_path: Path) -> EventLog:
    keys = load_keys(tmp_path, make=False)
    secrets = Secrets(pepper=keys.pepper, sealing_key=keys.sealing)
    return EventLog.open(database_url, secrets=secrets, require_durable=False)


def noted(database_url: str, tmp_path: Path) -> Sequence[Recorded[Any]]:
    with opened(database_url, tmp_path) as log:
        return log.read_streams([READ_MODELS_STREAM])


def feed_rows(database_url: str, tmp_path: Path) -> None:
    """What a worker does all the time, for both generations."""
    with opened(database_url, tmp_path) as log:
        runner = Runner(log.feed(), log.conninfo, [USERS], projected=None)
        finish(runner)
        runner.close()


def test_what_is_done_follows_from_its_beginning(
    owl: Owl, database_url: str, tmp_path: Path
) -> None:
    assert owl("rebuild", "users").exit_code == 0
    feed_rows(database_url, tmp_path)
    for act in ("rollback", "drop-old"):
        assert owl(act, "users").exit_code == 0, act
    with psycopg.connect(database_url) as connection:
        connection.execute(STOPPED)
    assert owl("resume", "users").exit_code == 0
    *_, begun, rolled_back, beginning, dropped, trying, tried = noted(database_url, tmp_path)
    made: tuple[tuple[Recorded[Any], Recorded[Any], Act, type[Fact]], ...] = (
        (begun, rolled_back, "rollback", ReadModelRolledBack),
        (beginning, dropped, "drop-old", KeptGenerationDropped),
        (trying, tried, "resume", ReadModelResumed),
    )
    for first, then, act, fact in made:
        assert first.fact == ReadModelActBegun(read_model="users", act=act)
        assert isinstance(then.fact, fact)
        assert then.causation_id == first.position
        assert then.actor == first.actor
        assert first.actor.startswith("system:owl-projections/")


@pytest.mark.parametrize("act", ["pause", "resume", "cancel", "switch", "rollback", "drop-old"])
def test_what_cannot_be_done_was_begun_and_refused(
    owl: Owl, database_url: str, tmp_path: Path, act: Any
) -> None:
    said = owl(act, "users")
    assert said.exit_code == 1
    begun, refused = noted(database_url, tmp_path)
    assert begun.fact == ReadModelActBegun(read_model="users", act=act)
    assert isinstance(refused.fact, ReadModelActRefused)
    assert refused.fact.act == act
    assert refused.fact.reason in said.output
    assert refused.causation_id == begun.position


def test_who_is_killed_behind_an_act_leaves_in_the_log_that_it_was_begun(
    owl: Owl, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert owl("rebuild", "users").exit_code == 0
    feed_rows(database_url, tmp_path)
    done = Operating.roll_back

    async def killed(*about: Any, **more: Any) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(Operating, "_note", dies)
            await done(*about, **more)

    async def dies(*_about: Any) -> None:
        raise Killed

    monkeypatch.setattr(Operating, "roll_back", killed)
    with pytest.raises(Killed):
        owl("rollback", "users")
    with psycopg.connect(database_url) as connection:
        shown = connection.execute(
            "SELECT generation FROM owl_read.checkpoints"
            " WHERE read_model = 'users' AND state = 'live'"
        ).fetchone()
    assert shown == (1,), "it was done"
    assert [type(each.fact) for each in noted(database_url, tmp_path)][-1] is ReadModelActBegun


def test_a_rebuild_is_begun_by_its_own_event(
    owl: Owl, database_url: str, tmp_path: Path
) -> None:
    assert owl("rebuild", "users").exit_code == 0
    assert isinstance(noted(database_url, tmp_path)[0].fact, RebuildStarted)


def test_a_rebuild_is_planned_paused_gone_on_with_and_thrown_away_by_command(
    owl: Owl, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    prepare(database_url)
    assert owl("list").exit_code == 0
    planned = owl("plan", "users")
    assert planned.exit_code == 0
    assert "the same" in planned.stdout
    said: list[str] = []

    def left_by(act: str) -> Filling:
        def filling(*about: Any, **more: Any) -> dict[str, str]:
            said.append(owl(act, "users").stdout)
            return fill_here(*about, **more)

        return filling

    async def rebuild(log: EventLog, act: str) -> None:
        async with Writer(log, now) as writer:
            operating = Operating(log, writer, new_id, Actor("system", "tests"))
            await operating.rebuild([USERS], Orders(filling=left_by(act)), lambda _: None)

    with opened(database_url, tmp_path) as log:
        for act in ("pause", "cancel"):
            with pytest.raises(Stopped, match=act):
                asyncio.run(rebuild(log, act))
            if act == "pause":
                assert "paused: owl projections resume users" in owl("status").stdout
                resumed = owl("resume", "users")
                assert resumed.exit_code == 0, resumed.output
    assert said == [
        "users pauses within seconds: owl projections resume users goes on\n",
        "what was built of users is thrown away\n",
    ]
    assert owl("status").exit_code == 0
