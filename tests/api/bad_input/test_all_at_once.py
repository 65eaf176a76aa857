"""Every bad field is named at once: the table is made of the routes, so a new one is in it."""

from typing import Any, get_args, get_origin, get_type_hints
from uuid import uuid4

import pytest
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

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
