"""What the queries of users, codes, records and servers answer."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import psycopg

from commands import fleet, recharge
from domain.fleet.messages import RunningTask
from domain.ids import CONFIGURATION_STREAM
from domain.system.events import ConfigurationChanged
from domain.telemetry.events import HeartbeatReceived
from projections import (
    gpu_cluster,
    recharge_codes,
    recharge_records,
    system_stats,
    task_lists,
    task_queue,
    users,
)
from projections.catalogue import TELEMETRY
from tests.projections.asking import Ask
from tests.projections.farm import Farm
from tests.projections.feed import NOON, recorded
from tests.projections.tables import project


def test_a_user_sees_balance_holds_and_totals(farm: Farm, ask: Ask) -> None:
    user = farm.users[0]
    farm.complete(farm.submit(user))
    farm.submit(user)
    me = ask(users.user_by_id, user)
    assert me.email == f"{user.hex}@example.com"
    assert (me.balance_fen, me.held_fen, me.available_fen) == (9_895, 315, 9_580)
    assert (me.total_tasks, me.total_cost_fen) == (2, 105)
    statistics = ask(users.user_statistics, user)
    assert (statistics.completed_tasks, statistics.failed_tasks) == (1, 0)
    assert statistics.total_tasks == 2
    assert ask(users.user_by_id, UUID(int=1)) is None


def test_times_come_in_utc(farm: Farm, ask: Ask) -> None:
    me = ask(users.user_by_id, farm.users[0])
    assert me.created_at.tzinfo is UTC


def test_servers_show_live_figures_only_while_they_are_online(
    read_url: str, farm: Farm, ask: Ask
) -> None:
    here, gone = farm.servers[0], farm.enrol("gpu-2")
    beats = [farm.beat(here), farm.beat(gone)]
    farm.run(
        fleet.note_server_silent,
        fleet.NoteServerSilent(server_id=gone, last_seen_at=farm.now),
    )
    running = farm.submit(farm.users[0])
    farm.assign(running, here)
    farm.begin(running, here)
    project(
        read_url,
        [
            recorded(
                HeartbeatReceived(
                    server_id=beat.server_id,
                    boot_id=beat.boot_id,
                    sequence=1,
                    sent_at=beat.sent_at,
                    host=beat.host,
                    gpus=beat.gpus,
                    running=(RunningTask(task_id=running, attempt=1, progress=40.0),),
                ),
                beat.server_id,
                position,
                farm.now,
            )
            for position, beat in enumerate(beats, 1)
        ],
        TELEMETRY,
    )
    online, offline = ask(gpu_cluster.servers, now=farm.now)
    assert (online.name, online.status, online.current_tasks) == ("gpu-1", "online", 1)
    assert (online.gpu_memory_total_mib, online.gpu_memory_used_mib) == (24_576, 3_072)
    assert (online.cpu_percent, online.gpu_count) == (45.2, 2)
    assert (offline.status, offline.gpu_memory_used_mib, offline.cpu_percent) == (
        "offline",
        None,
        None,
    )
    assert offline.last_heartbeat_at is not None
    now = ask(gpu_cluster.server_now, here, user_id=None, now=farm.now)
    assert [gpu.usage_percent for gpu in now.gpus] == [80.0, 81.0]
    assert now.running[0].progress == 40.0
    stale = ask(gpu_cluster.server_now, gone, user_id=None, now=farm.now)
    assert (stale.gpus, stale.running, stale.cpu_percent) == ((), (), None)
    assert ask(gpu_cluster.server_by_id, UUID(int=1), now=farm.now) is None
    overview = ask(gpu_cluster.cluster_overview, now=farm.now)
    assert overview == gpu_cluster.ClusterOverview(
        total_servers=2,
        online_servers=1,
        offline_servers=1,
        total_gpus=4,
        busy_gpus=1,
        idle_gpus=1,
        total_running_tasks=1,
        queue_length=0,
        average_gpu_usage_percent=80.5,
        gpu_memory_total_mib=24_576,
        gpu_memory_used_mib=3_072,
    )


def test_a_server_that_nobody_hears_is_offline_before_anybody_says_so(
    read_url: str, farm: Farm, ask: Ask
) -> None:
    here = farm.servers[0]
    running, waiting = farm.submit(farm.users[0]), farm.submit(farm.users[0])
    farm.assign(running, here)
    farm.begin(running, here)
    beat, heard_at = farm.beat(here), farm.now
    fact = HeartbeatReceived(
        server_id=here,
        boot_id=beat.boot_id,
        sequence=1,
        sent_at=beat.sent_at,
        host=beat.host,
        gpus=beat.gpus,
        running=(RunningTask(task_id=running, attempt=1, progress=40.0),),
    )
    project(read_url, [recorded(fact, here, 1, heard_at)], TELEMETRY)

    def seen(now: datetime) -> tuple[Any, ...]:
        (listed,) = ask(gpu_cluster.servers, now=now)
        figures = ask(gpu_cluster.server_now, here, user_id=None, now=now)
        farm_ = ask(gpu_cluster.cluster_overview, now=now)
        row = ask(task_lists.task_by_id, waiting, user_id=None)
        return (
            (listed.status, listed.cpu_percent, listed.gpu_memory_used_mib),
            (figures.status, figures.cpu_percent, len(figures.gpus), len(figures.running)),
            (farm_.online_servers, farm_.offline_servers, farm_.busy_gpus, farm_.idle_gpus),
            (farm_.average_gpu_usage_percent, farm_.gpu_memory_used_mib),
            ask(system_stats.system_statistics, now=now).online_gpu_servers,
            ask(task_queue.queue_place, row, now=now).reason,
        )

    live = (
        ("online", 45.2, 3_072),
        ("online", 45.2, 2, 1),
        (1, 0, 1, 1),
        (80.5, 3_072),
        1,
        "next",
    )
    stale = (
        ("offline", None, None),
        ("offline", None, 0, 0),
        (0, 1, 0, 0),
        (0.0, 0),
        0,
        "no_online_server",
    )
    assert seen(heard_at + timedelta(seconds=30)) == live
    late = heard_at + timedelta(seconds=31)
    assert seen(late) == stale
    assert ask(gpu_cluster.server_now, here, user_id=None, now=late).at == heard_at, (
        "it says from when"
    )
    after = {"offline_after_s": 60}
    farm.say(CONFIGURATION_STREAM, ConfigurationChanged(before={}, after=after))
    assert seen(late) == live, "how long a silence may be is the configuration's to say"
    assert seen(heard_at + timedelta(seconds=61)) == stale


def test_figures_from_before_a_silence_are_not_shown_when_the_server_is_back(
    read_url: str, farm: Farm, ask: Ask
) -> None:
    here, heard_at = farm.servers[0], farm.now
    beat = farm.beat(here)
    fact = HeartbeatReceived(
        server_id=here,
        boot_id=beat.boot_id,
        sequence=1,
        sent_at=beat.sent_at,
        host=beat.host,
        gpus=beat.gpus,
    )
    project(read_url, [recorded(fact, here, 1, heard_at)], TELEMETRY)
    farm.now += timedelta(hours=1)
    farm.beat(here, boot_id=farm.fresh())  # its figures are on their way
    now = ask(gpu_cluster.server_now, here, user_id=None, now=farm.now)
    assert (now.status, now.cpu_percent, now.gpus) == ("online", None, ())
    assert ask(gpu_cluster.cluster_overview, now=farm.now).gpu_memory_used_mib == 0


def test_an_empty_farm_has_an_overview(read_url: str) -> None:
    async def asked() -> gpu_cluster.ClusterOverview:
        async with await psycopg.AsyncConnection.connect(read_url) as connection:
            return await gpu_cluster.cluster_overview(connection, now=NOON)

    overview = asyncio.run(asked())
    assert (overview.total_servers, overview.average_gpu_usage_percent) == (0, 0.0)


def test_codes_are_listed_by_what_they_are_now(farm: Farm, ask: Ask) -> None:
    user = farm.users[0]
    used = farm.issue(max_uses=1)
    farm.redeem(user, used)
    dying = farm.issue(lifetime_s=3_600)
    old = [farm.issue(lifetime_s=60) for _ in range(2)]
    dead = farm.issue()
    farm.run(recharge.revoke_code, recharge.RevokeCode(code_id=dead))
    now = farm.now + timedelta(seconds=600)

    def page(status: Any, at: Any = now) -> tuple[set[UUID], int]:
        found = ask(recharge_codes.code_page, status=status, now=at, page=1, page_size=20)
        assert all(row.status_at(at) == status for row in found.items if status)
        return {row.code_id for row in found.items}, found.total

    first = farm.codes[0]
    assert page(None) == ({first, used, dying, *old, dead}, 6)
    assert page("active") == ({first, dying}, 2)
    assert page("expired") == (set(old), 2)
    assert page("used") == ({used}, 1)
    assert page("revoked") == ({dead}, 1)
    later = now + timedelta(days=2)
    assert page("active", later) == ({first}, 1)
    assert page("expired", later) == ({dying, *old}, 3)


def test_usable_codes_are_listed_the_newest_first_and_expired_ones_by_when_they_did(
    farm: Farm, ask: Ask
) -> None:
    lifetimes_s = (None, 60, 86_400 * 40, 30, None, 86_400, 90)
    forever = farm.codes[0]
    a, short, b, shorter, c, d, long = (farm.issue(lifetime_s=s) for s in lifetimes_s)
    now = farm.now + timedelta(seconds=600)

    async def check(connection: Any) -> None:
        for size, status in product((1, 2, 20), ("active", "expired")):
            asked: Any = {"status": status, "now": now, "page_size": size}
            pages = [
                await recharge_codes.code_page(connection, **asked, page=number)
                for number in range(1, 6)
            ]
            expected = {"active": [d, c, b, a, forever], "expired": [long, short, shorter]}
            found = [row.code_id for page in pages for row in page.items]
            assert found == expected[status][: size * 5]

    ask(check)


def test_a_users_recharge_records_name_the_code_by_its_hint(farm: Farm, ask: Ask) -> None:
    user = farm.users[0]
    farm.redeem(user, farm.issue(2_500))
    page = ask(recharge_records.record_page, user, page=1, page_size=1)
    assert page.total == 2
    assert [record.amount_fen for record in page.items] == [2_500]
    assert page.items[0].hint == "OWL-ABCD-****-****"
    nobody = ask(recharge_records.record_page, UUID(int=1), page=1, page_size=9)
    assert (nobody.items, nobody.total) == ((), 0)
