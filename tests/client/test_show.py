"""A task as a person sees it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace
from rich.console import Console

from api.client.answers import Artifact, Attempt, Task
from api.client.show import Bill, task_view

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REPORT: dict[str, Any] = {
    "source": {
        "container": "mov,mp4",
        "size_bytes": 1_055_736,
        "duration_s": 5.28,
        "bit_rate_bps": 1_599_600,
    },
    "video": {
        "codec": "h264",
        "profile": "Main",
        "width": 1280,
        "height": 720,
        "pixel_format": "yuv420p",
        "frame_rate": 25.0,
        "rotation_degrees": 0,
    },
    "audio": {"codec": "aac", "channels": 6, "sample_rate_hz": 48_000},
    "duration_s": 5.28,
    "scenes": [
        {"index": 1, "start_s": 0.0, "end_s": 2.0, "thumbnail": "thumbnail-01.jpg"},
        {"index": 2, "start_s": 2.0, "end_s": 5.28, "thumbnail": None},
    ],
    "thumbnails": [{"file": "thumbnail-01.jpg", "at_s": 1.0, "width": 320, "height": 180}],
    "timeline": {
        "times_s": [0.0, 1.0, 2.0],
        "brightness_percent": [0.0, 50.0, 100.0],
        "motion_percent": [0.0, 4.0, 12.3],
    },
    "decoder": "cpu",
    "decoder_note": "no GPU was assigned",
    "frames_analysed": 132,
    "frames_damaged": 0,
    "wall_s": 0.6,
    "frames_per_second": 220.0,
}
TASK = Task(
    id="0198c0de-0000-7000-8000-000000000001",
    title="视频分析任务",
    task_type="video_analysis",
    status="completed",
    phase="completed",
    progress=100.0,
    attempt=1,
    cost=0.04,
    price_per_minute=1.05,
    gpu_server_id="0198c0de-0000-7000-8000-000000000002",
    created_at=NOON,
    started_at=NOON,
    completed_at=NOON,
    result=REPORT,
    attempts=(Attempt(attempt=1, gpu_server_id="s", outcome="completed", run_seconds=2.13),),
    artifacts=(Artifact(name="thumbnail-01.jpg", size_bytes=14_541, sha256="0"),),
)


def seen(task: Task, **options: Any) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(task_view(task, **options), crop=False)
    return capture.get()


def test_an_analysis_is_shown_with_all_that_a_person_asks_about() -> None:
    text = seen(TASK, bill=Bill(before=10.0, after=9.96))
    for wanted in [
        *("视频分析任务", "completed", "0:05.280", "h264 Main", "1280 × 720", "25 fps"),
        *("aac, 6 channels", "cpu  (no GPU was assigned)", "132 frames", "▁▃█  peak 12.3 %"),
        *("▁▅█  0–100 %", "0:02.000", "3.28 s", "thumbnail-01.jpg  14.2 KiB"),
        *("2.13 s", "¥0.04", "¥1.05 a minute", "¥10.00", "¥9.96"),
    ]:
        assert wanted in text, wanted


def test_where_files_were_written_is_shown_whole() -> None:
    path = "/results/" + "x" * 200 + "/thumbnail-01.jpg"
    assert path in seen(TASK, files=[path])


@pytest.mark.parametrize("result", [{"anything": [1, "二"]}, {"source": {}, "video": None}])
def test_a_result_of_another_kind_is_shown_as_it_is(result: dict[str, Any]) -> None:
    text = seen(replace(TASK, result=result))
    assert all(f'"{key}"' in text for key in result)


def test_a_failed_task_says_why_and_whose_fault_it_was() -> None:
    failed = replace(
        TASK,
        status="failed",
        phase="failed",
        reason="user_error",
        fault="user",
        error_message="not a video\x1b[2J",
        result=None,
    )
    text = seen(failed)
    assert "its input or configuration was wrong (fault: user)" in text
    assert "not a video" in text
    assert "\x1b" not in text


def test_a_waiting_task_says_why_and_its_place() -> None:
    waiting = replace(
        TASK,
        status="pending",
        phase="pending",
        pending_reason="no_online_server",
        queue_position=3,
        result=None,
        attempts=(),
        hold=2.1,
        started_at=None,
        completed_at=None,
    )
    text = seen(waiting)
    assert "no GPU server is online yet, place 3 in the queue" in text
    assert "¥2.10" in text


def test_an_attempt_that_was_lost_is_told_in_words_and_no_time_that_is_not_known() -> None:
    lost = Attempt(attempt=1, gpu_server_id="s", outcome="lost", reason="agent_lost")
    now = Attempt(attempt=2, gpu_server_id="s")
    running = replace(
        TASK, status="running", phase="running", attempt=2, attempts=(lost, now), result=None
    )
    text = seen(running, server="gpu-01")
    assert "Attempt 1  its GPU server went away" in text
    assert "gpu-01, attempt 2" in text
    assert "Ran " not in text
