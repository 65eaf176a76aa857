"""Fixtures of every test: one cluster and one broker per process, a fresh database per test.

Real servers, always. Durability is off where no test kills them; ``durable_stack`` has it on.
Properties try the same examples every time, so that a change is judged by what it changed;
``--hypothesis-profile=search`` draws new ones and keeps what failed.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadFileScheduling

from tests.stack import LiveStack, live_stack, postgres15_binaries

# a machine with other work is slow, not wrong: pytest's own timeout is what ends a test
settings.register_profile("search", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("same", settings.get_profile("search"), derandomize=True)
settings.load_profile("same")


HERE = Path(__file__).parent
LONGEST = (
    *("whole", "api/test_fuzzing.py", "api/test_races.py", "gpu_agent/test_agent.py"),
    *("programs/test_up", "api/test_outage.py", "commands/loops", "api/test_audit_whole.py"),
    *("projections", "audit/test_bundle.py", "api/test_authorisation.py", "embedded"),
)
"""Folders and files that take a process longest: they come first, so that none is left last."""
LEAVES_THE_FARM_WHOLE = (
    "test_canary.py",
    "test_forgotten.py",
    "test_main_job.py",
    "test_postman.py",
    "test_races.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each test by an id of its own, the longest first; what is alike stays in its order."""
    for item in items:
        # Schemathesis' operations have one id in pytest 9.2; of one id xdist runs one test
        if item.parent is not None and not item.nodeid.endswith(f"::{item.name}"):
            item._id = item.parent.id.child(item.name)
    items.sort(key=rank)
    assert len({item.nodeid for item in items}) == len(items)


def rank(item: pytest.Item) -> int:
    """Where a test stands among the longest."""
    # a file that is named to pytest may lie anywhere
    path = Path(os.path.relpath(item.path, HERE)).as_posix()
    ranks = (number for number, start in enumerate(LONGEST) if path.startswith(start))
    return next(ranks, len(LONGEST))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A process takes whole files, in our order: what a file shares is set up once."""
    config.option.loadscopereorder = False
    spread = LoadFileScheduling(config, log)
    spread._split_scope = taken_together
    return spread


def taken_together(test_id: str) -> str:
    """The file of a test, or the farm that some files share."""
    path = Path(test_id.split("::", 1)[0])
    if path.parts[-2:-1] == ("whole",) and path.name in LEAVES_THE_FARM_WHOLE:
        return "the whole farm"
    return path.as_posix()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """What ``@pytest.mark.anyio`` runs on: the platform's event loop."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _loggers_follow_the_configuration() -> Iterator[None]:
    """A logger keeps none, as in a process that has one: tests of programs set up several."""
    configure = structlog.configure

    def uncached(*about: Any, **more: Any) -> None:
        configure(*about, **more | {"cache_logger_on_first_use": False})

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(structlog, "configure", uncached)
        yield


@pytest.fixture(scope="session")
def session_stack() -> Iterator[LiveStack]:
    """The worker's own servers, shared by its tests: never stop or kill these."""
    with live_stack() as stack:
        yield stack


@pytest.fixture
def database_url(session_stack: LiveStack) -> Iterator[str]:
    """The conninfo of a fresh database that holds an empty event log."""
    url = session_stack.create_database()
    yield url
    session_stack.drop_database(url)


@pytest.fixture
def nats_url(session_stack: LiveStack) -> str:
    """A broker without any stream; the URL carries the platform's credentials."""
    session_stack.delete_streams()
    return session_stack.nats_url


@pytest.fixture(scope="module")
def durable_stack() -> Iterator[LiveStack]:
    """The module's own servers with fsync on: kill them, start them, wipe them."""
    with live_stack(profile="durable") as stack:
        yield stack


@pytest.fixture(scope="session")
def postgres15_stack() -> Iterator[LiveStack]:
    """The oldest PostgreSQL that is supported, where the machine has it."""
    binaries = postgres15_binaries()
    if binaries is None:
        pytest.skip("this machine has no PostgreSQL 15 (/usr/lib/postgresql/15/bin or PATH)")
    with live_stack(binaries=binaries, with_nats=False) as stack:
        yield stack


@pytest.fixture
def postgres15(postgres15_stack: LiveStack) -> Iterator[str]:
    """As ``database_url``, on PostgreSQL 15."""
    url = postgres15_stack.create_database()
    yield url
    postgres15_stack.drop_database(url)
