"""What describes the API: complete, true to the routes, and shown without any other server."""

import hashlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from api import docs
from api.app import bare_application
from api.errors import STATUSES
from api.field_texts import FIELDS, HEADERS, TAGS
from api.openapi import described, operations_of
from api.openapi_schemas import example_of
from api.postman import (
    BODIES,
    BY_HAND,
    FIRST,
    KEPT,
    LAST,
    OVERTAKEN,
    QUERIES,
    collection_of,
)
from api.registration import ensure_dev_admin
from tests.api.live import LiveApi, refused
from tests.api.published import published
from tests.seed.document import exchanges

DOCUMENT = described(bare_application())
SCHEMAS = DOCUMENT["components"]["schemas"]
FOLDER = Path(docs.__file__).parent
CHINESE = re.compile("[\u4e00-\u9fff]")


def operations() -> Iterator[tuple[str, Any]]:
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_what_is_published_is_what_the_routes_are() -> None:
    for path, text in published().items():
        again = "python -m tests.api.published"
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is stale: {again}"


def test_the_document_is_served(api: LiveApi) -> None:
    with api.client() as client:
        answer = client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == DOCUMENT


@pytest.mark.parametrize("path", ["/docs", "/metrics", "/openapi.json"])
def test_a_content_type_names_its_charset_once_at_most(api: LiveApi, path: str) -> None:
    with api.client() as client:
        answer = client.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].count("charset") <= 1


def test_every_printed_request_is_described() -> None:
    described_here = {
        (operation.split()[0], re.sub(r"\{\w+\}", "{}", operation.split()[1]))
        for operation, _ in operations()
    }
    printed = {
        (each.request.method, re.sub(r"\{\w+\}", "{}", each.request.path.partition("?")[0]))
        for each in exchanges()
    }
    assert len(printed) == 29
    assert printed <= described_here


def test_every_field_says_what_it_is_and_how_it_looks() -> None:
    silent = []
    for name, schema in SCHEMAS.items():
        for field, each in schema.get("properties", {}).items():
            if not each.get("description"):
                silent.append(f"{name}.{field}: no description")
            if not each.get("examples"):
                silent.append(f"{name}.{field}: no example")
    assert silent == []


def test_every_field_and_every_parameter_is_described_in_chinese() -> None:
    told = {
        f"{name}.{field}": each["description"]
        for name, schema in SCHEMAS.items()
        for field, each in schema.get("properties", {}).items()
    } | {
        f"{operation} {each['name']}": each["description"]
        for operation, operated in operations()
        for each in operated["parameters"]
    }
    assert [where for where, text in told.items() if not CHINESE.search(text)] == []


def test_every_success_is_a_200() -> None:
    """As the published client checks; part of a file, which one asks for by Range, is a 206."""
    answered = {each.handler.status_code for each in operations_of(bare_application())}
    assert answered == {200}
    for operation, each in operations():
        found = {status for status in each["responses"] if status < "400"}
        in_parts = any(part["name"] == "Range" for part in each["parameters"])
        assert found == ({"200", "206"} if in_parts else {"200"}), operation


def test_every_parameter_says_what_it_is_and_how_it_looks() -> None:
    for operation, each in operations():
        for parameter in each["parameters"]:
            assert parameter["description"], (operation, parameter["name"])
            schema = parameter["schema"]
            shows = "example" in parameter or {"enum", "default"} & schema.keys()
            assert shows or schema["type"] == "boolean", (operation, parameter["name"])


def test_every_operation_has_a_name_of_its_own_and_words_in_both_languages() -> None:
    names = [each["operationId"] for _, each in operations()]
    assert len(set(names)) == len(names)
    for operation, each in operations():
        assert each["summary"], operation
        assert each["description"], operation
        assert each["tags"][0] in TAGS
        assert re.search(r"[\u4e00-\u9fff]", each["summary"]), operation


def test_no_text_is_kept_of_a_field_that_is_gone() -> None:
    fields = {
        name: {f"{name}.{field}" for field in schema.get("properties", {})}
        | set(schema.get("properties", {}))
        for name, schema in SCHEMAS.items()
    }
    places = set().union(*fields.values())
    for _, each in operations():
        places |= {f"{part['in']}.{part['name']}" for part in each["parameters"]}
    assert [name for name in FIELDS if name not in places] == []
    headers = {
        part["name"]
        for _, each in operations()
        for part in each["parameters"]
        if part["in"] == "header"
    }
    assert headers == HEADERS.keys()


def test_examples_fit_the_schemas_they_stand_in() -> None:
    for name, schema in SCHEMAS.items():
        example = example_of(schema, SCHEMAS)
        whole = schema | {"components": DOCUMENT["components"]}
        errors = [str(error.message) for error in jsonschema_rs.iter_errors(whole, example)]
        assert [error for error in errors if "required property" not in error] == [], name


def test_a_failure_is_documented_under_the_status_of_its_code() -> None:
    for operation, each in operations():
        assert {"500", "503"} <= each["responses"].keys(), operation
        for status, response in each["responses"].items():
            examples = response["content"].get("application/json", {}).get("examples", {})
            assert all(STATUSES[code] == int(status) for code in examples), operation


def test_what_takes_a_token_says_so() -> None:
    public = {operation for operation, each in operations() if not each["security"]}
    assert public == {
        "POST /api/auth/register",
        "POST /api/auth/login",
        "POST /api/gpu/servers/enroll",
        "GET /health/live",
        "GET /health/ready",
    }


# ── the pages ────────────────────────────────────────────────────────────────────────────


def test_the_pages_ask_no_other_server(api: LiveApi) -> None:
    with api.client() as client:
        page = client.get("/docs")
        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        policy = page.headers["content-security-policy"]
        assert "http" not in policy
        assert "'unsafe-eval'" not in policy
        assert "script-src 'self';" in policy
        used = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert {name.removeprefix("docs/") for name in used} == docs.MEDIA_TYPES.keys()
        for name in used:
            file = client.get(f"/{name}")
            assert file.status_code == 200
            kind = file.headers["content-type"].partition(";")[0]
            assert kind == docs.MEDIA_TYPES[name.removeprefix("docs/")]
            assert file.headers["x-content-type-options"] == "nosniff"
        for name in ("VENDOR.toml", "__init__.py", "..%2fapp.py", "%00", "index.html"):
            refused(client.get(f"/docs/{name}"), 404, "RESOURCE_NOT_FOUND")
    assert "//" not in page.text.replace("<!doctype html>", "")


def test_what_is_not_ours_is_as_its_package_had_it() -> None:
    vendor = tomllib.loads((FOLDER / "VENDOR.toml").read_text(encoding="utf-8"))
    assert vendor["licence"] == "Apache-2.0"
    for name, digest in vendor["files_sha512"].items():
        assert hashlib.sha512((FOLDER / name).read_bytes()).hexdigest() == digest, name
    ours = {"__init__.py", "VENDOR.toml", "index.html", "start.js"}
    there = {path.name for path in FOLDER.iterdir() if path.is_file()}
    assert there == ours | vendor["files_sha512"].keys()


# ── the collection ───────────────────────────────────────────────────────────────────────


def requests() -> list[Any]:
    return [item for folder in collection_of(DOCUMENT)["item"] for item in folder["item"]]


def test_the_collection_has_every_operation() -> None:
    assert len(requests()) == len(list(operations()))
    names = {each["operationId"] for _, each in operations()}
    listed = {*FIRST, *LAST, *BY_HAND, *OVERTAKEN}
    assert KEPT.keys() | BODIES.keys() | QUERIES.keys() | listed <= names
    by_hand = {
        f"{chapter}_{handler.fn.__name__}"
        for chapter, handler in (
            (each.handler.fn.__module__.rpartition(".")[2], each.handler)
            for each in operations_of(bare_application())
        )
    }
    assert names == by_hand


def test_the_collection_runs_from_its_first_request_to_its_last(fresh_api: LiveApi) -> None:
    """As a runner does it: variables are filled in, and kept from the answers."""
    fresh_api.call(ensure_dev_admin(fresh_api.platform))
    own = {each["key"]: each["value"] for each in collection_of(DOCUMENT)["variable"]}
    variables = own | {
        "origin": fresh_api.url,
        "baseUrl": f"{fresh_api.url}/api",
        "token": "",
        "$timestamp": "1700000000",
    }

    def filled(text: str) -> str:
        return re.sub(r"\{\{([$\w]+)\}\}", lambda found: variables[found[1]], text)

    for item in requests():
        if "event" not in item:
            continue  # needs more than what the others make
        request = item["request"]
        headers = {each["key"]: each["value"] for each in request["header"]}
        with fresh_api.client(variables["token"], **headers) as client:
            answer = client.request(
                request["method"],
                filled(request["url"]["raw"]),
                content=filled(request["body"]["raw"]) if "body" in request else None,
            )
        assert answer.status_code == 200, (item["name"], answer.text)
        for line in item["event"][0]["script"]["exec"]:
            if kept := re.match(
                r"pm\.collectionVariables\.set\('(\w+)', answer\.(.+)\);", line
            ):
                variables[kept[1]] = found_in(answer.json(), kept[2])


def found_in(value: Any, place: str) -> str:
    for part in re.findall(r"\w+", place):
        value = value[int(part) if part.isdigit() else part]
    return str(value)
