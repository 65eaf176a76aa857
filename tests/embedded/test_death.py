"""No server outlives its parent, however the parent dies; and if one does, it is found."""

import os
import re
import signal
import subprocess
from pathlib import Path

import psutil
import psycopg
import pytest

from api.embedded.failure import StackFailed
from api.embedded.nats import NatsAuth
from api.embedded.stack import (
    EmbeddedStack,
    NatsOptions,
    PostgresOptions,
    StackConfig,
    running_endpoints,
)
from tests.embedded.parent import all_gone, is_alive, kill, parent_of_stack
from tests.stack import data_directory


def configured(data_dir: Path) -> StackConfig:
    return StackConfig(
        data_dir=data_dir,
        postgres=PostgresOptions(profile="test"),
        nats=NatsOptions(auth=NatsAuth(platform_password="password")),
    )


def rows_kept(url: str) -> int:
    with psycopg.connect(url) as connection:
        found = connection.execute("SELECT count(*) FROM kept").fetchone()
    assert found is not None
    return int(found[0])


def children_with(*words: str) -> list[psutil.Process]:
    """Our own live children whose command line has all these words in it."""
    return [
        child
        for child in psutil.Process().children()
        if is_alive(child.pid) and all(word in " ".join(child.cmdline()) for word in words)
    ]


def test_a_parent_killed_with_signal_9_leaves_no_process_and_loses_no_row() -> None:
    with data_directory() as data_dir:
        with parent_of_stack(data_dir) as parent:
            assert len(parent.told.servers) == len(parent.told.guardians) == 2
            parent.kill()
            assert all_gone([*parent.told.servers, *parent.told.guardians])
        assert running_endpoints(data_dir) is None
        with EmbeddedStack(configured(data_dir)) as stack:
            assert rows_kept(stack.database_url) == 1
            assert stack.nats_url == parent.told.nats_url


def test_a_parent_that_leaves_takes_its_servers_with_it() -> None:
    with data_directory() as data_dir, parent_of_stack(data_dir) as parent:
        assert parent.leave() == 0
        assert not any(map(is_alive, [*parent.told.servers, *parent.told.guardians]))


def test_control_c_in_a_terminal_does_not_reach_the_servers() -> None:
    with data_directory() as data_dir, parent_of_stack(data_dir) as parent:
        groups = {os.getpgid(pid) for pid in [*parent.told.servers, *parent.told.guardians]}
        assert os.getpgid(parent.process.pid) not in groups
        assert parent.leave() == 0


def test_an_orphan_whose_guardian_was_killed_too_is_stopped_at_the_next_start() -> None:
    with data_directory() as data_dir:
        with parent_of_stack(data_dir) as parent:
            kill(parent.told.guardians)
            parent.kill()
            assert all(map(is_alive, parent.told.servers)), "they are the orphans of this test"
        with EmbeddedStack(configured(data_dir)) as stack:
            assert all_gone(parent.told.servers)
            assert rows_kept(stack.database_url) == 1


def test_a_busy_backend_of_a_killed_postmaster_does_not_hinder_the_next_start() -> None:
    with data_directory() as data_dir, EmbeddedStack(configured(data_dir)) as stack:
        server = stack.servers["PostgreSQL"]
        busy = psycopg.connect(stack.database_url)
        backend = busy.info.backend_pid
        busy.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 1000000000000)")
        server.kill()
        assert is_alive(backend), "it computes, and looks at nothing else"
        server.start()
        assert not is_alive(backend)
        busy.close()
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("SELECT 1")


def test_a_pid_file_naming_some_other_living_process_does_not_block_the_start() -> None:
    with data_directory() as data_dir:
        with EmbeddedStack(configured(data_dir)):
            pass
        data = (data_dir / "servers" / "postgres" / "data").resolve()
        owner = data.stat()
        # of the same user, or PostgreSQL itself would see that it is none of its own
        with subprocess.Popen(
            ["sleep", "60"], user=owner.st_uid, group=owner.st_gid
        ) as bystander:
            pid_file = data / "postmaster.pid"
            pid_file.write_text(f"{bystander.pid}\n{data}\n", encoding="utf-8")
            with EmbeddedStack(configured(data_dir)):
                assert bystander.poll() is None, "a stranger is not ours to stop"
            bystander.kill()


def test_a_second_start_in_the_same_directory_is_refused_and_harms_nothing() -> None:
    with data_directory() as data_dir, EmbeddedStack(configured(data_dir)) as stack:
        with (
            pytest.raises(
                StackFailed, match=rf"process {os.getpid()} owns {re.escape(str(data_dir))}"
            ),
            EmbeddedStack(configured(data_dir)),
        ):
            pytest.fail("two brokers on one store destroy it")
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("SELECT 1")


def test_a_half_failed_start_leaves_nothing_behind() -> None:
    with data_directory() as data_dir:
        with EmbeddedStack(configured(data_dir)):
            pass
        version = (data_dir / "servers" / "postgres" / "data" / "PG_VERSION").resolve()
        version.write_text("14\n", encoding="ascii")
        with (
            pytest.raises(StackFailed, match="is of PostgreSQL 14"),
            EmbeddedStack(configured(data_dir)),
        ):
            pytest.fail("the programs cannot read this data")
        assert children_with(str(data_dir)) == []


def test_each_server_has_one_guardian_however_often_it_was_restarted() -> None:
    with data_directory() as data_dir, EmbeddedStack(configured(data_dir)) as stack:
        server = stack.servers["NATS"]
        ended = [str(server.pid)]
        server.stop()
        server.start()
        ended.append(str(server.pid))
        server.kill()
        assert server.crash() == -signal.SIGKILL
        server.restart()
        assert [children_with("owl-guardian", pid) for pid in ended] == [[], []]
        assert len(children_with("owl-guardian", str(server.pid))) == 1
