"""The tables that read models begin with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from projections.catalogue import READ_MODELS
from projections.generations import make_indexes, open_building
from projections.jobs import note_begun
from projections.migrate import prepare, run_in_schema
from projections.statements import ddl_parts

INDEXES = """
    SELECT regexp_replace(schemaname, '_g.$', ''), indexname,
        replace(indexdef, schemaname, 'here')
    FROM pg_indexes WHERE schemaname ~ %(schemas)s ORDER BY 1, 2
"""


def test_prepare_run_twice_at_once_makes_one_generation(database_url: str) -> None:
    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(prepare, [database_url] * 2)) == [(), ()]
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "SELECT count(*), max(generation) FROM owl_read.checkpoints"
        ).fetchone()
    assert row == (len(READ_MODELS), 1)


@pytest.mark.parametrize("leave_room", [False, True])
def test_indexes_of_which_an_interrupted_rebuild_left_some_are_made_anew(
    database_url: str,
    leave_room: bool,  # noqa: FBT001 - each case
) -> None:
    prepare(database_url)
    opened = open_building(database_url, READ_MODELS)
    with psycopg.connect(database_url) as connection:
        for each in opened.values():
            note_begun(connection, each.generation, upto=0, switching="auto", max_load=1.0)
        for model in READ_MODELS[::2]:
            schema = opened[model.name].generation.schema
            run_in_schema(connection, schema, ddl_parts(model)[1])
        for model in READ_MODELS[1::2]:
            schema = opened[model.name].generation.schema
            first = ddl_parts(model)[1].partition(";")[0]
            run_in_schema(connection, schema, first)
    again = open_building(database_url, READ_MODELS)
    assert not any(each.indexed for each in again.values())
    generations = [each.generation for each in again.values()]
    make_indexes(database_url, generations, leave_room=lambda: leave_room)
    with psycopg.connect(database_url) as connection:
        live, built = (
            connection.execute(INDEXES, {"schemas": f"^rm_.*_g{number}$"}).fetchall()
            for number in (1, 2)
        )
    assert built == live
    assert len({table for table, _, _ in live}) == len(READ_MODELS)
