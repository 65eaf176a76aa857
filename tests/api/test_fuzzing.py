"""Schemathesis from our own document: good and bad requests to every operation, over HTTP.

No 5xx, no status or field that is not documented, nothing outside the envelope, bad data
refused. Half of the ids are of things that are there, so that requests get past the 404.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from api.app import bare_application
from api.openapi import described
from tests.api.live import PASSWORD, LiveApi, Person, ok
from tests.journeys.farm import Server

EXAMPLES = 5
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
    ignored_auth,
]
TOKENS: dict[str, str] = {}
SCHEMA = schemathesis.openapi.from_dict(described(bare_application()))
SCHEMA.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])


@pytest.fixture(scope="module")
def known(api: LiveApi, admin: Person) -> Iterator[dict[str, str]]:
    """Ids of things that are there."""
    server = Server(api, admin, name="fuzzed")
    server.enrol()
    server.beat()
    with api.someone() as person:
        ok(admin.client.put(f"/api/admin/users/{person.user_id}", json={"balance": 1000}))
        task = ok(person.client.post("/api/tasks", json={"title": "x", "task_type": "test"}))
        code = ok(admin.client.post("/api/recharge/codes", json={"amount": 1}))["codes"][0]
        yield {
            "task_id": task["id"],
            "server_id": str(server.server_id),
            "code_id": code["id"],
            "user_id": str(person.user_id),
        }


@SCHEMA.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_an_operation_keeps_to_its_description(
    case: Case[Any], api: LiveApi, admin: Person, known: dict[str, str]
) -> None:
    for name in case.path_parameters or {}:
        if name in known and len(str(case.body)) % 2 == 0:
            case.path_parameters[name] = known[name]
    if str(case.headers.get("Owl-Min-Position", "")).isdigit():
        del case.headers["Owl-Min-Position"]  # of the future it is a 503, as described
    changes_password = case.path == "/api/users/change-password"
    token = renewed(api) if changes_password else admin.token
    headers = {"Authorization": f"Bearer {token}"}
    response = case.call(base_url=api.url, headers=headers)
    case.validate_response(response, checks=CHECKS, headers=headers)
    if response.headers.get("content-type") == ["application/json"]:
        enveloped(response.json())


def renewed(api: LiveApi) -> str:
    """A token of somebody whose password may be changed by the case before."""
    with api.client(TOKENS.get(api.url, "")) as client:
        if client.get("/api/users/me").is_success:
            return TOKENS[api.url]
    with api.someone() as person:
        TOKENS[api.url] = person.token
    return TOKENS[api.url]


def enveloped(body: Any) -> None:
    wanted = {"data"} if body["success"] else {"details"}
    assert body.keys() == {"success", "message", "error_code"} | wanted
    assert body["message"]
    assert PASSWORD not in str(body)
