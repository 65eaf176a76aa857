"""The description of this API, for programs and people, outside ``/api``, without a token."""

from __future__ import annotations

from litestar import Response, Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from api.docs import CONTENT_SECURITY_POLICY, MEDIA_TYPES, PAGE, content_of
from api.openapi import Document
from api.policy import PUBLIC
from domain.errors import NotFound

_CACHED = {"Cache-Control": "public, max-age=3600"}


@get("/openapi.json", opt=PUBLIC, include_in_schema=False)
async def read_openapi(document: NamedDependency[Document]) -> Response[bytes]:
    """Give the whole API as an OpenAPI 3.1 document."""
    return Response(document.json(), media_type="application/json")


@get("/docs", opt=PUBLIC, include_in_schema=False)
async def read_docs() -> Response[bytes]:
    """Show the document as a page to try things on."""
    headers = {"Content-Security-Policy": CONTENT_SECURITY_POLICY}
    return Response(content_of(PAGE), media_type="text/html", headers=headers)


@get("/docs/{name:str}", opt=PUBLIC, include_in_schema=False)
async def read_docs_file(name: FromPath[str]) -> Response[bytes]:
    """Give a file that the page needs."""
    if name not in MEDIA_TYPES:
        raise NotFound
    return Response(content_of(name), media_type=MEDIA_TYPES[name], headers=_CACHED)


ROUTER = Router(path="/", route_handlers=[read_openapi, read_docs, read_docs_file])
