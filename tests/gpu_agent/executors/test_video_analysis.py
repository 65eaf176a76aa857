"""Video analysis against clips whose truth is known, and one real clip."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.executors import TaskStopped
from gpu_agent.executors.video_analysis.measures import Measures
from gpu_agent.executors.video_analysis.scenes import (
    choose_moments,
    find_cuts,
    scenes_between,
)
from tests.gpu_agent.executors.clips import (
    BLUE,
    BUNNY,
    GREEN,
    RATE,
    RED,
    Context,
    analyse,
    plain,
    write_clip,
)


def test_three_colours_are_three_scenes_cut_exactly_where_they_change(
    context: Context, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "c.mp4", 150, lambda n: plain((RED, GREEN, BLUE)[n // 50]))
    report = analyse(clip, context)
    assert [(scene.start_s, scene.end_s) for scene in report.scenes] == [
        (0.0, 2.0),
        (2.0, 4.0),
        (4.0, 6.0),
    ]
    assert report.frames_analysed == 150
    assert (report.video.codec, report.video.width, report.video.height) == ("h264", 160, 96)
    assert report.video.frame_rate == 25.0


def test_colours_of_the_same_brightness_are_told_apart(
    context: Context, tmp_path: Path
) -> None:
    clip = write_clip(
        tmp_path / "c.mp4", 60, lambda n: plain((200, 60, 60) if n < 30 else (60, 137, 60))
    )
    assert [scene.start_s for scene in analyse(clip, context).scenes] == [0.0, 1.2]


def test_a_slow_pan_and_a_flash_are_no_cuts(context: Context, tmp_path: Path) -> None:
    world = np.random.default_rng(1).integers(0, 255, (12, 100, 3), dtype=np.uint8)
    world = world.repeat(8, axis=0).repeat(8, axis=1)

    def pan(number: int) -> np.ndarray[Any, Any]:
        return plain((255, 255, 255)) if number == 40 else world[:, number * 4 :][:, :160]

    clip = write_clip(tmp_path / "c.mp4", 100, lambda n: np.ascontiguousarray(pan(n)))
    assert len(analyse(clip, context).scenes) == 1


def test_the_bundled_clip_is_one_scene_with_pictures_of_it(context: Context) -> None:
    report = analyse(BUNNY, context)
    assert report.source.container.startswith("mov")
    assert (report.video.codec, report.video.width, report.video.height) == ("h264", 1280, 720)
    assert report.audio is not None
    assert report.audio.codec == "aac"
    assert report.duration_s == 5.28
    assert len(report.scenes) == 1
    assert report.scenes[0].thumbnail == "thumbnail-01.jpg"
    assert len(report.thumbnails) == 6
    assert (report.decoder, report.decoder_note) == ("cpu", "")
    assert 20 < report.timeline.brightness_percent[0] < 80
    assert 0 < max(report.timeline.motion_percent) < 20
    assert report.wall_s > 0
    assert report.frames_per_second > 1


def test_thumbnails_are_jpegs_of_the_moment_they_name(context: Context, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "c.mp4", 150, lambda n: plain((RED, GREEN, BLUE)[n // 50]))
    report = analyse(clip, context)
    for thumbnail in report.thumbnails:
        file = context.artifacts / thumbnail.file
        assert file.read_bytes().startswith(b"\xff\xd8")
        with av.open(str(file)) as jpeg:
            picture: Any = next(jpeg.decode(video=0)).to_ndarray(format="rgb24")
        assert picture.shape == (thumbnail.height, thumbnail.width, 3)
        colour = (RED, GREEN, BLUE)[int(thumbnail.at_s // 2)]
        assert np.abs(picture.mean(axis=(0, 1)) - colour).max() < 12


def test_black_is_dark_white_is_bright_and_a_still_does_not_move(
    context: Context, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "c.mp4", 50, lambda n: plain([0] * 3 if n < 25 else [255] * 3))
    timeline = analyse(clip, context).timeline
    assert timeline.brightness_percent[0] < 1
    assert timeline.brightness_percent[-1] > 99
    assert max(timeline.motion_percent[:25]) == 0
    assert timeline.motion_percent[25] > 80


def test_a_long_video_has_a_timeline_of_at_most_600_points(
    context: Context, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "c.mp4", 1_500, lambda n: plain([n % 200] * 3))
    timeline = analyse(clip, context).timeline
    assert len(timeline.times_s) == 600
    assert len(timeline.brightness_percent) == len(timeline.motion_percent) == 600
    assert list(timeline.times_s) == sorted(timeline.times_s)


def test_progress_only_grows_and_comes_near_the_end(context: Context) -> None:
    analyse(BUNNY, context)
    assert context.percents == sorted(context.percents)
    assert context.percents[0] == 0
    assert context.percents[-1] == 100


def test_a_wish_to_stop_is_heard_within_a_batch(context: Context) -> None:
    context.checks_left = 2
    with pytest.raises(TaskStopped):
        analyse(BUNNY, context)
    assert context.percents[-1] < 50


def test_without_a_usable_gpu_the_cpu_decodes_and_says_why(tmp_path: Path) -> None:
    if "cuda" in _working_accelerators():
        pytest.skip("this machine has a GPU that decodes")
    report = analyse(BUNNY, Context(tmp_path, gpu_uuids=("GPU-none",)))
    assert report.decoder == "cpu"
    assert "GPU" in report.decoder_note


def _working_accelerators() -> set[str]:
    try:
        av.codec.hwaccel.HWAccel("cuda")
        with av.open(str(BUNNY), hwaccel=av.codec.hwaccel.HWAccel("cuda")):
            return {"cuda"}
    except (av.FFmpegError, OSError, RuntimeError):
        return set()


@pytest.mark.parametrize(
    "kind", [("c.mkv", "libx264"), ("c.avi", "mpeg4"), ("c.ts", "mpeg2video")]
)
def test_other_containers_are_read_too(
    context: Context, tmp_path: Path, kind: tuple[str, str]
) -> None:
    name, codec = kind
    clip = write_clip(tmp_path / name, 75, lambda n: plain(RED if n < 50 else BLUE), codec)
    report = analyse(clip, context)
    assert [scene.start_s for scene in report.scenes] == [0.0, 2.0]
    assert len(report.thumbnails) == 6


def test_a_video_cut_off_in_the_middle_is_analysed_as_far_as_it_goes(
    context: Context, tmp_path: Path
) -> None:
    clip = write_clip(tmp_path / "c.mkv", 150, lambda n: plain((RED, GREEN, BLUE)[n // 50]))
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size * 2 // 3])
    report = analyse(clip, context)
    assert 20 < report.frames_analysed < 150


@given(
    changes=st.lists(st.floats(0, 255, width=32), min_size=1, max_size=80),
    most=st.integers(0, 48),
)
def test_scenes_leave_no_gap_and_moments_lie_in_them(changes: list[float], most: int) -> None:
    measures = Measures()
    for number, change in enumerate(changes):
        measures.times_s.append(number / RATE)
        measures.change.append(change)
    cuts = find_cuts(measures)
    assert cuts == sorted(set(cuts))
    assert 0.0 not in cuts
    scenes = scenes_between(cuts, len(changes) / RATE)
    assert scenes[0].start_s == 0.0
    assert all(one.end_s == other.start_s for one, other in pairwise(scenes))
    moments = choose_moments(scenes, most)
    assert len(moments) <= most
    assert moments == sorted(moments)
    assert all(0 <= moment <= scenes[-1].end_s for moment in moments)
