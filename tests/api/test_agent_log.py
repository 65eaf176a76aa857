"""Agents' warnings stand in the system log: whose they are is told, what is secret is not."""

from __future__ import annotations

import asyncio
from io import StringIO
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from api.system_log import Config, SystemLog
from commands import agent_log
from commands.agent_log import AgentLog
from commands.board import Board
from commands.loop import end
from domain.envelope import Fence
from domain.fleet.messages import ENCODER, Logged, LogLine, report_subject
from domain.fleet.server import SERVER
from tests.commands.loops.plant import connect, eventually, now
from tests.domain.cast import SERVER_ID, server_registered

pytestmark = pytest.mark.anyio

OTHER_ID = uuid4()
CANARY = "c4n4ry-p4ssw0rd"
ROWS = """
    SELECT level, program, logger, event, fields FROM owl_log.system_log ORDER BY line_id
"""


def rows(url: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(ROWS).fetchall()


def logged(*events: str, server_id: UUID = SERVER_ID, **fields: str) -> Logged:
    lines = tuple(
        LogLine(at=now(), level="ERROR", event=event, fields=fields) for event in events
    )
    return Logged(report_id=uuid4(), server_id=server_id, sent_at=now(), lines=lines)


async def told(
    database_url: str,
    nats_url: str,
    *reports: Logged,
    last: str,
    after_the_minute: str | None = None,
) -> list[tuple[Any, ...]]:
    """The rows, once one says ``last``, and then, the minute over, ``after_the_minute``."""
    board = Board()
    server = SERVER.fold([server_registered()])
    assert server is not None
    board.servers |= {SERVER_ID: server, OTHER_ID: server}
    now_s = 0.0
    client = await connect(nats_url)
    config = agent_log.Config(
        lines_a_minute_max=100, lines_of_message_max=50, look_every_s=0.02
    )
    loop = AgentLog(client, board, monotonic=lambda: now_s, config=config)
    with SystemLog(database_url, program="owl work", config=Config(gather_s=0.01)):
        running = asyncio.create_task(loop.run(Fence("dispatch", 1)))
        await eventually(lambda: client._subs)
        await client.flush()
        for report in reports:
            subject = report_subject(report.server_id, report)
            await client.publish(subject, ENCODER.encode(report))
        await eventually(lambda: any(row[3] == last for row in rows(database_url)))
        if after_the_minute is not None:
            now_s = 60.0
            await eventually(
                lambda: any(row[3] == after_the_minute for row in rows(database_url))
            )
        await end([running])
    await client.close()
    return rows(database_url)


async def test_a_line_of_an_agent_says_whose_it_is_and_no_secret(
    database_url: str, nats_url: str, terminal: StringIO
) -> None:
    found = await told(
        database_url,
        nats_url,
        logged("from nowhere", server_id=uuid4()),
        logged(
            f"broker_unreachable nats://owl:{CANARY}@host",
            "last",
            token=CANARY,
            error="disk full",
            event="x",
            exc_info="y",
        ),
        last="last",
    )
    assert len(found) == 2, "an agent that is not of this farm is not heard"
    level, program, logger, event, fields = found[0]
    assert (level, program, logger) == ("ERROR", "owl-agent", "gpu_agent")
    assert event == "broker_unreachable nats://[redacted]@host"
    assert fields["server_id"] == str(SERVER_ID)
    assert fields["said"]["error"] == "disk full"
    assert CANARY not in str(found) + terminal.getvalue()


async def test_an_agent_that_floods_is_cut_off_and_that_is_said_once(
    database_url: str, nats_url: str, terminal: StringIO
) -> None:
    calm = [logged(f"calm {n}") for n in range(40)]
    flood = [logged(*(f"line {n}" for n in range(30))) for _ in range(50)]
    heard = logged("all heard", server_id=OTHER_ID)
    found = await told(
        database_url,
        nats_url,
        *calm,
        *flood,
        heard,
        last="all heard",
        after_the_minute="agent.log_dropped",
    )
    written = [row[3] for row in found]
    assert written[:40] == [f"calm {n}" for n in range(40)]
    assert written[40:100] == [f"line {n}" for _ in range(2) for n in range(30)]
    assert written[100:] == ["all heard", "agent.log_dropped"], "every line written counts"
    assert found[-1][4]["count"] == 50 * 30 - 60
    assert found[-1][4]["server_id"] == str(SERVER_ID)
