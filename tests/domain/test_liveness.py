"""What a heartbeat changes, and what its absence does."""

from typing import Any

import pytest
from msgspec.structs import replace

from domain.facts import Fact
from domain.fleet.events import GpuFailed, GpuRecovered, ServerWentOffline
from domain.fleet.liveness import seen, silent
from domain.fleet.server import SERVER
from tests.domain.cast import (
    GPU,
    LATER_BOOT,
    NOON,
    OTHER_GPU,
    SERVER_ID,
    came_online,
    gpu_sample,
    heartbeat,
    server_enrolled,
    server_registered,
)
from tests.scenario import given

ENROLLED = (server_registered(), server_enrolled())
ONLINE = (*ENROLLED, came_online())
OFFLINE = ServerWentOffline(server_id=SERVER_ID, last_seen_at=NOON)
AT: dict[str, Any] = {"now": NOON}


def gpu_failed(detail: str = "", uuid: str = GPU) -> GpuFailed:
    return GpuFailed(server_id=SERVER_ID, gpu_uuid=uuid, detail=detail)


RECOVERED = GpuRecovered(server_id=SERVER_ID, gpu_uuid=GPU)
SICK = gpu_sample(healthy=False, fault="Xid 79")
TWO_GPUS = (gpu_sample(), gpu_sample(index=1, uuid=OTHER_GPU))


@pytest.mark.parametrize("history", [ENROLLED, (*ONLINE, OFFLINE)])
def test_a_heartbeat_after_silence_brings_a_server_online(history: tuple[Fact, ...]) -> None:
    given(SERVER, *history).when(seen, heartbeat(), **AT).then(came_online())


def test_a_heartbeat_of_a_server_that_is_online_changes_nothing() -> None:
    given(SERVER, *ONLINE).when(seen, heartbeat(sequence=2), **AT).then_nothing()


def test_a_new_life_of_the_agent_is_a_new_arrival() -> None:
    given(SERVER, *ONLINE).when(seen, heartbeat(boot_id=LATER_BOOT), **AT).then(
        came_online(boot_id=LATER_BOOT)
    )


def test_an_agent_that_says_goodbye_is_offline_at_once_and_once() -> None:
    goodbye = heartbeat(draining=True, leaving=True)
    offline = replace(OFFLINE, reason="stopped")
    given(SERVER, *ONLINE).when(seen, goodbye, **AT).then(offline)
    given(SERVER, *ONLINE, offline).when(seen, goodbye, **AT).then_nothing()


def test_a_goodbye_of_another_life_changes_nothing() -> None:
    goodbye = heartbeat(boot_id=LATER_BOOT, leaving=True)
    given(SERVER, *ONLINE).when(seen, goodbye, **AT).then_nothing()
    given(SERVER, *ENROLLED).when(seen, goodbye, **AT).then_nothing()


def test_a_late_heartbeat_of_a_life_before_changes_nothing() -> None:
    history = (*ONLINE, came_online(boot_id=LATER_BOOT))
    given(SERVER, *history).when(seen, heartbeat(), **AT).then_nothing()
    given(SERVER, *history, OFFLINE).when(seen, heartbeat(), **AT).then_nothing()


def test_a_gpu_that_fails_is_on_record_once() -> None:
    given(SERVER, *ONLINE).when(seen, heartbeat(gpus=(SICK,)), **AT).then(gpu_failed("Xid 79"))
    given(SERVER, *ONLINE, gpu_failed("Xid 79")).when(
        seen, heartbeat(gpus=(SICK,)), **AT
    ).then_nothing()


def test_a_gpu_that_is_well_again_is_on_record_once() -> None:
    given(SERVER, *ONLINE, gpu_failed()).when(seen, heartbeat(), **AT).then(RECOVERED)
    given(SERVER, *ONLINE, gpu_failed(), RECOVERED).when(seen, heartbeat(), **AT).then_nothing()


def test_a_gpu_that_is_not_reported_any_more_has_failed() -> None:
    given(SERVER, *ONLINE).when(seen, heartbeat(gpus=()), **AT).then(gpu_failed("not reported"))


def test_a_server_comes_online_with_its_sick_gpus() -> None:
    given(SERVER, *ENROLLED).when(seen, heartbeat(gpus=(SICK,)), **AT).then(
        came_online(), gpu_failed("Xid 79")
    )


def test_coming_online_forgets_what_had_failed_before() -> None:
    history = (*ONLINE, gpu_failed(), OFFLINE, came_online())
    server = SERVER.fold(history)
    assert server is not None
    assert server.failed_gpus == frozenset()


def test_a_gpu_that_was_added_makes_the_inventory_anew() -> None:
    decided = given(SERVER, *ONLINE).when(seen, heartbeat(gpus=TWO_GPUS), **AT)
    server = SERVER.fold([*ONLINE, *decided.facts])
    assert server is not None
    assert [gpu.uuid for gpu in server.gpus] == [GPU, OTHER_GPU]
    assert not server.former_boots
    given(SERVER, *ONLINE, *decided.facts).when(
        seen, heartbeat(gpus=TWO_GPUS), **AT
    ).then_nothing()


def test_silence_is_on_record_once() -> None:
    quiet: dict[str, Any] = {"last_seen_at": NOON, "reason": "silent"}
    given(SERVER, *ONLINE).when(silent, **quiet).then(OFFLINE)
    given(SERVER, *ONLINE, OFFLINE).when(silent, **quiet).then_nothing()
    given(SERVER, *ENROLLED).when(silent, **quiet).then_nothing()
