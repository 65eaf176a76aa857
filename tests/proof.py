"""What ``owl audit`` proves of a log, asked of every log that a suite over HTTP has written.

The log is signed, verified and folded again, money is reconciled with what users are shown, and
every read model is compared with the simplest fold of the log there is. Fails loudly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg

from commands.event_log.log import EventLog
from commands.signatures import SigningKey
from domain.audit.refold import Refold
from domain.envelope import Recorded
from domain.ports import EventFeed
from projections.audit.reconcile import reconcile
from projections.audit.stored import StoredLog
from projections.audit.verify import Verification
from projections.catalogue import BUSINESS, TELEMETRY
from projections.migrate import prepare
from projections.runner import Runner
from tests.api.opened import SECRETS
from tests.audit.conftest import sign_all, verifier_key
from tests.projections.tables import STOPPED, finish, naive, stored
from tests.stack import LiveStack


@contextmanager
def proved_database(stack: LiveStack, *keys: SigningKey) -> Iterator[str]:
    """A fresh database; what was written into it is proved before it goes.

    With ``keys``, any of them may sign it by then; the first one is held.
    """
    database_url = stack.create_database()
    try:
        yield database_url
        prove(database_url, *keys)
    finally:
        stack.drop_database(database_url)


def prove(database_url: str, *keys: SigningKey) -> int:
    """Everything that can be proved of the log; how many events that was about."""
    with StoredLog.open(database_url) as log:
        head = log.head()
    if not head:
        return 0
    prove_the_log(database_url, head, *keys)
    prove_the_read_models(database_url)
    prove_the_money(database_url, head)
    return head


def prove_the_log(database_url: str, head: int, *keys: SigningKey) -> None:
    """Whole, unaltered since it was signed, and every rule held at every event."""
    assert asyncio.run(sign_all(database_url, *keys, events_max=4096)) == head
    key = verifier_key(database_url)
    with StoredLog.open(database_url) as log:
        found = Verification(log, key=key, refold=Refold()).run()
    assert not found.findings, found.findings
    assert found.signed == found.head == head


def prove_the_read_models(database_url: str) -> None:
    """Nothing has stopped one, and its rows are those of the simplest fold of the log."""
    prepare(database_url)
    with EventLog.open(database_url, secrets=SECRETS, require_durable=False) as log:
        for models, feed in ((BUSINESS, log.feed()), (TELEMETRY, log.telemetry.feed())):
            runner = Runner(feed, database_url, models, projected=None)
            finish(runner)  # the server is gone: what it had not projected yet
            runner.close()
            events = list(everything(feed))
            for model in models:
                shown, folded = stored(database_url, model), naive(model, events)
                assert shown == folded, f"{model.name}: {shown} is shown, {folded} is folded"
    with psycopg.connect(database_url) as connection:
        stopped = connection.execute(STOPPED).fetchall()
    assert not stopped, stopped


def everything(feed: EventFeed) -> Iterator[Recorded[Any]]:
    """The whole log."""
    position = 0
    while events := feed.read(position, 2_000):
        yield from events
        position = events[-1].position


def prove_the_money(database_url: str, head: int) -> None:
    """Every fen that came in is a user's or the platform's, in the log and as it is shown."""
    with StoredLog.open(database_url) as log:
        books = reconcile(log)
    assert not books.findings, books.findings
    assert books.compared == {"users": head, "recharge_codes": head}
    came_in = books.recharged_fen + books.granted_fen
    assert came_in == books.wallets_fen + books.revenue_fen
