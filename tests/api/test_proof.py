"""The proof that ends every suite fails where something is wrong, and says what."""

import psycopg
import pytest

from commands.notary_resuming import HistoryAltered
from tests.api.live import LiveApi, ok
from tests.audit.conftest import AS_OWNER
from tests.proof import prove
from tests.stack import LiveStack

FREE = {"title": "x", "task_type": "test"}
LIES = {
    "a user is shown a fen more": (
        """
        UPDATE read.users SET balance_fen = balance_fen + 1, granted_fen = granted_fen + 1
        WHERE balance_fen > 0
        """,
        "users",
    ),
    "a task is shown under another title": ("UPDATE read.tasks SET title = 'y'", "tasks"),
    "the log says of an event that a fen more came in": (
        """
        UPDATE owl_log.events SET state = convert_to(replace(
            convert_from(state, 'UTF8'), '"amount_fen":500', '"amount_fen":501'), 'UTF8')
        WHERE topic LIKE 'wallet.account_recharged/%'
        """,
        "I1",
    ),
    "an event is gone": (
        "DELETE FROM owl_log.events WHERE notification_id = 2",
        "is missing|has a gap",
    ),
}


@pytest.fixture
def lived_in(session_stack: LiveStack) -> str:
    """A database in which something was paid in and a task waits; it is proved to be right."""
    database_url = session_stack.create_database()
    with (
        LiveApi(database_url) as api,
        api.someone("admin") as admin,
        api.someone() as person,
    ):
        code = ok(admin.client.post("/api/recharge/codes", json={"amount": 5}))["codes"][0]
        ok(person.client.post("/api/recharge/redeem", json={"code": code["code"]}))
        ok(person.client.post("/api/tasks", json=FREE))
    return database_url


@pytest.mark.parametrize("lie", LIES)
@pytest.mark.parametrize("signed", [True, False], ids=["signed", "not signed yet"])
def test_a_lie_is_found(
    session_stack: LiveStack, lived_in: str, lie: str, *, signed: bool
) -> None:
    statement, words = LIES[lie]
    if signed:
        assert prove(lived_in) >= 10
    with psycopg.connect(lived_in) as connection:
        connection.execute(AS_OWNER)
        assert connection.execute(statement.encode()).rowcount == 1
    with pytest.raises((AssertionError, HistoryAltered), match=words):
        prove(lived_in)
    session_stack.drop_database(lived_in)
