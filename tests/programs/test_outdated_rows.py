"""Rows of another version: said at the start and by readiness, and no agent waits for them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import psycopg
import pytest

from api.outdated_rows import OutdatedRows, outdated_rows
from api.programs.local_agent import AgentPlan, LocalAgent
from api.registration import operator_token
from projections.catalogue import READ_MODELS
from projections.fingerprint import fingerprints
from projections.migrate import prepare
from projections.versions import see, want
from tests.api.live import LiveApi, ok

OTHER_FOLDS = """
    UPDATE owl_read.checkpoints SET fingerprint = 'other' WHERE read_model IN ('tasks', 'users')
"""
KEEP = """
    INSERT INTO owl_read.checkpoints
        (read_model, generation, source, fingerprint, state, position)
    VALUES ('users', 9, 'business', %s, 'kept', 0)
"""
PRINTS = fingerprints(READ_MODELS)


def test_rows_that_nobody_builds_by_itself_are_said_with_the_order_that_does(
    database_url: str,
) -> None:
    prepare(database_url)
    assert outdated_rows(database_url) == OutdatedRows()
    assert outdated_rows(database_url).sentences() == ()
    with psycopg.connect(database_url) as connection:
        connection.execute(OTHER_FOLDS)
    # a version that was never here builds them
    assert outdated_rows(database_url).building == ("users", "tasks")
    with psycopg.connect(database_url) as connection:
        see(connection, PRINTS)
    assert outdated_rows(database_url).left_alone == ()
    with psycopg.connect(database_url) as connection:
        for name in ("tasks", "users"):
            want(connection, name, "other")
        connection.execute(KEEP, (PRINTS["users"],))
    found = outdated_rows(database_url)
    assert (found.building, found.to_roll_back, found.to_rebuild) == (
        (),
        ("users",),
        ("tasks",),
    )
    (told,) = found.sentences()
    assert "owl projections rollback users; owl projections rebuild tasks" in told


@pytest.mark.anyio
async def test_readiness_names_outdated_rows_and_an_agent_enrols_all_the_same(
    database_url: str, tmp_path: Path
) -> None:
    def outdate(api: LiveApi) -> None:
        """A server is known; then the rows of tasks stand still, and the log goes on."""
        with api.someone("admin") as admin:
            wanted = {"name": "gpu-1", "max_concurrent_tasks": 1}
            given = ok(admin.client.post("/api/gpu/servers", json=wanted))
            (tmp_path / "identity.json").write_text(json.dumps({"server_id": given["id"]}))
            assert ok(admin.client.get("/health/ready"))["outdated_read_models"] == []
            api.execute(
                "UPDATE owl_read.checkpoints SET fingerprint = 'other'"
                " WHERE read_model = 'tasks'"
            )
            ready = ok(admin.client.get("/health/ready"))
            assert ready["outdated_read_models"] == ["tasks"]
            assert "owl_outdated_read_models 1.0" in admin.client.get("/metrics").text
            api.until(lambda: _stands_still(api))

    with LiveApi(database_url, patient=False) as api:  # who waits for the rows waits in vain

        async def operator() -> str:
            return await asyncio.to_thread(api.call, operator_token(api.platform))

        await asyncio.to_thread(outdate, api)
        plan = AgentPlan(api_url=f"{api.url}/api", directory=tmp_path, media_dirs=())
        async with asyncio.timeout(20):
            await LocalAgent(plan, operator).enrol()
    assert (tmp_path / "identity.json").exists()


def _stands_still(api: LiveApi) -> bool:
    """The others have gone on without the rows of tasks."""
    with api.someone():
        (row,) = api.rows(
            "SELECT max(position) > min(position) FROM owl_read.checkpoints"
            " WHERE state = 'live' AND source = 'business'"
        )
    return bool(row[0])
