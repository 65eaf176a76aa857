"""Minutes of any fault at any moment, drawn anew each time: nothing is lost or doubled."""

import random
import secrets
import time
from collections.abc import Callable
from functools import partial

import pytest

from tests.stack import LiveStack
from tests.whole.farm import Farm
from tests.whole.processes import Process
from tests.whole.submitters import check_told, submitting

SOAK_S = 600.0
PAUSE_MOST_S = 5.0


@pytest.fixture(scope="module")
def farm(farm_to_hurt: Farm) -> Farm:
    return farm_to_hurt


@pytest.mark.soak
def test_ten_minutes_of_any_faults_lose_no_told_write_and_double_none(
    farm: Farm, durable_stack: LiveStack
) -> None:
    seed = secrets.randbits(32)
    print(f"drawn from {seed}")  # noqa: T201 - whoever reads of a failure can draw it again
    draw = random.Random(seed)
    faults: list[Callable[[], None]] = [
        *(partial(_killed, process) for process in farm.processes),
        partial(_restarted, durable_stack.kill_postgres, durable_stack.start_postgres),
        partial(_restarted, durable_stack.kill_nats, durable_stack.start_nats),
        durable_stack.wipe_nats,
    ]
    with submitting(farm, 6) as submitters:
        end = time.monotonic() + SOAK_S
        while time.monotonic() < end:
            draw.choice(faults)()
            time.sleep(draw.uniform(0.0, PAUSE_MOST_S))  # at any moment: a wait is the test
    check_told(farm, submitters)
    farm.online()


def _killed(process: Process) -> None:
    _restarted(process.kill, process.start)


def _restarted(kill: Callable[[], None], start: Callable[[], None]) -> None:
    kill()
    start()
