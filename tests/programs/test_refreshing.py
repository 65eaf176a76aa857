"""A deployment with other folds: what is outdated is built anew and noted in the log."""

import uuid

import psycopg
import pytest

from api.refreshing import Refreshing
from commands.event_log.log import EventLog
from domain.system.events import ReadModelSwitched
from projections.migrate import prepare
from tests.commands.accounting import SECRETS, Credit, context, credit, writing

OTHER_FOLDS = "UPDATE owl_read.checkpoints SET fingerprint = 'of another version'"


@pytest.mark.anyio
async def test_an_outdated_read_model_is_rebuilt_switched_and_noted(database_url: str) -> None:
    prepare(database_url)
    with EventLog.open(database_url, secrets=SECRETS, require_durable=False) as log:
        async with writing(database_url) as writer:
            await writer.run(credit, Credit(account=uuid.uuid4()), context())
            with psycopg.connect(database_url) as connection:
                connection.execute(OTHER_FOLDS + " WHERE read_model = 'recharge_codes'")
            refreshing = Refreshing(log, writer, uuid.uuid4)
            assert await refreshing.step() == ("recharge_codes",)
            assert await refreshing.step() == ()
        switched = [event.fact for event in log.feed().read(0, 10)][-1]
    assert isinstance(switched, ReadModelSwitched)
    assert (switched.read_model, switched.after_generation) == ("recharge_codes", 2)
