"""The web application: routes, the gate before them, the door around them.

Written in Litestar's 3.0 style. ``create_app`` opens nothing: the platform comes ready.
"""

from __future__ import annotations

from typing import Any

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.connection import Request
from litestar.di import Provide
from litestar.openapi import OpenAPIConfig

from api.body import BODY_BYTES_MAX, Body
from api.desk import open_desk
from api.door import wrap
from api.errors import EXCEPTION_HANDLERS
from api.exchange import Exchange
from api.openapi import Document
from api.platform import Platform
from api.policy import gate
from api.routes import (
    admin,
    artifacts,
    auth,
    configuration,
    documents,
    fleet,
    gpu,
    health,
    logs,
    recharge,
    tasks,
    users,
)

_CHAPTERS = (
    auth,
    users,
    tasks,
    artifacts,
    gpu,
    fleet,
    recharge,
    admin,
    configuration,
    logs,
)


def create_app(platform: Platform) -> Litestar:
    """The application on a platform."""
    app = _application(platform, None)
    wrap(app, open_desk(platform))
    return app


def _application(platform: Platform, openapi: OpenAPIConfig | None) -> Litestar:
    origins = platform.config.cross_origins
    document = Document(lambda described: _application(platform, described))
    return Litestar(
        route_handlers=[
            Router(path="/api", route_handlers=[chapter.ROUTER for chapter in _CHAPTERS]),
            health.ROUTER,
            documents.ROUTER,
        ],
        guards=[gate],
        dependencies={
            "exchange": Provide(_exchange, sync_to_thread=False),
            "document": Provide(lambda: document, sync_to_thread=False),
        },
        dto=Body,
        return_dto=None,
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=BODY_BYTES_MAX,
        cors_config=CORSConfig(allow_origins=list(origins)) if origins else None,
        openapi_config=openapi,
        logging_config=None,
    )


def _exchange(request: Request[Any, Any, Any]) -> Exchange:
    return Exchange.of(request.scope)
