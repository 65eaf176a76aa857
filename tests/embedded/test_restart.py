"""What a data directory keeps, and how others find the stack that runs in it."""

import os
from collections.abc import Iterator
from pathlib import Path

import nats
import psycopg
import pytest

from api.embedded.account import make_private_directory, server_account, server_home
from api.embedded.nats import NatsAuth
from api.embedded.stack import (
    EmbeddedStack,
    Endpoints,
    NatsOptions,
    PostgresOptions,
    StackConfig,
    running_endpoints,
)
from tests.stack import data_directory

AUTH = NatsAuth(platform_password="password")


@pytest.fixture
def data_dir() -> Iterator[Path]:
    with data_directory() as directory:
        yield directory


def configured(data_dir: Path, *, sync_interval: str = "2m") -> StackConfig:
    return StackConfig(
        data_dir=data_dir,
        postgres=PostgresOptions(profile="test"),
        nats=NatsOptions(auth=AUTH, sync_interval=sync_interval),
    )


@pytest.mark.anyio
async def test_a_restart_keeps_rows_messages_and_both_addresses(data_dir: Path) -> None:
    with EmbeddedStack(configured(data_dir)) as stack:
        first = (stack.database_url, stack.nats_url)
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
        client = await nats.connect(stack.nats_url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"seven")
        await client.close()
    with EmbeddedStack(configured(data_dir, sync_interval="always")) as stack:
        assert (stack.database_url, stack.nats_url) == first
        with psycopg.connect(stack.database_url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (7,)
        client = await nats.connect(stack.nats_url)
        message = await client.jetstream().get_msg("KEPT", 1)
        await client.close()
    assert message.data == b"seven"


def test_a_killed_server_restarts_on_its_address(data_dir: Path) -> None:
    with EmbeddedStack(configured(data_dir)) as stack:
        before = (stack.database_url, stack.nats_url)
        for server in stack.servers.values():
            server.kill()
            server.start()
        assert (stack.database_url, stack.nats_url) == before


@pytest.mark.anyio
async def test_a_wiped_broker_comes_back_empty_on_the_same_port(data_dir: Path) -> None:
    with EmbeddedStack(configured(data_dir)) as stack:
        before = stack.nats_url
        client = await nats.connect(stack.nats_url)
        await client.jetstream().add_stream(name="LOST", subjects=["lost"])
        await client.close()
        stack.wipe_nats()
        assert stack.nats_url == before
        client = await nats.connect(stack.nats_url)
        assert await client.jetstream().streams_info() == []
        await client.close()


def test_another_program_finds_the_running_stack_and_only_while_it_runs(data_dir: Path) -> None:
    assert running_endpoints(data_dir) is None
    with EmbeddedStack(configured(data_dir)) as stack:
        assert running_endpoints(data_dir) == Endpoints(
            pid=os.getpid(), database_url=stack.database_url, nats_url=stack.nats_url
        )
        assert (data_dir / "endpoints.json").stat().st_mode & 0o077 == 0
    assert running_endpoints(data_dir) is None


def test_the_files_of_the_servers_are_closed_to_other_users(data_dir: Path) -> None:
    with EmbeddedStack(configured(data_dir)):
        home = (data_dir / "servers").resolve()
        open_to_others = [path for path in [home] if path.stat().st_mode & 0o077]
    assert open_to_others == []


def test_a_cluster_that_was_left_half_made_is_never_used(data_dir: Path) -> None:
    account = server_account()
    directory = server_home(data_dir, account) / "postgres"
    make_private_directory(directory, account)
    half_made = directory / "initdb-dead"
    half_made.mkdir()
    config = StackConfig(data_dir=data_dir, postgres=PostgresOptions(profile="test"))
    with EmbeddedStack(config) as stack, psycopg.connect(stack.database_url) as connection:
        connection.execute("SELECT 1")
    assert not half_made.exists()


def test_one_server_can_run_here_while_the_other_runs_elsewhere(data_dir: Path) -> None:
    config = StackConfig(data_dir=data_dir, postgres=None, nats=NatsOptions(auth=AUTH))
    with EmbeddedStack(config) as stack:
        assert list(stack.servers) == ["NATS"]
        endpoints = running_endpoints(data_dir)
    assert endpoints is not None
    assert endpoints.database_url is None
