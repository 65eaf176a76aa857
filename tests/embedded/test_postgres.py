"""What the platform finds in the cluster: its language, its safety, its doors."""

import os
import secrets
import socket
import stat
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from api.embedded.failure import StackFailed
from api.embedded.postgres import SOCKET_PATH_LIMIT_BYTES, socket_directory
from api.embedded.stack import EmbeddedStack, PostgresOptions, StackConfig
from tests.stack import LiveStack, data_directory, postgres15_binaries

SETTINGS = """
SELECT current_setting('fsync'), current_setting('synchronous_commit'),
       current_setting('full_page_writes'), current_setting('data_checksums')
"""
LANGUAGE = """
SELECT current_setting('server_encoding'), lower('ÄÖÜ'),
       cardinality(show_trgm('猫头鹰工厂')) > 0
"""


def one_row(url: str, statement: str) -> tuple[object, ...] | None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
        row = connection.execute(statement).fetchone()
    return None if row is None else tuple(row)


def test_chinese_can_be_searched_by_trigrams(database_url: str) -> None:
    assert one_row(database_url, LANGUAGE) == ("UTF8", "äöü", True)


def test_postgres_15_speaks_the_same_language(postgres15: str) -> None:
    assert one_row(postgres15, LANGUAGE) == ("UTF8", "äöü", True)
    assert one_row(postgres15, "SELECT current_setting('server_version_num')::int / 10000") == (
        15,
    )


def test_real_data_is_durable_and_test_data_need_not_be(
    durable_stack: LiveStack, database_url: str
) -> None:
    assert one_row(durable_stack.stack.database_url, SETTINGS) == ("on", "on", "on", "on")
    assert one_row(database_url, SETTINGS) == ("off", "off", "off", "on")


def test_a_committed_row_survives_kill_9_of_postgres(durable_stack: LiveStack) -> None:
    url = durable_stack.create_database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS number")
    durable_stack.kill_postgres()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    durable_stack.start_postgres()
    assert one_row(url, "SELECT number FROM kept") == (7,)


def test_the_socket_is_private_and_no_port_is_open(session_stack: LiveStack) -> None:
    url = session_stack.stack.database_url
    directory = Path(unquote(urlsplit(url).query).partition("host=")[2].partition("&")[0])
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert one_row(url, "SELECT current_setting('listen_addresses')") == ("",)


def test_a_port_opens_on_demand_and_wants_the_password() -> None:
    password, port = secrets.token_urlsafe(), free_port()
    with data_directory() as data_dir:
        options = PostgresOptions(profile="test", tcp_port=port, tcp_password=password)
        with EmbeddedStack(StackConfig(data_dir=data_dir, postgres=options)) as stack:
            url = stack.tcp_database_url
            assert url is not None
            assert one_row(url, "SELECT current_user::text") == ("owl",)
            with pytest.raises(psycopg.OperationalError, match="authentication failed"):
                psycopg.connect(url.replace(password, "guess"))
            log = (data_dir / "servers" / "postgres" / "postgres.log").read_text()
        assert password not in log


def test_a_port_without_a_password_is_refused() -> None:
    with data_directory() as data_dir:
        options = PostgresOptions(tcp_port=free_port())
        with pytest.raises(StackFailed, match="needs a password"):
            EmbeddedStack(StackConfig(data_dir=data_dir, postgres=options)).__enter__()


def test_data_of_another_major_version_is_refused_with_what_to_do() -> None:
    old = postgres15_binaries()
    if old is None:
        pytest.skip("this machine has no PostgreSQL 15 to make such data")
    with data_directory() as data_dir:
        options = PostgresOptions(profile="test", binaries=old)
        with EmbeddedStack(StackConfig(data_dir=data_dir, postgres=options)):
            pass
        with pytest.raises(StackFailed, match=r"is of PostgreSQL 15.*pg_upgrade"):
            EmbeddedStack(StackConfig(data_dir=data_dir)).__enter__()


def test_a_long_data_path_moves_the_socket_where_its_name_fits() -> None:
    with data_directory() as data_dir:
        deep = data_dir / ("d" * 100)
        config = StackConfig(data_dir=deep, postgres=PostgresOptions(profile="test"))
        with EmbeddedStack(config) as stack:
            assert one_row(stack.database_url, "SELECT 1") == (1,)
        elsewhere = socket_directory((deep / "servers" / "postgres").resolve())
        assert len(os.fsencode(elsewhere)) < SOCKET_PATH_LIMIT_BYTES
        elsewhere.rmdir()


def free_port() -> int:
    """One that listened a moment ago, so that nobody else does."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])
