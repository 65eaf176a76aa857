"""The ``video_analysis`` task type: what a video is, where it cuts, how it looks and moves.

One pass decodes every frame and measures it small; the cuts are found in the measures; then a
few frames are fetched again at full size for thumbnails. `report.VideoReport` is the result.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import av
import msgspec
from msgspec import Meta, Struct

from gpu_agent.executors import TaskContext, TaskFailed
from gpu_agent.executors.video_analysis.measures import Measures, measure
from gpu_agent.executors.video_analysis.opening import Opened, describe, open_video
from gpu_agent.executors.video_analysis.report import Thumbnail, Timeline, VideoReport
from gpu_agent.executors.video_analysis.scenes import (
    choose_moments,
    find_cuts,
    scenes_between,
)
from gpu_agent.executors.video_analysis.thumbnails import make_thumbnails

MEASURED_SHARE: Final = 90.0
"""Per cent of the work that is done when every frame is measured."""


class VideoConfig(Struct, frozen=True):
    """What the user asks for; other keys are notes to themselves and are ignored."""

    video_url: Annotated[str, Meta(min_length=1, max_length=2_048)]
    thumbnails: Annotated[int, Meta(ge=0, le=48)] = 12
    """How many at most."""


class VideoAnalysis:
    """Analyses one video."""

    reusable = False  # decoders keep threads and device memory

    def run(self, config: dict[str, Any], context: TaskContext) -> Mapping[str, Any]:
        """Fetch, measure, cut, picture."""
        try:
            wanted = msgspec.convert(config, VideoConfig)
        except msgspec.ValidationError as error:
            raise TaskFailed(f"config: {error}") from error
        context.progress(0, "fetching the video")
        path = context.fetch(wanted.video_url)
        try:
            report = analyse(path, wanted.thumbnails, context)
        except av.FFmpegError as error:
            raise TaskFailed(f"not a video that can be read: {error.strerror}") from error
        built: dict[str, Any] = msgspec.to_builtins(report)
        return built


def analyse(path: Path, most_thumbnails: int, context: TaskContext) -> VideoReport:
    """Analyse the file at ``path``; thumbnails are left among the context's artifacts.

    Raises:
        TaskFailed: it holds no picture.
        FFmpegError: it is no video, or not of an accepted kind.
    """
    began = time.perf_counter()
    with open_video(path, on_gpu=bool(context.gpu_uuids)) as opened:
        context.output(f"{opened.title}; decoder {opened.decoder}")
        measures = _measure_all(opened, context)
        source, video, audio = describe(opened, path)
        decoder, note = opened.decoder, opened.note
    if not measures.times_s:
        raise TaskFailed("the video holds no picture that can be decoded")
    duration_s = max(source.duration_s or 0.0, measures.end_s)
    cuts = find_cuts(measures)
    scenes = scenes_between(cuts, duration_s)
    context.output(f"{len(measures.times_s)} frames, {len(cuts)} cuts")
    thumbnails = _picture(path, choose_moments(scenes, most_thumbnails), context)
    wall_s = time.perf_counter() - began
    return VideoReport(
        source=source,
        video=msgspec.structs.replace(video, rotation_degrees=measures.rotation_degrees),
        audio=audio,
        duration_s=round(duration_s, 3),
        scenes=_with_thumbnails(scenes, thumbnails),
        thumbnails=thumbnails,
        timeline=Timeline(**measures.timeline()),
        decoder=decoder,
        decoder_note=note,
        frames_analysed=len(measures.times_s),
        frames_damaged=measures.damaged,
        wall_s=round(wall_s, 3),
        frames_per_second=round(len(measures.times_s) / wall_s, 1),
    )


def _measure_all(opened: Opened, context: TaskContext) -> Measures:
    measures = Measures()
    for done in measure(opened, measures):
        context.check()
        context.progress(MEASURED_SHARE * done, "measuring frames")
    return measures


def _picture(path: Path, moments_s: list[float], context: TaskContext) -> tuple[Thumbnail, ...]:
    made: list[Thumbnail] = []
    for thumbnail in make_thumbnails(path, moments_s, context.artifacts):
        context.check()
        made.append(thumbnail)
        share = len(made) / len(moments_s)
        context.progress(MEASURED_SHARE + (100 - MEASURED_SHARE) * share, "thumbnails")
    return tuple(made)


def _with_thumbnails(scenes: Any, thumbnails: tuple[Thumbnail, ...]) -> Any:
    """Each scene with the first thumbnail that lies in it."""
    return tuple(
        msgspec.structs.replace(
            scene,
            thumbnail=next(
                (t.file for t in thumbnails if scene.start_s <= t.at_s < scene.end_s), None
            ),
        )
        for scene in scenes
    )


EXECUTOR = VideoAnalysis()
