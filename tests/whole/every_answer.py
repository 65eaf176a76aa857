"""What the platform answers to every ``GET`` that it documents."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx

from tests.whole.processes import wait_for

OPENAPI = Path(__file__).parents[2] / "docs" / "contract" / "openapi.json"
NOT_ASKED = {
    "/api/audit/events/stream",  # a tail: what /api/audit/events has
    "/api/admin/projections/{read_model}/progress",
    "/api/tasks/{task_id}/artifacts/{name}",  # a file, if a task has made one
    "/api/audit/exports",  # long: what the programs of these names say
    "/api/audit/reconcile",
    "/api/audit/verify",
}
OTHERWISE = {"/api/admin/projections/{read_model}/diff": 409}
"""There is one generation only."""
NAMED = {
    "kind": "user",
    "version": "1",
    "read_model": "users",
    "level": "entries",
    "number": "000.p/16",
}
QUERIES = {
    "/api/audit/log/proof/consistency": "from=10&to=20",
    "/api/admin/users": "page_size=100",
    "/api/logs/system": "page_size=100",
    "/api/logs/download": "log_type=user_actions",
}


def asked(
    client: httpx.Client, method: str, path: str | httpx.URL, **how: Any
) -> httpx.Response:
    """The answer, as soon as there is one: who is busy says 503, and is asked again."""

    def ask() -> httpx.Response | None:
        answer = client.request(method, path, **how)
        return None if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE else answer

    answer = wait_for(ask, f"{method} {path} is answered")
    assert isinstance(answer, httpx.Response)
    return answer


def every_answer(
    reader: httpx.Client, named: Mapping[str, str], queries: Mapping[str, str]
) -> Iterator[tuple[str, bytes]]:
    """Each path with its answer, headers and body; the reader may ask for all of them."""
    paths = json.loads(OPENAPI.read_text(encoding="utf-8"))["paths"]
    for path, methods in paths.items():
        if "get" not in methods or path in NOT_ASKED:
            continue
        query = {**QUERIES, **queries}.get(path, "")
        url = reader.base_url.copy_with(path=path.format_map({**NAMED, **named}))
        answer = asked(reader, "GET", url.copy_with(query=query.encode()))
        assert answer.status_code == OTHERWISE.get(path, 200), (path, answer.text)
        yield path, str(answer.headers).encode() + answer.content
