"""A Postman collection made of the OpenAPI document: every request, ready to be sent.

Log in first: the answer's token, and the ids of what is made, are kept in variables for the
requests that follow. Format: Postman Collection v2.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from api.openapi_schemas import example_of, simple_example_of

Json = dict[str, Any]

SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
ORIGIN: Final = "http://localhost:8000"
LOGIN: Final = {"email": "admin@example.com", "password": "admin123"}
"""The admin of the ``dev`` profile, as in the published contract's own collection."""
SUCCESS: Final = "pm.test('success', () => pm.expect(pm.response.code).to.eql(200));"
DONE_OR_TOO_LATE: Final = (
    "pm.test('done', () => pm.expect(pm.response.code).to.be.oneOf([200, 409]));"
)
OVERTAKEN: Final = frozenset({"tasks_cancel", "tasks_retry", "tasks_remove"})
"""The farm goes on between two requests: the task has begun or ended, and come too late."""
KEPT: Final[dict[str, Mapping[str, str]]] = {
    "auth_login": {
        "token": "data.access_token",
        "user_id": "data.user.id",
        "entity_id": "data.user.id",
        "account": "data.user.id",
    },
    "users_change_own_password": {"token": "data.access_token"},
    "tasks_submit": {"task_id": "data.id"},
    "recharge_issue": {"code": "data.codes[0].code", "code_id": "data.codes[1].id"},
    "audit_list_events": {
        "event": "data.items[0].position",
        "stream_id": "data.items[0].stream",
        "version": "data.items[0].version",
    },
    "fleet_register": {
        "server_id": "data.id",
        "enrolment_token": "data.enrolment_token",
    },
}
"""By operation: which variables its answer fills."""
FIRST: Final = (
    *("auth_login", "auth_register"),
    *("admin_change_user", "recharge_issue", "recharge_redeem", "tasks_submit"),
    *("tasks_list_tasks", "tasks_read_task", "tasks_cancel"),
    *("tasks_retry", "tasks_remove", "fleet_register"),
)
"""In this order: what comes later needs what these have made. Then all others as they stand."""
LAST: Final = ("recharge_reveal", "recharge_revoke", "fleet_remove")
BY_HAND: Final = frozenset(
    {
        *("users_change_own_password", "fleet_enrol", "artifacts_read_artifact"),
        *("logs_read_task_log", "projections_act", "projections_rebuild"),
        *("projections_rebuild_several", "projections_looks_diff"),
        *("audit_log_read_checkpoint", "audit_log_read_tile"),
        *("audit_signed_read_receipt", "audit_signed_read_receipt_by_id"),
        *("audit_log_read_inclusion", "audit_log_read_consistency"),
        "audit_whole_export_bundle",
    }
)
"""Not expected to succeed in a row: they end the token, or need an agent, a file,
a signed log, a task that was not deleted."""
QUERIES: Final[dict[str, Mapping[str, str]]] = {
    "audit_follow_events": {"max_seconds": "2"},
    "projections_looks_watch": {"max_seconds": "2"},
}
"""By operation: what to ask as well, for else it goes on as long as somebody listens."""
BODIES: Final[dict[str, Json]] = {
    "auth_register": {
        "email": "user-{{$timestamp}}@example.com",
        "username": "user-{{$timestamp}}",
        "password": "password123",
        "full_name": "新用户",
    },
    "recharge_issue": {
        "amount": 100.0,
        "description": "新用户充值码",
        "batch_size": 10,
        "expires_at": "2099-12-31T23:59:59Z",
        "max_uses": 1,
    },
    "projections_rebuild": {"switching": "manual", "max_load": 0.5, "workers": 1},
    "projections_rebuild_several": {
        "read_models": ["tasks", "users"],
        "switching": "manual",
        "max_load": 0.5,
        "workers": 2,
    },
    "users_change_me": {"full_name": "新的姓名"},
    "auth_login": LOGIN,
    "recharge_redeem": {"code": "{{code}}"},
    "fleet_enrol": {"token": "{{enrolment_token}}", "public_key": "U" + "A" * 55},
    "admin_change_user": {"balance": 200.0},
    "configuration_change_config": {
        "max_concurrent_tasks_per_user": 5,
        "default_task_timeout": 3600,
        "maintenance_mode": False,
    },
}
"""By operation: what to send where the examples of the fields do not make a sensible whole."""


def collection_of(document: Json) -> Json:
    """The collection of an OpenAPI document of ours."""
    found = [
        (operation, _item(path, method.upper(), operation, document["components"]["schemas"]))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    found.sort(key=lambda each: _place(each[0]["operationId"]))
    folders: dict[str, list[Json]] = {}
    for operation, item in found:
        folders.setdefault(operation["tags"][0], []).append(item)
    kept = sorted({name for names in KEPT.values() for name in names})
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "version": document["info"]["version"],
            "schema": SCHEMA,
        },
        "auth": _bearer("{{token}}"),
        "variable": [
            {"key": "origin", "value": ORIGIN},
            {"key": "baseUrl", "value": "{{origin}}/api"},
            {"key": "name", "value": "thumbnail-01.jpg"},
            {"key": "read_model", "value": "tasks"},
            {"key": "act", "value": "verify"},
            {"key": "kind", "value": "user"},
            {"key": "cause", "value": "1"},
            {"key": "level", "value": "0"},
            {"key": "number", "value": "000.p/1"},
            *({"key": name, "value": ""} for name in kept),
        ],
        "item": [{"name": name, "item": items} for name, items in folders.items()],
    }


def _item(path: str, method: str, operation: Json, schemas: Json) -> Json:
    request: Json = {
        "method": method,
        "description": operation["description"],
        "header": [],
        "url": _url(path, operation["parameters"], QUERIES.get(operation["operationId"], {})),
    }
    if not operation["security"]:
        request["auth"] = {"type": "noauth"}
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = BODIES.get(operation["operationId"]) or example_of(schema, schemas)
        text = json.dumps(body, ensure_ascii=False, indent=2)
        request["header"].append({"key": "Content-Type", "value": "application/json"})
        request["body"] = {"mode": "raw", "raw": text}
    name = operation["operationId"]
    expected = DONE_OR_TOO_LATE if name in OVERTAKEN else SUCCESS
    script = [] if name in BY_HAND else [expected, *_keeping(KEPT.get(name, {}))]
    item: Json = {"name": operation["summary"], "request": request}
    return item | ({"event": [_script(*script)]} if script else {})


def _place(name: str) -> int:
    if name in FIRST:
        return FIRST.index(name) - len(FIRST)
    return 1 + LAST.index(name) if name in LAST else 0


def _url(path: str, parameters: list[Json], wanted: Mapping[str, str]) -> Json:
    inside = path.removeprefix("/api/")
    host = "{{origin}}" if inside == path else "{{baseUrl}}"
    parts = [
        f"{{{part}}}" if part.startswith("{") else part for part in inside.strip("/").split("/")
    ]
    query = [
        {
            "key": each["name"],
            "value": wanted.get(each["name"], str(_example(each))),
            "description": each["description"],
            "disabled": not (each["required"] or each["name"] in wanted),
        }
        for each in parameters
        if each["in"] == "query"
    ]
    sent = "&".join(f"{each['key']}={each['value']}" for each in query if not each["disabled"])
    raw = "/".join([host, *parts]) + (f"?{sent}" if sent else "")
    return {"raw": raw, "host": [host], "path": parts} | ({"query": query} if query else {})


def _example(parameter: Json) -> Any:
    if "example" in parameter:
        return parameter["example"]
    return simple_example_of(parameter["schema"])


def _keeping(keeps: Mapping[str, str]) -> Iterator[str]:
    if keeps:
        yield "const answer = pm.response.json();"
    for name, place in keeps.items():
        yield f"pm.collectionVariables.set('{name}', answer.{place});"


def _script(*lines: str) -> Json:
    return {"listen": "test", "script": {"type": "text/javascript", "exec": list(lines)}}


def _bearer(token: str) -> Json:
    return {
        "type": "bearer",
        "bearer": [{"key": "token", "value": token, "type": "string"}],
    }
