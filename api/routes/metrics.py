"""The figures that a monitoring system scrapes. Outside ``/api``, without a token."""

from __future__ import annotations

import asyncio
from typing import Final

from litestar import Response, Router, get
from litestar.di import NamedDependency

from api.exchange import Exchange
from api.metrics import MEDIA_TYPE, Picture
from api.policy import PUBLIC
from api.readiness import read_model_standing
from domain.ports import OutOfReach
from projections.gpu_cluster import cluster_overview

_PROBE_S: Final = 1.0


@get("/metrics", opt=PUBLIC, include_in_schema=False)
async def read_metrics(exchange: NamedDependency[Exchange]) -> Response[bytes]:
    """Give them in Prometheus' text format, also while the database is out of reach."""
    text = exchange.desk.metrics.text(await _picture(exchange))
    return Response(text, media_type=MEDIA_TYPE)


async def _picture(exchange: Exchange) -> Picture | None:
    try:
        async with asyncio.timeout(_PROBE_S), exchange.reading() as connection:
            standing = await read_model_standing(connection)
            farm = await cluster_overview(connection, now=exchange.platform.clock())
    except (OutOfReach, TimeoutError):
        return None
    return Picture(
        read_model_lag=standing.behind,
        stopped_read_models=len(standing.stopped),
        outdated_read_models=len(standing.outdated),
        unsigned_events=standing.unsigned,
        queue_length=farm.queue_length,
        running_tasks=farm.total_running_tasks,
        online_servers=farm.online_servers,
        busy_gpus=farm.busy_gpus,
        idle_gpus=farm.idle_gpus,
    )


ROUTER = Router(path="/", route_handlers=[read_metrics])
