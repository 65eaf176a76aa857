"""Takes pictures of a video at given moments, as JPEG files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import av
import numpy as np
from av.video.frame import VideoFrame

from gpu_agent.executors.video_analysis.opening import Opened, open_video
from gpu_agent.executors.video_analysis.report import Thumbnail

LONGEST_SIDE: Final = 320
MOST_FRAMES_TO_SKIP: Final = 1_500
"""From a key frame to the moment; a file with no index would be decoded whole each time."""


def make_thumbnails(
    path: Path, moments_s: Sequence[float], directory: Path
) -> Iterator[Thumbnail]:
    """One picture a moment, where the file can be decoded there."""
    if not moments_s:
        return
    with open_video(path, on_gpu=False) as opened:
        start_s = _start_s(opened)
        for number, moment_s in enumerate(moments_s, start=1):
            frame = _frame_at(opened, start_s + moment_s)
            if frame is None:
                continue
            picture = _shrunk(frame, float(opened.stream.sample_aspect_ratio or 1))
            name = f"thumbnail-{number:02d}.jpg"
            picture.save(directory / name)
            yield Thumbnail(
                file=name, at_s=moment_s, width=picture.width, height=picture.height
            )


def _start_s(opened: Opened) -> float:
    stream = opened.stream
    return float((stream.start_time or 0) * stream.time_base)


def _frame_at(opened: Opened, at_s: float) -> Any:
    stream = opened.stream
    try:
        opened.container.seek(int(at_s / stream.time_base), stream=stream)
        found = None
        for skipped, frame in enumerate(opened.container.decode(stream)):
            found = frame
            late = frame.time is None or frame.time >= at_s
            if late or skipped >= MOST_FRAMES_TO_SKIP:
                break
    except av.FFmpegError:
        return None  # damaged just here: the others may well be had
    return found


def _shrunk(frame: VideoFrame, pixel_ratio: float) -> VideoFrame:
    """As it is to be seen: square pixels, upright, within `LONGEST_SIDE`."""
    width, height = frame.width * pixel_ratio, float(frame.height)
    scale = min(1.0, LONGEST_SIDE / max(width, height))
    # encoders want even sides
    even_width = max(2, round(width * scale / 2) * 2)
    even_height = max(2, round(height * scale / 2) * 2)
    turns = round((frame.rotation % 360) / 90)
    if turns == 0:
        return frame.reformat(even_width, even_height)
    pixels: Any = frame.reformat(even_width, even_height, "rgb24").to_ndarray()
    upright = np.ascontiguousarray(np.rot90(pixels, turns))
    return VideoFrame.from_ndarray(upright, format="rgb24")
