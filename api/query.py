"""Query strings and path ids: what Litestar lets pass is refused here, all faults at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, cast
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler, HTTPRouteHandler
from litestar.params import QueryParameter
from msgspec import Meta

from api.exchange import Exchange
from api.messages import Fault
from api.rejection import InvalidRequest, Rejection
from api.validation import Faults, check_of, faults_of_fields, misread_as, unclean_texts

Between: TypeAlias = Callable[[Mapping[str, Any], datetime], Faults]
"""From the good parameters, and the time, to what is wrong with them beside each other."""
READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PARAMETERS_MAX: Final = 50
_BETWEEN: Final = "between"


def between(rule: Between) -> dict[str, Any]:
    """Beside the policy of a route: a rule between its query parameters."""
    return {_BETWEEN: rule}


class Parameter(NamedTuple):
    """A query parameter: what it is to be, and what it is where it is not given."""

    annotation: Any
    has_default: bool
    default: Any


@lru_cache(maxsize=512)
def parameters_of(handler: BaseRouteHandler) -> dict[str, Parameter]:
    """The query parameters that a route knows, as clients call them: ``from`` is no name."""
    annotations = handler.signature_model.__annotations__
    return {
        field.kwarg_definition.name or name: Parameter(
            _with_rule(annotations[name], field.metadata),
            field.has_default,
            field.default if field.has_default else None,
        )
        for name, field in handler.parsed_fn_signature.parameters.items()
        if isinstance(field.kwarg_definition, QueryParameter)
    }


def _with_rule(annotation: Any, metadata: tuple[Any, ...]) -> Any:
    """Litestar makes the annotation anew, and a field's own rule is lost on the way."""
    for item in metadata:
        if isinstance(item, Meta):
            annotation = Annotated[annotation, item]
    return annotation


@lru_cache(maxsize=512)
def _is_ruled(handler: BaseRouteHandler) -> bool:
    """Whether more is asked of its query than msgspec can tell."""
    known = parameters_of(handler).values()
    return _BETWEEN in handler.opt or any(check_of(each.annotation) for each in known)


@lru_cache(maxsize=512)
def _required(handler: BaseRouteHandler) -> frozenset[str]:
    return frozenset(
        name for name, known in parameters_of(handler).items() if not known.has_default
    )


def check_query(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Refuse unknown and repeated parameters and what is not clean text.

    Raises:
        InvalidRequest: naming these, and everything else that is wrong with the query.
    """
    pairs = _pairs(connection.scope["query_string"])
    known = parameters_of(handler)
    names = [name for name, _ in pairs]
    if (
        len(set(names)) == len(names)
        and all(name in known for name in names)
        and not any(True for value in pairs for _ in unclean_texts(value[1], lines=False))
        and not any(_is_null(value, known[name].annotation) for name, value in pairs)
        and not any(misread_as(value, known[name].annotation) for name, value in pairs)
        and not (_is_ruled(handler) and faults_of_query(connection, handler))
    ):
        return
    raise InvalidRequest(faults_of_query(connection, handler))


def faults_of_query(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> Faults:
    """Everything that is wrong with the query string of a request."""
    pairs = _pairs(connection.scope["query_string"])
    known = parameters_of(handler)
    given = dict(pairs)
    faults = faults_of_fields(
        {name: value for name, value in given.items() if name in known},
        {name: parameter.annotation for name, parameter in known.items()},
        required=_required(handler),
        strict=False,
    )
    for name, value in given.items():
        if name in known and name not in faults and _is_null(value, known[name].annotation):
            faults.setdefault(name, []).append(Fault("invalid"))
        if name not in known:
            faults.setdefault(name, []).append(_unknown(known))
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            faults.setdefault(name, []).append(Fault("repeated_parameter"))
        seen.add(name)
    if rule := handler.opt.get(_BETWEEN):
        good = {
            name: msgspec.convert(value, known[name].annotation, strict=False)
            for name, value in given.items()
            if name in known and name not in faults
        }
        now = Exchange.of(connection.scope).platform.clock()
        faults = rule(good, now) | faults
    return faults


def _unknown(known: Iterable[str]) -> Fault:
    taken = ", ".join(sorted(known))
    return Fault("unknown_parameter", {"taken": taken}) if taken else Fault("no_parameters")


def _is_null(value: str, annotation: Any) -> bool:
    """Whether a lax conversion takes the word for no value at all."""
    if value.lower() != "null":
        return False
    try:
        return msgspec.convert(value, annotation, strict=False) is None
    except msgspec.ValidationError:
        return False


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=_PARAMETERS_MAX,
        )
    except ValueError:  # also UnicodeDecodeError
        raise InvalidRequest({"query": [Fault("query_encoding")]}) from None


def check_path(scope: Any) -> None:
    """Refuse ids that are not written in the one canonical form.

    Raises:
        Rejection: such an address names nothing.
    """
    for value in scope["path_params"].values():
        if isinstance(value, UUID) and f"/{value}" not in scope["path"].lower():
            raise Rejection("RESOURCE_NOT_FOUND")


def handler_of(scope: Any) -> HTTPRouteHandler | None:
    """The route that a request was given to, if it got that far."""
    return cast("HTTPRouteHandler | None", scope.get("route_handler"))
