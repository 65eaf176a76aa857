"""Video analysis against clips whose truth is known, and one real clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpu_agent.executors import Level, TaskFailed, TaskStopped
from gpu_agent.executors.video_analysis import EXECUTOR
from gpu_agent.executors.video_analysis.measures import Measures
from gpu_agent.executors.video_analysis.report import VideoReport
from gpu_agent.executors.video_analysis.scenes import (
    choose_moments,
    find_cuts,
    scenes_between,
)

BUNNY = Path(__file__).parents[3] / "api" / "demo" / "media" / "bigbuckbunny.mp4"
RATE = 25
RED, GREEN, BLUE = (200, 30, 30), (30, 200, 30), (30, 30, 200)
Picture = Callable[[int], np.ndarray[Any, Any]]


class Context:
    """A task's context without an agent: a URL is a path."""

    def __init__(self, workspace: Path, gpu_uuids: tuple[str, ...] = ()) -> None:
        self.workspace = workspace
        self.artifacts = workspace / "artifacts"
        self.artifacts.mkdir()
        self.gpu_uuids = gpu_uuids
        self.percents: list[float] = []
        self.lines: list[str] = []
        self.checks_left = 1_000_000

    def progress(self, percent: float, note: str = "") -> None:
        assert note
        self.percents.append(percent)

    def output(self, text: str, level: Level = "INFO") -> None:
        self.lines.append(f"{level} {text}")

    def fetch(self, url: str) -> Path:
        return Path(url)

    def check(self) -> None:
        self.checks_left -= 1
        if self.checks_left < 0:
            raise TaskStopped


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(tmp_path)


def analyse(path: Path, context: Context, **config: Any) -> VideoReport:
    result = EXECUTOR.run({"video_url": str(path), **config}, context)
    travelled = msgspec.json.decode(msgspec.json.encode(result))
    return msgspec.convert(travelled, VideoReport)


def write_clip(path: Path, frames: int, picture: Picture, codec: str = "libx264") -> Path:
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE)
        first = picture(0)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def plain(colour: Sequence[int]) -> np.ndarray[Any, Any]:
    return np.full((96, 160, 3), colour, dtype=np.uint8)


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


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a video",
        b"\x00" * 4096,
        b"<html><body>404</body></html>",
        b"\xff\xd8\xff\xe0 half a jpeg",
        BUNNY.read_bytes()[:2_000],
    ],
)
def test_what_is_no_video_is_the_users_error(
    context: Context, tmp_path: Path, content: bytes
) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(TaskFailed) as failed:
        analyse(tmp_path / "x", context)
    assert failed.value.reason == "user_error"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "list.m3u8",
            "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n",
        ),
        ("list.txt", "ffconcat version 1.0\nfile {secret}\n"),
        ("list.mpd", '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"/>'),
        ("list.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nm=video 9 RTP/AVP 96\n"),
    ],
)
def test_a_playlist_that_names_other_files_is_not_followed(
    context: Context, tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / "secret.mp4").write_bytes(BUNNY.read_bytes())
    (tmp_path / name).write_text(text.format(secret=tmp_path / "secret.mp4"))
    with pytest.raises(TaskFailed):
        analyse(tmp_path / name, context)


@pytest.mark.parametrize(
    "config",
    [{}, {"video_url": ""}, {"video_url": 7}, {"video_url": "x" * 3_000}, {"thumbnails": 900}],
)
def test_a_bad_configuration_is_the_users_error(
    context: Context, config: dict[str, Any]
) -> None:
    wanted = {"video_url": str(BUNNY)} if "thumbnails" in config else {}
    with pytest.raises(TaskFailed, match="config"):
        EXECUTOR.run(wanted | config, context)


def test_a_sound_file_has_no_picture(context: Context, tmp_path: Path) -> None:
    with av.open(str(tmp_path / "s.mkv"), "w") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), dtype=np.float32), "fltp")
        frame.rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(TaskFailed, match="no picture stream"):
        analyse(tmp_path / "s.mkv", context)


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
