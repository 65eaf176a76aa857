"""The three brokers of compose.yaml find each other with the files that we ship and make."""

import asyncio
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig
from nats.js.errors import APIError

from api.embedded.binaries import find_nats
from commands.topology import Config, Topology
from deploy.make_secrets import NODES, main
from domain.fleet.messages import SUBJECTS
from tests.house.tree import ROOT

DEADLINE_S = 30
STOP_S = 10


def free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for listener in sockets:
            listener.bind(("127.0.0.1", 0))
        return [listener.getsockname()[1] for listener in sockets]


def on_this_machine(text: str, changes: dict[str, str]) -> str:
    """``text`` with each pattern replaced; one that is no longer there fails the test."""
    for pattern, replacement in changes.items():
        text, found = re.subn(pattern, replacement, text, flags=re.MULTILINE)
        assert found, pattern
    return text


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[list[str]]:
    """Three running nodes; their addresses, with the platform's credentials."""
    main(tmp_path / "secrets")
    rights = (tmp_path / "secrets/nats_auth").read_text(encoding="ascii")
    password = (tmp_path / "secrets/nats_password").read_text(encoding="ascii").strip()
    clients, routes = free_ports(len(NODES)), free_ports(len(NODES))
    local = {
        f"{node}:6222": f"127.0.0.1:{port}" for node, port in zip(NODES, routes, strict=True)
    }
    (tmp_path / "nats_auth").write_text(on_this_machine(rights, local), encoding="ascii")
    shipped = (ROOT / "deploy/nats.conf").read_text(encoding="utf-8")
    with ExitStack() as running:
        for node, client, route in zip(NODES, clients, routes, strict=True):
            changes = {
                r"^include .*$": 'include "nats_auth"',
                r"^port: 4222$": f'listen: "127.0.0.1:{client}"',
                r"^  port: 6222$": f'  listen: "127.0.0.1:{route}"',
                r"^http: .*$": "",
                r'store_dir: "/data"': f'store_dir: "{tmp_path / node}"',
            }
            path = tmp_path / f"{node}.conf"
            path.write_text(on_this_machine(shipped, changes), encoding="utf-8")
            command = [str(find_nats()), "--config", str(path)]
            log = running.enter_context((tmp_path / f"{node}.log").open("wb"))
            process = subprocess.Popen(command, env={"NODE": node}, stdout=log, stderr=log)
            running.callback(process.wait, STOP_S)
            running.callback(process.terminate)
        yield [f"nats://owl:{password}@127.0.0.1:{port}" for port in clients]


async def publish_to_three_replicas(addresses: list[str]) -> int:
    async with asyncio.timeout(DEADLINE_S):
        connection = await nats.connect(addresses, max_reconnect_attempts=-1)
        try:
            jetstream = connection.jetstream()
            stream = StreamConfig(name="PROOF", subjects=["proof.>"], num_replicas=len(NODES))
            while True:
                try:
                    await jetstream.add_stream(stream)
                    break
                except (APIError, nats.errors.TimeoutError):
                    continue  # the cluster has no leader yet; each try waits for an answer
            return (await jetstream.publish("proof.one", b"kept three times")).seq
        finally:
            await connection.close()


async def copies_of_our_streams(addresses: list[str]) -> list[tuple[int, int]]:
    """How many nodes keep each of our streams, before and after an operator wants three."""
    async with asyncio.timeout(DEADLINE_S):
        connection = await nats.connect(addresses, max_reconnect_attempts=-1)
        try:
            copies = []
            for replicas in (1, len(NODES)):
                await until_done(topology_with(connection, replicas))
                infos = [await connection.jetstream().stream_info(name) for name in SUBJECTS]
                copies.append([info.config.num_replicas for info in infos])
            return list(zip(*copies, strict=True))
        finally:
            await connection.close()


def topology_with(client: Client, replicas: int) -> Topology:
    return Topology(
        client,
        servers=lambda: (),
        first_report_sequence=lambda: 1,
        interested=lambda: (),
        config=Config(replicas=replicas),
    )


async def until_done(topology: Topology) -> None:
    while True:
        try:
            return await topology.ensure_streams()
        except (APIError, nats.errors.TimeoutError):
            continue  # no leader yet, or none yet for the new copies


def test_our_streams_are_kept_on_as_many_nodes_as_are_wanted(cluster: list[str]) -> None:
    assert asyncio.run(copies_of_our_streams(cluster)) == [(1, 3)] * len(SUBJECTS)


def test_three_nodes_form_a_cluster_that_keeps_each_message_three_times(
    cluster: list[str],
) -> None:
    assert asyncio.run(publish_to_three_replicas(cluster)) == 1
