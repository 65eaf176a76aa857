"""The log's pool of connections: a server that was away is reached as soon as it is back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool.base import AttemptWithBackoff

from commands.event_log import engine
from commands.event_log.engine import LogDatastore
from domain.ports import OutOfReach
from tests.stack import data_directory

WITHIN_S = 30.0
HOURS: float = 10_000.0


def is_reached(datastore: LogDatastore) -> bool:
    try:
        with datastore.reach() as connection:
            return connection.execute("SELECT 1").fetchone() is not None
    except OutOfReach:
        return False


def test_a_server_that_is_back_is_reached_at_once_however_long_it_was_away(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the pause between two attempts doubles: as after so long an outage
    monkeypatch.setattr(AttemptWithBackoff, "INITIAL_DELAY", HOURS)
    monkeypatch.setattr(engine, "RECONNECT_FOR_S", 0.2)
    monkeypatch.setattr(engine, "CONNECT_TIMEOUT_S", 0.1)
    sockets = Path(str(conninfo_to_dict(database_url)["host"]))
    with data_directory() as directory:
        datastore = LogDatastore(make_conninfo(database_url, host=str(directory / "away")))
        assert not is_reached(datastore)
        (directory / "away").symlink_to(sockets)
        deadline = time.monotonic() + WITHIN_S
        while not is_reached(datastore):
            assert time.monotonic() < deadline, "it waits for its next attempt"
        datastore.close()


def test_a_server_that_does_not_answer_is_not_waited_for_longer_than_a_moment(
    database_url: str,
) -> None:
    told = make_conninfo(database_url, connect_timeout=7)
    for conninfo, timeout in ((database_url, engine.ANSWERS_WITHIN_S), (told, "7")):
        kwargs = LogDatastore(conninfo).pool.kwargs
        assert isinstance(kwargs, dict)
        assert kwargs["connect_timeout"] == timeout
