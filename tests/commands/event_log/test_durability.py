"""What would lose events or acknowledged writes is refused before the first command."""

from __future__ import annotations

import pytest

from commands.event_log.failures import NotDurable
from commands.event_log.log import EventLog
from domain.ports import OutOfReach
from tests.commands.accounting import SECRETS
from tests.stack import LiveStack


def test_a_server_that_acknowledges_what_it_may_lose_is_refused(database_url: str) -> None:
    with pytest.raises(NotDurable, match="fsync and full_page_writes and synchronous_commit"):
        EventLog.open(database_url, secrets=SECRETS, require_durable=True)


def test_a_durable_server_is_taken(durable_stack: LiveStack) -> None:
    url = durable_stack.create_database()
    with EventLog.open(url, secrets=SECRETS, require_durable=True) as log:
        assert log.feed().head() == 0


def test_a_role_without_synchronous_commit_is_refused(durable_stack: LiveStack) -> None:
    url = durable_stack.create_database() + "&options=-c%20synchronous_commit%3Doff"
    with pytest.raises(NotDurable, match="synchronous_commit"):
        EventLog.open(url, secrets=SECRETS, require_durable=True)


def test_the_librarys_lockless_appends_are_refused(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("POSTGRES_ENABLE_DB_FUNCTIONS", "OWL_POSTGRES_ENABLE_DB_FUNCTIONS"):
        with monkeypatch.context() as patch:
            patch.setenv(name, "y")
            with pytest.raises(NotDurable, match="POSTGRES_ENABLE_DB_FUNCTIONS"):
                EventLog.open(database_url, secrets=SECRETS, require_durable=False)


def test_nothing_else_in_the_environment_says_where_the_log_is(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POSTGRES_DBNAME", "elsewhere")
    monkeypatch.setenv("PERSISTENCE_MODULE", "eventsourcing.popo")
    with EventLog.open(database_url, secrets=SECRETS, require_durable=False) as log:
        assert log.feed().head() == 0


def test_a_log_that_is_not_there_is_out_of_reach() -> None:
    url = "postgresql://nobody@/nothing?host=/nowhere"
    with pytest.raises(OutOfReach):
        EventLog.open(url, secrets=SECRETS, require_durable=True)
