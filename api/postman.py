"""A Postman collection made of the OpenAPI document: every request, ready to be sent.

Log in first: the answer's token, and the ids of what is made, are kept in variables for the
requests that follow. Format: Postman Collection v2.1.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

Json = dict[str, Any]

SCHEMA: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
ORIGIN: Final = "http://localhost:8000"
LOGIN: Final = {"email": "admin@example.com", "password": "admin123"}
"""The admin of the ``dev`` profile, as in the published contract's own collection."""
SUCCESS: Final = "pm.test('success', () => pm.expect(pm.response.code).to.eql(200));"
KEPT: Final[dict[str, Mapping[str, str]]] = {
    "auth_login": {"token": "data.access_token", "user_id": "data.user.id"},
    "users_change_own_password": {"token": "data.access_token"},
    "tasks_submit": {"task_id": "data.id"},
    "recharge_issue": {"code_id": "data.codes[0].id", "code": "data.codes[0].code"},
    "fleet_register": {
        "server_id": "data.id",
        "enrolment_token": "data.enrolment_token",
    },
}
"""By operation: which variables its answer fills."""
BODIES: Final[dict[str, Json]] = {
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
    folders: dict[str, list[Json]] = {tag["name"]: [] for tag in document["tags"]}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            item = _item(path, method.upper(), operation, document["components"]["schemas"])
            folders[operation["tags"][0]].append(item)
    kept = sorted({name for names in KEPT.values() for name in names})
    return {
        "info": {
            "name": document["info"]["title"],
            "description": document["info"]["description"],
            "version": document["info"]["version"],
            "schema": SCHEMA,
        },
        "auth": _bearer("{{token}}"),
        "event": [
            _script("pm.test('success', () => pm.expect(pm.response.code).to.eql(200));")
        ],
        "variable": [
            {"key": "origin", "value": ORIGIN},
            {"key": "baseUrl", "value": "{{origin}}/api"},
            *({"key": name, "value": ""} for name in kept),
        ],
        "item": [{"name": name, "item": items} for name, items in folders.items()],
    }


def _item(path: str, method: str, operation: Json, schemas: Json) -> Json:
    request: Json = {
        "method": method,
        "description": operation["description"],
        "header": [],
        "url": _url(path, operation["parameters"]),
    }
    if not operation["security"]:
        request["auth"] = {"type": "noauth"}
    if "requestBody" in operation:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        body = BODIES.get(operation["operationId"]) or example_of(schema, schemas)
        text = json.dumps(body, ensure_ascii=False, indent=2)
        request["header"].append({"key": "Content-Type", "value": "application/json"})
        request["body"] = {"mode": "raw", "raw": text}
    item: Json = {"name": operation["summary"], "request": request}
    if keeps := KEPT.get(operation["operationId"]):
        item["event"] = [_script(*_keeping(keeps))]
    return item


def _url(path: str, parameters: list[Json]) -> Json:
    inside = path.removeprefix("/api/")
    host = "{{origin}}" if inside == path else "{{baseUrl}}"
    parts = [
        f"{{{part}}}" if part.startswith("{") else part for part in inside.strip("/").split("/")
    ]
    query = [
        {
            "key": each["name"],
            "value": str(_example(each)),
            "description": each["description"],
            "disabled": not each["required"],
        }
        for each in parameters
        if each["in"] == "query"
    ]
    sent = "&".join(f"{each['key']}={each['value']}" for each in query if not each["disabled"])
    raw = "/".join([host, *parts]) + (f"?{sent}" if sent else "")
    return {"raw": raw, "host": [host], "path": parts} | ({"query": query} if query else {})


def example_of(schema: Json, schemas: Json) -> Any:
    """A value that the schema describes, made of the examples of its fields."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "examples" in schema:
        return schema["examples"][0]
    if "properties" in schema:
        return {
            name: example_of(each, schemas)
            for name, each in schema["properties"].items()
            if name in schema["required"] or "examples" in each
        }
    if "items" in schema:
        return [example_of(schema["items"], schemas)]
    return _example({"schema": schema})


def _example(parameter: Json) -> Any:
    schema = parameter["schema"]
    if "example" in parameter:
        return parameter["example"]
    return schema.get("default", schema.get("const", schema.get("enum", [True])[0]))


def _keeping(keeps: Mapping[str, str]) -> Iterator[str]:
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
