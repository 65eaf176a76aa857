"""What the notary signs leaves the house by itself, and whatever is away hears of it later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import nats
import psycopg
import pytest
from nats.aio.client import Client

from commands.checkpoint_outlets import Config, Outlet, to_files, to_stream
from commands.loop import end
from commands.topology import Topology
from domain.audit.checkpoint import checkpoint_in
from domain.envelope import Fence
from domain.fleet.messages import CHECKPOINTS, CHECKPOINTS_STREAM
from projections.audit.signature import is_signed
from projections.audit.stored import StoredLog
from tests.audit.conftest import Notarised, Owl, answer, sign_all
from tests.audit.stories import insert

pytestmark = pytest.mark.anyio
QUICK = Config(look_every_s=0.02, sending_s=1.0, file_every_s=0.02)


@pytest.fixture
async def client(nats_url: str) -> AsyncIterator[Client]:
    opened = await nats.connect(nats_url)
    yield opened
    await opened.close()


async def streams(client: Client) -> None:
    topology = Topology(
        client, servers=lambda: (), first_report_sequence=lambda: 1, interested=lambda: ()
    )
    await topology.ensure_streams()


async def step(outlet: Outlet, conninfo: str) -> bool:
    async with await psycopg.AsyncConnection.connect(conninfo, autocommit=True) as connection:
        return await outlet.step(connection)


def newest(log: Notarised) -> str:
    with StoredLog.open(log.conninfo) as stored:
        return stored.last_checkpoint() or ""


async def grown(log: Notarised) -> str:
    """One event and one checkpoint more."""
    with StoredLog.open(log.conninfo) as stored:
        size = stored.head()
    late = log.events[-1]._replace(position=size + 1, stream=bytes(15) + b"x", version=size)
    with psycopg.connect(log.conninfo) as connection:
        insert(connection, [late])
    await sign_all(log.conninfo)
    return newest(log)


async def published(client: Client) -> str:
    broker = client.jetstream()
    message = await broker.get_last_msg(CHECKPOINTS_STREAM, CHECKPOINTS)
    return (message.data or b"").decode()


async def test_the_newest_checkpoint_is_in_the_stream_once_and_again_when_it_moved(
    notarised: Notarised, client: Client
) -> None:
    await streams(client)
    outlet = to_stream(notarised.conninfo, client, config=QUICK)
    assert await step(outlet, notarised.conninfo)
    assert not await step(outlet, notarised.conninfo)
    note = await published(client)
    assert note == newest(notarised)
    assert checkpoint_in(note, notarised.key, is_signed).size == len(notarised.events)
    after = await grown(notarised)
    assert await step(outlet, notarised.conninfo)
    assert await published(client) == after


async def test_a_broker_without_the_stream_hears_of_it_as_soon_as_it_is_there(
    notarised: Notarised, client: Client
) -> None:
    broker = client.jetstream()
    await streams(client)
    await broker.delete_stream(CHECKPOINTS_STREAM)
    outlet = to_stream(notarised.conninfo, client, config=QUICK)
    assert not await step(outlet, notarised.conninfo)
    running = asyncio.create_task(outlet.run(Fence("notary", 1)))
    await streams(client)
    for _ in range(1500):
        if (await broker.stream_info(CHECKPOINTS_STREAM)).state.messages:
            break
        await asyncio.sleep(0.02)
    await end([running])
    assert await published(client) == newest(notarised)


async def test_files_are_written_once_and_are_what_verify_takes(
    notarised: Notarised, owl: Owl, tmp_path: Path
) -> None:
    place = tmp_path / "witness"
    outlet = to_files(notarised.conninfo, place.as_uri(), config=QUICK)
    assert await step(outlet, notarised.conninfo)
    size = len(notarised.events)
    (file,) = place.rglob("*.checkpoint")
    assert file == place / notarised.key.name / f"{size:020}.checkpoint"
    assert file.read_text() == newest(notarised)
    owl("verify", "--checkpoint", str(file))
    file.write_text("what somebody else has kept is not written again")
    again = to_files(notarised.conninfo, place.as_uri(), config=QUICK)
    assert await step(again, notarised.conninfo)
    assert file.read_text().startswith("what somebody")
    after = await grown(notarised)
    assert await step(again, notarised.conninfo)
    assert max(place.rglob("*.checkpoint")).read_text() == after


async def test_a_place_that_is_away_holds_nothing_up_and_hears_of_the_newest_later(
    notarised: Notarised, tmp_path: Path
) -> None:
    place = tmp_path / "witness"
    outlet = to_files(notarised.conninfo, place.as_uri(), config=QUICK)
    place.rmdir()
    place.write_text("in the way")
    assert not await step(outlet, notarised.conninfo)
    place.unlink()
    place.mkdir()
    assert await step(outlet, notarised.conninfo)
    assert len(list(place.rglob("*.checkpoint"))) == 1


def test_checkpoints_are_listed_and_found_by_position_and_time(
    owl: Owl, notarised: Notarised, tmp_path: Path
) -> None:
    size = len(notarised.events)
    listed = answer(owl("checkpoints", "--json"))
    assert [each["size"] for each in listed] == [*range(100, size, 100), size]
    said = owl("checkpoints", "--limit", "2", "--at", "555")
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["400", "500"]
    assert "--at 300" in said.stderr
    assert answer(owl("checkpoints", "--at", "2000-01-01T00:00:00Z", "--json")) == []
    kept = tmp_path / "kept"
    kept.write_text(owl("checkpoint", "--at", "555").stdout)
    assert checkpoint_in(kept.read_text(), notarised.key, is_signed).size == 500
    found = answer(owl("verify", "--since", str(kept), "--json"))
    assert (found["is_right"], found["since"]) == (True, 500)
    assert "nothing was signed by 7" in owl("checkpoint", "--at", "7", code=1).stderr
    assert owl("checkpoint").stdout == newest(notarised)


def test_a_tree_that_is_not_that_of_the_checkpoint_is_named_when_one_begins_behind_it(
    owl: Owl, notarised: Notarised, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.write_text(owl("checkpoint", "--at", "555").stdout)
    with psycopg.connect(notarised.conninfo) as connection:
        connection.execute("ALTER TABLE owl_log.tiles DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE owl_log.tiles SET hashes = set_byte(hashes, 5, 0) WHERE level = 0"
            " AND number = 1"
        )
        connection.execute(
            "UPDATE owl_log.tiles SET hashes = set_byte(hashes, 5, 0) WHERE level = 1"
        )
    found = answer(owl("verify", "--since", str(kept), "--json", code=1))
    assert "the checkpoint held outside" in found["findings"][0]["message"]
