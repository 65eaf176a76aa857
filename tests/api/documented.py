"""Whether an answer that a test has provoked is one that the document describes."""

from functools import cache
from typing import Any

import httpx
import schemathesis
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.app import bare_application
from api.openapi import described

_CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


@cache
def _schema() -> Any:
    return schemathesis.openapi.from_dict(described(bare_application()))


def as_documented(answer: httpx.Response, operation: str) -> None:
    """Its status, headers and body are those of the operation: a method and its path."""
    method, path = operation.split()
    parts = zip(path.split("/"), answer.url.path.split("/"), strict=True)
    ids = {name[1:-1]: given for name, given in parts if name[:1] == "{"}
    case = _schema()[path][method].Case(path_parameters=ids)
    case.validate_response(answer, checks=_CHECKS)
