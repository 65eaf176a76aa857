"""Which servers a program takes: never the database of one with the broker of another."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import pytest

from api.embedded.stack import Endpoints, endpoints_path, own
from api.programs.options import servers_of
from api.settings import Settings, load

LIVE = Endpoints(pid=1, database_url="postgresql://live/owl", nats_url="nats://live")


@pytest.fixture
def beside(tmp_path: Path) -> Iterator[Path]:
    """The data directory of a stack that runs."""
    with own(tmp_path):
        endpoints_path(tmp_path).write_bytes(msgspec.json.encode(LIVE))
        yield tmp_path


def settings(data_dir: Path, **variables: str) -> Settings:
    return load({"OWL_DATA_DIR": str(data_dir), **variables})


def test_what_runs_in_the_folder_is_taken_together(beside: Path) -> None:
    live = (LIVE.database_url, LIVE.nats_url)
    assert servers_of(settings(beside)) == live
    assert servers_of(settings(beside, OWL_DATABASE_URL="postgresql://live/owl")) == live


def test_another_database_is_never_given_the_broker_of_the_folder(beside: Path) -> None:
    copy = {"OWL_DATABASE_URL": "postgresql://elsewhere/copy"}
    with pytest.raises(click.UsageError, match="OWL_NATS_URL"):
        servers_of(settings(beside, **copy))
    found = servers_of(settings(beside, **copy, OWL_NATS_URL="nats://elsewhere"))
    assert found == ("postgresql://elsewhere/copy", "nats://elsewhere")


def test_a_broker_beside_a_database_that_it_does_not_name_is_not_taken(beside: Path) -> None:
    of_broker_only = Endpoints(pid=1, database_url=None, nats_url="nats://live")
    endpoints_path(beside).write_bytes(msgspec.json.encode(of_broker_only))
    with pytest.raises(click.UsageError, match="OWL_NATS_URL"):
        servers_of(settings(beside, OWL_DATABASE_URL="postgresql://elsewhere/copy"))
