"""The web application: routes, the gate before them, the door around them.

Written in Litestar's 3.0 style. ``create_app`` opens nothing: the platform comes ready.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.connection import Request
from litestar.di import Provide

from api.body import BODY_BYTES_MAX, Body
from api.desk import open_desk
from api.door import wrap
from api.errors import EXCEPTION_HANDLERS
from api.exchange import Exchange
from api.no_body import refuse_body
from api.openapi import Document
from api.platform import Platform
from api.policy import gate
from api.routes import (
    admin,
    artifacts,
    audit,
    audit_entities,
    audit_log,
    audit_signed,
    audit_whole,
    auth,
    configuration,
    documents,
    fleet,
    gpu,
    health,
    logs,
    metrics,
    projections,
    projections_looks,
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
    audit,
    audit_entities,
    audit_log,
    audit_signed,
    audit_whole,
    projections,
    projections_looks,
)


def create_app(platform: Platform) -> Litestar:
    """The application on a platform."""
    app = bare_application(platform.config.cross_origins)
    desk = open_desk(platform)
    app.state.tails = desk.tails
    app.state.long_looks = desk.long_looks
    wrap(app, desk)
    return app


def bare_application(cross_origins: Sequence[str] = ()) -> Litestar:
    """The routes with nothing behind them yet: enough to describe them."""
    app = Litestar(
        route_handlers=[
            Router(path="/api", route_handlers=[chapter.ROUTER for chapter in _CHAPTERS]),
            health.ROUTER,
            documents.ROUTER,
            metrics.ROUTER,
        ],
        guards=[gate],
        before_request=refuse_body,
        dependencies={
            "exchange": Provide(_exchange, sync_to_thread=False),
            "document": Provide(lambda: document, sync_to_thread=False),
        },
        dto=Body,
        return_dto=None,
        exception_handlers=EXCEPTION_HANDLERS,
        request_max_body_size=BODY_BYTES_MAX,
        cors_config=CORSConfig(allow_origins=list(cross_origins)) if cross_origins else None,
        openapi_config=None,
        logging_config=None,
    )
    document = Document(app)
    return app


def _exchange(request: Request[Any, Any, Any]) -> Exchange:
    return Exchange.of(request.scope)
