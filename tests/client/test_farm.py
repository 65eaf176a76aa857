"""The farm at a glance, on a narrow terminal."""

import re
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from api.client.answers import Page, Task
from api.client.farm import Farm, farm_view
from api.client.show import task_table

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
OVERVIEW = {
    "total_servers": 2,
    "online_servers": 1,
    "total_gpus": 2,
    "busy_gpus": 1,
    "idle_gpus": 1,
    "total_running_tasks": 1,
    "queue_length": 3,
    "average_gpu_usage": 44.4,
    "total_memory": 279.6,
    "used_memory": 20.4,
}
GPU = {
    "gpu_id": 0,
    "name": "NVIDIA H200 with a name that is far too long",
    "usage": 85.5,
    "memory_used": 10.2,
    "memory_total": 139.8,
    "temperature": 88.0,
    "power": 430.0,
    "healthy": True,
}


def seen(*gpus: dict[str, Any], simulated: bool = False) -> list[str]:
    server = {"id": "a", "name": "一台服务器", "status": "maintenance", "current_tasks": 1}
    figures = {
        "gpu_usage": gpus,
        "timestamp": NOON - timedelta(seconds=7),
        "simulated": simulated,
    }
    farm = Farm(overview=OVERVIEW, servers=[server], statuses=[figures])
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(farm_view(farm, now=NOON))
    return capture.get().splitlines()


def test_figures_stay_whole_on_80_columns_and_names_give_way() -> None:
    *_, server, gpu = seen(GPU)
    assert server.split() == ["一台服务器", "maintenance", "1/1", "–", "–", "7", "s"]
    assert "…" in gpu
    assert (
        gpu.split()[-8:] == ["86", "%", "gpu", "10.2/139.8", "GiB", "88", "°C", "430", "W"][-8:]
    )


def test_what_is_not_known_is_never_shown_as_zero() -> None:
    *_, gpu = seen({"gpu_id": 0, "usage": None})
    assert "0 %" not in gpu
    assert gpu.split() == ["0:", "GPU", "–", "–", "–", "–"]


def test_simulated_and_failed_gpus_are_called_so() -> None:
    assert "simulated" in seen(GPU, simulated=True)[-1]
    assert "failed" in seen({**GPU, "healthy": False})[-1]


def test_a_task_list_shows_ids_whole_on_80_columns() -> None:
    task = Task(
        id="0198c0de-0000-7000-8000-000000000001",
        title="很长的标题" * 20,
        task_type="video_analysis",
        status="completed",
        progress=100.0,
        cost=1234.56,
        created_at=NOON,
    )
    page = Page(items=(task,), total=1, page=1, page_size=20, total_pages=1)
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(task_table(page))
    row = capture.get().splitlines()[1]
    assert row.startswith(task.id)
    assert "100 % ¥1,234.56 01-01" in row


def test_a_task_list_names_the_zone_of_its_times_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """That of now, for all of them: some zones have another one in winter."""
    monkeypatch.setenv("TZ", "EST5EDT,M3.2.0,M11.1.0")
    time.tzset()
    try:
        summer, winter = (
            Task(
                id="0198c0de-0000-7000-8000-000000000001",
                title="a task",
                task_type="test",
                status="completed",
                progress=100.0,
                created_at=datetime(2026, month, 15, 12, tzinfo=UTC),
            )
            for month in (7, 1)
        )
        page = Page(items=(summer, winter), total=2, page=1, page_size=20, total_pages=1)
        console = Console(width=100, color_system=None)
        with console.capture() as capture:
            console.print(task_table(page))
        _, *rows, below = capture.get().splitlines()
        (zone,) = re.findall(r"2 in all, times are (\S+)", below)
        assert zone in {"-0400", "-0500"}
        hour = 12 + int(zone) // 100
        assert [row.split()[-2:] for row in rows] == [
            ["07-15", f"{hour:02d}:00"],
            ["01-15", f"{hour:02d}:00"],
        ]
    finally:
        monkeypatch.undo()
        time.tzset()
