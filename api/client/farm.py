"""The farm of GPU servers at a glance: asked in one round, shown as one table."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct
from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from api.client.answers import Gpu, Overview, Server, ServerNow, read
from api.client.http import ApiClient
from api.client.wording import BARS, NOTHING, clean, gib, percent, status

AT_ONCE: Final = 8
"""Servers asked at the same time."""
_STALE_S: Final = 30
_METER: Final = 10
_HOT_C: Final = 83
_BUSY_PERCENT: Final = 90
"""From here a bar is red."""


class Farm(Struct, frozen=True, kw_only=True):
    """Answers of the API: the farm, each server, and each server's figures."""

    overview: dict[str, Any]
    servers: list[dict[str, Any]]
    statuses: list[dict[str, Any]]


async def ask_farm(client: ApiClient) -> Farm:
    """How the farm is now."""
    overview, servers = await asyncio.gather(
        client.get("/gpu/cluster/overview"), client.get("/gpu/servers")
    )
    turn = asyncio.Semaphore(AT_ONCE)

    async def ask(server: dict[str, Any]) -> dict[str, Any]:
        async with turn:
            answer: dict[str, Any] = await client.get(f"/gpu/servers/{server['id']}/status")
            return answer

    statuses = await asyncio.gather(*map(ask, servers))
    return Farm(overview=overview, servers=servers, statuses=statuses)


def farm_view(farm: Farm, *, now: datetime) -> RenderableType:
    """Totals, then a line for each server and below it one for each of its GPUs."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("server", no_wrap=True, overflow="ellipsis", max_width=28)
    table.add_column("status", no_wrap=True)
    table.add_column("tasks", justify="right", no_wrap=True)
    table.add_column("load", no_wrap=True)
    table.add_column("memory", justify="right", no_wrap=True)
    table.add_column("heat", justify="right", no_wrap=True)
    table.add_column("power", justify="right", no_wrap=True)
    table.add_column("seen", justify="right", no_wrap=True)
    for raw, raw_status in zip(farm.servers, farm.statuses, strict=True):
        server, figures = read(Server, raw), read(ServerNow, raw_status)
        table.add_row(
            clean(server.name, "bold"),
            status(server.status),
            f"{server.current_tasks}/{server.max_concurrent_tasks}",
            _meter(server.cpu_usage, "cpu"),
            f"{percent(server.memory_usage)} ram",
            "",
            "",
            _age(figures.timestamp or server.last_heartbeat, now),
        )
        for gpu in figures.gpu_usage:
            table.add_row(*_gpu_row(gpu, is_simulated=figures.simulated))
    return Group(_totals(read(Overview, farm.overview)), table)


def _totals(farm: Overview) -> Text:
    return Text.assemble(
        (f"{farm.online_servers}", "bold green"),
        f" of {farm.total_servers} servers online, ",
        (f"{farm.busy_gpus}", "bold cyan"),
        f" of {farm.total_gpus} GPUs busy, {farm.total_running_tasks} tasks run, ",
        (f"{farm.queue_length}", "bold yellow" if farm.queue_length else "bold"),
        f" wait; GPU load {percent(farm.average_gpu_usage)},",
        f" memory {gib(farm.used_memory)} of {gib(farm.total_memory)}",
    )


def _gpu_row(gpu: Gpu, *, is_simulated: bool) -> tuple[RenderableType, ...]:
    heat = NOTHING if gpu.temperature is None else f"{gpu.temperature:.0f} °C"
    is_hot = gpu.temperature is not None and gpu.temperature >= _HOT_C
    simulated = ", simulated" if is_simulated else ""
    state = Text("", "") if gpu.healthy else Text("failed", "red")
    return (
        clean(f"  {gpu.gpu_id}: {gpu.name or 'GPU'}{simulated}"),
        state,
        "",
        _meter(gpu.usage, "gpu"),
        f"{gib(gpu.memory_used)} of {gib(gpu.memory_total)}",
        Text(heat, "red" if is_hot else ""),
        NOTHING if gpu.power is None else f"{gpu.power:.0f} W",
        "",
    )


def _meter(value: float | None, of: str) -> Text:
    if value is None:
        return Text(NOTHING)
    share = min(max(value, 0.0), 100.0) / 100
    whole, rest = divmod(round(share * _METER * len(BARS)), len(BARS))
    bar = BARS[-1] * whole + (BARS[rest - 1] if rest else "")
    style = "red" if value >= _BUSY_PERCENT else "cyan"
    return Text.assemble((f"{bar:<{_METER}}", style), f" {percent(value)} {of}")


def _age(at: datetime | None, now: datetime) -> Text:
    if at is None:
        return Text("never", "dim")
    seconds = max(0.0, (now.astimezone(UTC) - at).total_seconds())
    return Text(f"{seconds:.0f} s ago", "yellow" if seconds > _STALE_S else "dim")
