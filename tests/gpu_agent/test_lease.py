"""The lease: an agent's own work is dead before the platform starts it elsewhere."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.lease import Lease


def lease(lease_s: float = 120.0) -> Lease:
    return Lease(now=0.0, grace_s=5.0, lease_s=lease_s)


def test_it_lapses_early_enough_to_kill_what_runs() -> None:
    kept = lease()
    assert not kept.expired(now=104.9)
    assert kept.expired(now=105.0)


def test_a_confirmed_heartbeat_renews_it_from_when_it_was_sent() -> None:
    kept = lease()
    kept.sent(1, now=50.0)
    kept.confirm(1, lease_s=120.0)
    assert not kept.expired(now=154.9)
    assert kept.expired(now=155.0)


def test_a_heartbeat_that_is_not_confirmed_renews_nothing() -> None:
    kept = lease()
    kept.sent(1, now=100.0)
    assert kept.expired(now=105.0)


def test_an_old_or_unknown_confirmation_renews_nothing() -> None:
    kept = lease()
    kept.sent(1, now=10.0)
    kept.sent(2, now=50.0)
    kept.confirm(2, lease_s=120.0)
    kept.confirm(1, lease_s=120.0)
    kept.confirm(99, lease_s=120.0)
    assert kept.expired(now=155.0)


def test_a_lapsed_lease_comes_back_with_the_next_confirmed_heartbeat() -> None:
    kept = lease()
    assert kept.expired(now=200.0)
    kept.sent(7, now=200.0)
    kept.confirm(7, lease_s=120.0)
    assert not kept.expired(now=201.0)


def test_the_platforms_lease_is_the_one_that_counts() -> None:
    kept = lease()
    kept.sent(1, now=0.0)
    kept.confirm(1, lease_s=40.0)
    assert kept.expired(now=25.0)


@given(
    lease_s=st.floats(1, 3_600),
    interval_s=st.floats(0.1, 60),
    transit_s=st.floats(0, 30),
    beats=st.integers(0, 50),
)
def test_it_never_outlasts_the_platforms_own(
    lease_s: float, interval_s: float, transit_s: float, beats: int
) -> None:
    """The platform counts from when it received the last heartbeat, so later than we do."""
    kept = Lease(now=0.0, grace_s=5.0, lease_s=lease_s)
    last_sent = 0.0
    for beat in range(1, beats + 1):
        last_sent = beat * interval_s
        kept.sent(beat, now=last_sent)
        kept.confirm(beat, lease_s=lease_s)
    assert kept.expired(now=last_sent + transit_s + lease_s)
