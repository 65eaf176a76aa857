"""The tables that read models begin with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg

from projections.catalogue import READ_MODELS
from projections.migrate import prepare


def test_prepare_run_twice_at_once_makes_one_generation(database_url: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(prepare, [database_url] * 2)) == [(), ()]
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*), max(generation) FROM owl_read.checkpoints"
        ).fetchone()
    assert row == (len(READ_MODELS), 1)
