"""Whether the process lives, and whether it can serve. Outside ``/api``, without a token.

NATS is shown and not required: without it requests are served all the same, and tasks wait.
"""

from __future__ import annotations

import asyncio
from typing import Final, Literal

from litestar import Router, get
from litestar.di import NamedDependency
from msgspec import Struct

from api.envelope import Envelope
from api.exchange import Exchange
from api.policy import PUBLIC
from api.readiness import read_model_standing
from api.rejection import Rejection
from domain.ports import OutOfReach

LAG_MAX: Final = 10_000
"""Events; further behind than this the read models would show too old a picture."""
_PROBE_S: Final = 1.0


class Liveness(Struct, kw_only=True):
    """The process answers."""

    status: Literal["live"] = "live"


class Readiness(Struct, kw_only=True):
    """How the process is able to serve.

    ``read_model_lag`` counts the events that the slowest read model has yet to fold;
    ``stopped_read_models`` met an event that they cannot fold, and show what was before it;
    ``outdated_read_models`` hold rows by other folds than this version's, and stand still
    until they are built anew.
    """

    status: Literal["ready"] = "ready"
    postgres: Literal["up"] = "up"
    nats: Literal["up", "down"]
    read_model_lag: int
    stopped_read_models: list[str]
    outdated_read_models: list[str]


@get("/live", opt=PUBLIC)
async def live(exchange: NamedDependency[Exchange]) -> Envelope[Liveness]:
    """存活检查: the process answers."""
    return exchange.reply(Liveness())


@get("/ready", opt=PUBLIC)
async def ready(exchange: NamedDependency[Exchange]) -> Envelope[Readiness]:
    """就绪检查: Postgres answers and the read models keep up; else 503."""
    nats: Literal["up", "down"] = "up" if exchange.platform.broker_connected() else "down"
    try:
        async with asyncio.timeout(_PROBE_S), exchange.reading() as connection:
            standing = await read_model_standing(connection)
    except (OutOfReach, TimeoutError):
        raise _unready(postgres="down", nats=nats) from None
    if standing.behind > LAG_MAX and not standing.stopped:
        raise _unready(postgres="up", nats=nats, read_model_lag=standing.behind)
    return exchange.reply(
        Readiness(
            nats=nats,
            read_model_lag=standing.behind,
            stopped_read_models=list(standing.stopped),
            outdated_read_models=list(standing.outdated),
        )
    )


def _unready(**details: str | int) -> Rejection:
    return Rejection("SERVER_UNAVAILABLE", details=details, headers={"Retry-After": "1"})


ROUTER = Router(path="/health", route_handlers=[live, ready], tags=["健康 Health"])
