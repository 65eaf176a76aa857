"""What a request is made of goes with its answer, not when the collector comes by."""

import gc

from api.exchange import Exchange
from tests.api.live import LiveApi, ok

TASK = {"title": "t", "task_type": "test", "config": {}}


def test_nothing_of_a_request_that_was_answered_waits_for_the_collector(api: LiveApi) -> None:
    def living() -> int:
        return sum(isinstance(thing, Exchange) for thing in gc.get_objects())

    with api.someone("user") as user:
        gc.collect()
        gc.disable()
        try:
            before = living()
            for _ in range(3):
                ok(user.client.get("/api/users/me"))
                ok(user.client.post("/api/tasks", json=TASK))
            # the last one has gone a moment after its last byte
            api.until(lambda: living() <= before)
        finally:
            gc.enable()
