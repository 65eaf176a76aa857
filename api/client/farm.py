"""The farm of GPU servers at a glance: asked in one round, shown as one table."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any, Final

from msgspec import Struct
from rich.console import Group, RenderableType
from rich.text import Text

from api.client.answers import Gpu, Overview, Server, ServerNow, read
from api.client.http import ApiClient, ApiRefused
from api.client.wording import BARS, NOTHING, clipped, listing, status

AT_ONCE: Final = 8
"""Servers asked at the same time."""
_STALE_S: Final = 30
_METER: Final = 8
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


async def server_name(client: ApiClient, server_id: str | None) -> str:
    """What people call a server; its id where it is not there any more, or none was given."""
    if server_id is None:
        return ""
    try:
        name: str = (await client.get(f"/gpu/servers/{server_id}"))["name"]
    except ApiRefused:
        return server_id
    return name


def farm_view(farm: Farm, *, now: datetime) -> RenderableType:
    """Totals, then a line for each server and below it one for each of its GPUs."""
    figures_of_it = ("memory", "heat", "power", "seen")
    table = listing(
        *("server", "status", "tasks", "load", *figures_of_it),
        right=("tasks", *figures_of_it),
        narrow=("server",),
    )
    for raw, raw_status in zip(farm.servers, farm.statuses, strict=True):
        server, figures = read(Server, raw), read(ServerNow, raw_status)
        table.add_row(
            clipped(server.name, "bold"),
            status(server.status),
            f"{server.current_tasks}/{server.max_concurrent_tasks}",
            _meter(server.cpu_usage, "cpu"),
            _share(server.memory_usage),
            "",
            "",
            _age(figures.timestamp or server.last_heartbeat, now),
        )
        for gpu in figures.gpu_usage:
            table.add_row(*_gpu_row(gpu, is_simulated=figures.simulated))
    return Group(_totals(read(Overview, farm.overview)), Text(), table)


def _totals(farm: Overview) -> Text:
    load, memory = _share(farm.average_gpu_usage), _pair(farm.used_memory, farm.total_memory)
    gpus: tuple[Any, ...] = ("no GPU: tasks use the processor\n",)
    if farm.total_gpus:
        busy = f"{farm.busy_gpus}/{farm.total_gpus}"
        gpus = ((busy, "bold cyan"), f" GPUs busy at {load}, {memory} used\n")
    return Text.assemble(
        (f"{farm.online_servers}/{farm.total_servers}", "bold green"),
        " servers online, ",
        *gpus,
        (f"{farm.total_running_tasks}", "bold cyan"),
        " tasks run, ",
        (f"{farm.queue_length}", "bold yellow" if farm.queue_length else "bold"),
        " wait",
    )


def _gpu_row(gpu: Gpu, *, is_simulated: bool) -> tuple[RenderableType, ...]:
    heat = NOTHING if gpu.temperature is None else f"{gpu.temperature:.0f} °C"
    is_hot = gpu.temperature is not None and gpu.temperature >= _HOT_C
    state = Text("simulated", "magenta") if is_simulated else Text()
    if not gpu.healthy:
        state = Text("failed", "red")
    return (
        clipped(f"  {gpu.gpu_id}: {gpu.name or 'GPU'}"),
        state,
        "",
        _meter(gpu.usage, "gpu"),
        _pair(gpu.memory_used, gpu.memory_total),
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
    return Text.assemble((f"{bar:<{_METER}}", style), f" {value:3.0f} % {of}")


def _share(value: float | None) -> str:
    return NOTHING if value is None else f"{value:.0f} %"


def _pair(used: float | None, total: float | None) -> str:
    return NOTHING if used is None or total is None else f"{used:.1f}/{total:.1f} GiB"


def _age(at: datetime | None, now: datetime) -> Text:
    if at is None:
        return Text("never", "dim")
    seconds = max(0.0, (now.astimezone(UTC) - at).total_seconds())
    return Text(f"{seconds:.0f} s", "yellow" if seconds > _STALE_S else "dim")
