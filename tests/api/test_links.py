"""The links of the document lead somewhere: each id is there, each operation takes it."""

from typing import Any

import pytest

from api.app import bare_application
from api.openapi import described
from api.openapi_links import FIELDS, IDS

DOCUMENT = described(bare_application())
OPERATIONS = {
    operation["operationId"]: operation
    for methods in DOCUMENT["paths"].values()
    for operation in methods.values()
}
LINKS = [
    (source, target, link)
    for source, operation in OPERATIONS.items()
    for target, link in operation["responses"]["200"].get("links", {}).items()
]
EXPRESSION = "$response.body#"


def resolved(schema: Any) -> Any:
    while "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def in_answer(operation: str, expression: str) -> Any:
    """The schema of what an expression finds in an answer."""
    success = OPERATIONS[operation]["responses"]["200"]["content"]["application/json"]
    schema = resolved(success["schema"])
    for part in expression.removeprefix(f"{EXPRESSION}/").split("/"):
        inside = schema["items"] if part.isdigit() else schema["properties"][part]
        schema = resolved(inside)
    return schema


def test_every_operation_that_makes_something_links_to_what_can_be_done_with_it() -> None:
    assert IDS.keys() | FIELDS.keys() <= OPERATIONS.keys()
    assert len(LINKS) >= 60
    on_one_thing = {
        operation["operationId"]
        for path, methods in DOCUMENT["paths"].items()
        for operation in methods.values()
        if any(f"{{{name}}}" in path for name in ("task_id", "server_id", "code_id", "user_id"))
    }
    linked = {target for _, target, _ in LINKS}
    assert on_one_thing - linked == {"artifacts_read_artifact"}  # few tasks leave a file


@pytest.mark.parametrize(("source", "target", "link"), LINKS)
def test_a_link_takes_an_id_of_an_answer_to_where_it_belongs(
    source: str, target: str, link: dict[str, Any]
) -> None:
    assert link["operationId"] == target
    operation = OPERATIONS[target]
    places = {each["name"]: each["schema"] for each in operation["parameters"]}
    for name, expression in link.get("parameters", {}).items():
        assert in_answer(source, expression)["format"] == places[name]["format"] == "uuid"
    if fields := link.get("requestBody"):
        body = operation["requestBody"]["content"]["application/json"]["schema"]
        for name, expression in fields.items():
            assert in_answer(source, expression)["type"] == "string"
            assert resolved(body)["properties"][name]["type"] == "string"
