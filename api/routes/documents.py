"""The machine-readable description of this API, outside ``/api`` and without a token."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.di import NamedDependency

from api.openapi import Document
from api.policy import PUBLIC


@get("/openapi.json", opt=PUBLIC, include_in_schema=False)
async def read_openapi(document: NamedDependency[Document]) -> Response[bytes]:
    """Give the whole API as an OpenAPI 3.1 document."""
    return Response(document.json(), media_type="application/json")


ROUTER = Router(path="/", route_handlers=[read_openapi])
