"""The farm as anybody signed in may see it. Source: the published contract, GPU监控API.

Users see no server's host name, no agent's version, and of what runs there their own tasks.
"""

from __future__ import annotations

from uuid import UUID

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath

from api.envelope import Envelope
from api.exchange import Exchange
from api.gpu_shapes import (
    ClusterItem,
    ServerItem,
    ServerStatusItem,
    cluster_of,
    server_of,
    server_status_of,
)
from api.policy import ANYONE
from domain.errors import NotFound
from projections.gpu_cluster import cluster_overview, server_by_id, server_now, servers


@get("/servers", opt=ANYONE)
async def list_servers(exchange: NamedDependency[Exchange]) -> Envelope[list[ServerItem]]:
    """获取GPU服务器列表: every server of the farm."""
    async with exchange.reading() as connection:
        found = await servers(connection, now=exchange.platform.clock())
    is_whole = _sees_all(exchange)
    return exchange.reply([server_of(server, is_whole=is_whole) for server in found])


@get("/servers/{server_id:uuid}", opt=ANYONE)
async def read_server(
    server_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[ServerItem]:
    """获取GPU服务器详情: one server."""
    async with exchange.reading() as connection:
        found = await server_by_id(connection, server_id, now=exchange.platform.clock())
    if found is None:
        raise NotFound
    return exchange.reply(server_of(found, is_whole=_sees_all(exchange)))


@get("/servers/{server_id:uuid}/status", opt=ANYONE)
async def read_server_status(
    server_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[ServerStatusItem]:
    """获取GPU服务器实时状态: one server's newest figures; ``timestamp`` says from when."""
    async with exchange.reading() as connection:
        found = await server_now(
            connection,
            server_id,
            user_id=exchange.user.may_read_of,
            now=exchange.platform.clock(),
        )
    if found is None:
        raise NotFound
    return exchange.reply(server_status_of(found))


@get("/cluster/overview", opt=ANYONE)
async def read_cluster(exchange: NamedDependency[Exchange]) -> Envelope[ClusterItem]:
    """获取GPU集群概览: the farm at a glance."""
    async with exchange.reading() as connection:
        found = await cluster_overview(connection, now=exchange.platform.clock())
    return exchange.reply(cluster_of(found))


def _sees_all(exchange: Exchange) -> bool:
    """Whether they may know where the farm stands in the network, and what it runs on."""
    return exchange.user.may_read_of is None


ROUTER = Router(
    path="/gpu",
    route_handlers=[list_servers, read_server, read_server_status, read_cluster],
    tags=["GPU 监控 GPU farm"],
)
