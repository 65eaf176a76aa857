"""Every bad field is named at once: the table is made of the routes, so a new one is in it."""

import ast
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints
from uuid import uuid4

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from api import routes
from api.app import bare_application
from api.query import parameters_of
from tests.api.live import Person, field_errors

ROUTES: dict[str, HTTPRouteHandler] = {
    f"{method} {route.path}": handler
    for route in bare_application().routes
    if isinstance(route, HTTPRoute)
    for handler in route.route_handlers
    for method in handler.http_methods
}
WITH_BODY = [
    route
    for route, handler in ROUTES.items()
    if "data" in handler.parsed_fn_signature.parameters
]
WITH_QUERY = [
    route
    for route, handler in ROUTES.items()
    if route.startswith("GET ") and parameters_of(handler)
]


NO_DAY, NO_YEAR = "2024-02-30T00:00:00Z", "1024-02-03T00:00:00Z"
SOMEBODY = "01890a5d-ac96-774b-bcce-b302099a8057"
NOBODY = f"user:{'-' * 36}"
BACKWARDS = "start_date=2024-02-02&end_date=2024-02-01"
ASKED_OF_WHAT_IS_STORED = {
    "users.change_me",  # a name of an office, which its holder may repeat: judged beside all
    "configuration.change_config",  # what the domain says of the whole: judged beside all
    "audit_whole.export_bundle",  # how many events are signed
    "audit_whole._check_positions",  # how long the log is
    "audit_log.read_inclusion",  # how many events are signed
    "audit_log._within",
    "audit_entities._check_stretch",  # where a time stands in the log
}


def fields_of(handler: HTTPRouteHandler) -> dict[str, Any]:
    """The fields of a route's body, with their annotations."""
    model = handler.parsed_fn_signature.parameters["data"].annotation
    hints = get_type_hints(model)
    return {name: hints[name] for name in model.__struct_fields__}


def of_no_kind(annotation: Any) -> Any:
    """A value that a field of this kind does not take."""
    kinds = {get_origin(part) or part for part in (annotation, *get_args(annotation))}
    return 1 if list in kinds or tuple in kinds else [[]]


def address_of(route: str) -> str:
    """The route with fresh ids in its path."""
    parts = route.split()[1].split("/")
    return "/".join(str(uuid4()) if part.startswith("{") else part for part in parts)


def test_the_routes_are_there() -> None:
    assert len(WITH_BODY) >= 10
    assert len(WITH_QUERY) >= 7


@pytest.mark.parametrize("route", WITH_BODY)
def test_every_bad_field_of_a_body_is_named_with_the_querys(admin: Person, route: str) -> None:
    """C1.07"""
    fields = fields_of(ROUTES[route])
    body = {name: of_no_kind(kind) for name, kind in fields.items()} | {"surplus": 1}
    method = route.split(maxsplit=1)[0]
    headers = {"Idempotency-Key": "not one key"}
    answer = admin.client.request(
        method, f"{address_of(route)}?strange=1", json=body, headers=headers
    )
    named = {"surplus", "strange"} | ({"Idempotency-Key"} if method == "POST" else set())
    assert field_errors(answer).keys() == fields.keys() | named


@pytest.mark.parametrize("route", WITH_QUERY)
def test_every_bad_parameter_of_a_query_is_named(admin: Person, route: str) -> None:
    """C1.07"""
    names = parameters_of(ROUTES[route])
    query = dict.fromkeys(names, "a\x00b") | {"strange": "1"}
    headers = {"Owl-Min-Position": "soon"}
    answer = admin.client.get(address_of(route), params=query, headers=headers)
    assert field_errors(answer).keys() == names.keys() | {"strange", "Owl-Min-Position"}


HANDLERS_OWN: list[tuple[str, dict[str, Any] | None, set[str]]] = [
    ("GET /api/tasks?page=0&sort_by=zz&user_id=xyz", None, {"page", "sort_by", "user_id"}),
    ("POST /api/recharge/redeem", {"code": "bad", "x": 1}, {"code", "x"}),
    ("PUT /api/users/me", {"username": "admin", "full_name": "a\x00"},
     {"username", "full_name"}),
    ("POST /api/admin/projections/rebuilds", {"read_models": ["nope"], "x": 1},
     {"read_models", "x"}),
    (f"GET /api/logs/system?page=0&{BACKWARDS}", None, {"page", "end_date"}),
    ("GET /api/logs/system?page=0&start_date=1999-01-01", None, {"page", "start_date"}),
    (f"GET /api/logs/user-actions?user_id=zz&{BACKWARDS}", None, {"user_id", "end_date"}),
    ("GET /api/logs/download?log_type=tasks&date=bad&level=ERROR", None, {"date", "level"}),
    (f"GET /api/logs/download?log_type=system&format=x&{BACKWARDS}", None,
     {"format", "end_date"}),
    ("GET /api/logs/download?log_type=nope&start_date=2020-01-01", None,
     {"log_type", "end_date"}),
    ("GET /api/logs/download?date=2020-01-01&end_date=2020-01-02", None, {"log_type", "date"}),
    (f"GET /api/audit/events?from={NO_DAY}&to={NO_YEAR}&entity={NOBODY}&limit=0", None,
     {"from", "to", "entity", "limit"}),
    (f"GET /api/audit/events/stream?entity={NOBODY}&max_seconds=0", None,
     {"entity", "max_seconds"}),
    (f"GET /api/audit/diff?from=5&to=3&entity={NOBODY}", None, {"to", "entity"}),
    (f"GET /api/audit/diff?from={NO_DAY}&x=1", None, {"from", "x"}),
    ("GET /api/audit/exports?from=5&to=3&format=zz", None, {"to", "format"}),
    (f"GET /api/audit/log/checkpoints?at={NO_YEAR}&limit=0", None, {"at", "limit"}),
    (f"GET /api/audit/entities/user/{SOMEBODY}?as_of={NO_DAY}&x=1", None, {"as_of", "x"}),
]  # fmt: skip
"""A fault that the schema sees, beside one that is a rule of the route's own."""


@pytest.mark.parametrize(("asked", "body", "named"), HANDLERS_OWN)
def test_a_rule_of_the_route_is_named_beside_the_schemas(
    admin: Person, asked: str, body: dict[str, Any] | None, named: set[str]
) -> None:
    """C1.07"""
    method, address = asked.split(" ")
    assert field_errors(admin.client.request(method, address, json=body)).keys() == named


def test_no_route_judges_a_field_apart_from_the_others() -> None:
    """C1.07: what is left is said by the log or the read models, after all fields are good."""
    raising = {
        f"{path.stem}.{function.name}"
        for path in Path(routes.__file__).parent.glob("*.py")
        for function in ast.walk(ast.parse(path.read_text()))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        and any(
            isinstance(each, ast.Raise) and "InvalidRequest(" in ast.unparse(each)
            for each in ast.walk(function)
        )
    }
    assert raising == ASKED_OF_WHAT_IS_STORED


def test_a_bad_header_is_named_with_what_is_out_of_range_in_the_query(user: Person) -> None:
    """C1.07"""
    headers = {"Owl-Min-Position": "soon"}
    answer = user.client.get("/api/tasks", params={"page": 0}, headers=headers)
    assert field_errors(answer).keys() == {"page", "Owl-Min-Position"}


def test_a_bad_key_is_named_where_there_is_no_body(user: Person) -> None:
    """C1.07"""
    headers = {"Idempotency-Key": ""}
    answer = user.client.post(f"/api/tasks/{uuid4()}/cancel?strange=1", headers=headers)
    assert field_errors(answer).keys() == {"strange", "Idempotency-Key"}
