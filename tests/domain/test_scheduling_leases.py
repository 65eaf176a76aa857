"""Who has gone: silence, lost attempts, overdue beginnings and cancellations, own deafness."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from domain.scheduling.leases import (
    AttemptLost,
    CancelOverdue,
    Heard,
    Held,
    Overran,
    Verdict,
    WentSilent,
    judge,
)
from domain.system.configuration import Configuration
from tests.domain.cast import BOOT, LATER_BOOT, NOON, SERVER_ID, TASK_ID, after

FARM = [UUID(int=n) for n in range(1, 6)]


def heard(seconds: float = 0, **changes: Any) -> Heard:
    values: dict[str, Any] = {"at": after(seconds), "boot_id": BOOT}
    return Heard(**(values | changes))


def held(**changes: Any) -> Held:
    values: dict[str, Any] = {
        "task_id": TASK_ID,
        "attempt": 1,
        "server_id": SERVER_ID,
        "boot_id": BOOT,
        "assigned_at": NOON,
        "began_at": NOON,
        "timeout_s": 60,
    }
    return Held(**(values | changes))


def judged(
    at: float,
    *attempts: Held,
    online: list[UUID] | None = None,
    ears: dict[UUID, Heard] | None = None,
    listening_since: float = -1_000,
) -> list[Verdict]:
    return judge(
        [SERVER_ID] if online is None else online,
        attempts,
        {SERVER_ID: heard()} if ears is None else ears,
        configuration=Configuration(),
        listening_since=after(listening_since),
        now=after(at),
    )


def test_a_server_is_offline_after_thirty_silent_seconds() -> None:
    assert judged(30) == []
    assert judged(30.1) == [WentSilent(SERVER_ID, NOON, stopped=False)]


def test_one_that_said_it_would_stop_has_stopped() -> None:
    ears = {SERVER_ID: heard(draining=True)}
    assert judged(31, ears=ears) == [WentSilent(SERVER_ID, NOON, stopped=True)]


def test_nobody_is_silent_before_the_platform_has_listened_as_long() -> None:
    assert judged(1_000, held(), listening_since=980, ears={}) == []
    (verdict,) = judged(1_011, online=[SERVER_ID], listening_since=980, ears={})
    assert verdict == WentSilent(SERVER_ID, after(980), stopped=False)


def test_an_attempt_outlives_a_silence_shorter_than_its_lease() -> None:
    assert judged(120, held(), online=[]) == []
    assert judged(120.1, held(), online=[]) == [AttemptLost(held(), "agent_lost", counted=True)]


def test_a_heartbeat_that_lists_an_attempt_renews_its_lease() -> None:
    renewed = held(listed_at=after(100))
    assert judged(219, renewed, online=[]) == []
    assert len(judged(221, renewed, online=[])) == 1


def test_an_attempt_that_never_began_is_lost_after_its_deadline_and_not_counted() -> None:
    waiting = held(began_at=None)
    assert judged(15, waiting) == []
    assert judged(15.1, waiting) == [AttemptLost(waiting, "agent_lost", counted=False)]


def test_one_that_waits_at_its_agent_keeps_waiting_while_it_is_listed() -> None:
    assert judged(20, held(began_at=None, listed_at=after(10))) == []


def test_one_that_waits_at_its_agent_for_longer_than_it_may_run_is_lost() -> None:
    stuck = held(began_at=None, listed_at=after(240))
    assert judged(241, stuck, online=[]) == []
    stuck = held(began_at=None, listed_at=after(240.1))
    assert judged(241, stuck, online=[]) == [AttemptLost(stuck, "agent_lost", counted=False)]


def test_an_attempt_that_is_still_listed_past_its_timeout_and_grace_has_overrun() -> None:
    in_time = held(listed_at=after(240))
    assert judged(300, in_time, online=[]) == []
    late = held(listed_at=after(240.1))
    assert judged(241, late, online=[]) == [Overran(late)]


def test_an_attempt_that_nobody_lists_any_more_has_not_overrun_but_is_lost() -> None:
    ended_here = held(listed_at=after(60))
    assert judged(179, ended_here, online=[]) == []
    lost = AttemptLost(ended_here, "agent_lost", counted=True)
    assert judged(100_000, ended_here, online=[]) == [lost]


def test_a_cancellation_comes_before_a_timeout() -> None:
    stopping = held(listed_at=after(500), cancel_requested_at=after(490))
    assert judged(501, stopping, online=[]) == []


def test_a_restarted_agent_that_does_not_list_an_attempt_has_lost_it() -> None:
    ears = {SERVER_ID: heard(11, boot_id=LATER_BOOT)}
    assert judged(9, held(), ears=ears) == []
    assert judged(11, held(), ears=ears) == [AttemptLost(held(), "agent_lost", counted=True)]


def test_what_another_life_said_before_an_attempt_began_says_nothing_of_it() -> None:
    ears = {SERVER_ID: heard(5, boot_id=LATER_BOOT)}
    assert judged(20, held(began_at=after(8)), ears=ears) == []


def test_the_same_life_of_an_agent_may_have_its_report_still_on_the_way() -> None:
    assert judged(60, held(), ears={SERVER_ID: heard(59)}) == []


def test_a_failed_gpu_takes_its_attempt_along() -> None:
    broken = held(gpu_failed_at=after(10), listed_at=after(30))
    ears = {SERVER_ID: heard(30)}
    assert judged(25, broken, ears=ears) == []
    assert judged(26, broken, ears=ears) == [AttemptLost(broken, "gpu_error", counted=True)]


def test_an_unconfirmed_cancellation_is_overdue_after_its_deadline() -> None:
    stopping = held(cancel_requested_at=after(10))
    assert judged(40, stopping, online=[]) == []
    assert judged(40.1, stopping, online=[]) == [CancelOverdue(stopping)]


def test_when_most_of_the_farm_vanishes_at_once_nothing_is_lost() -> None:
    ears = {server: heard() for server in FARM}
    ears[FARM[0]] = heard(199)
    attempts = [held(server_id=server) for server in FARM]
    assert judged(200, *attempts, online=FARM, ears=ears) == []


def test_when_nobody_at_all_is_heard_nothing_is_lost_however_long() -> None:
    ears = {server: heard() for server in FARM}
    assert judged(5_000, held(server_id=FARM[0]), online=FARM, ears=ears) == []


def test_a_vanished_majority_is_believed_gone_after_long_while_others_are_heard() -> None:
    ears = {server: heard() for server in FARM}
    ears[FARM[0]] = heard(700)
    gone = judged(701, online=FARM, ears=ears)
    assert {v.server_id for v in gone if isinstance(v, WentSilent)} == set(FARM[1:])


def test_a_minority_that_vanishes_is_gone() -> None:
    ears = {server: heard(35) for server in FARM}
    ears[FARM[0]] = ears[FARM[1]] = heard()
    gone = judged(35, online=FARM, ears=ears)
    assert {v.server_id for v in gone if isinstance(v, WentSilent)} == set(FARM[:2])


def test_a_half_that_vanishes_is_gone() -> None:
    half = FARM[:4]
    ears = {server: heard(35) for server in half}
    ears[half[0]] = ears[half[1]] = heard()
    gone = judged(35, online=half, ears=ears)
    assert {v.server_id for v in gone if isinstance(v, WentSilent)} == set(half[:2])


def test_two_servers_are_too_few_to_doubt_oneself() -> None:
    ears = {server: heard() for server in FARM[:2]}
    assert len(judged(35, online=FARM[:2], ears=ears)) == 2
