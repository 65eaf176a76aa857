"""Opens a stranger's video file, on the GPU's decoder where one was assigned.

Law: only self-contained containers. Playlists (HLS, DASH, concat) name other files and
addresses that FFmpeg would open by itself, past every guard of ours: they are not on the list.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
from av.video.stream import VideoStream as AvVideoStream
from msgspec import Struct

from gpu_agent.executors import TaskFailed
from gpu_agent.executors.video_analysis.report import AudioStream, Source, VideoStream

CONTAINERS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,ivf,h264,hevc,nut,gif"
)
LARGEST_PIXELS: Final = 16_384 * 8_704
"""More than 16K: what a decoder would allocate for a forged header stays bounded."""
_OPTIONS: Final = {"format_whitelist": CONTAINERS, "protocol_whitelist": "file"}


class Opened(Struct, frozen=True, kw_only=True):
    """An open file, its first picture stream, and what decodes it."""

    container: Any
    stream: Any
    decoder: Literal["cuda", "cpu"]
    note: str
    path: Path

    @property
    def title(self) -> str:
        """One line about it, for the log."""
        context = self.stream.codec_context
        return f"{self.container.format.name} {context.name} {context.width}x{context.height}"


@contextmanager
def open_video(path: Path, *, on_gpu: bool) -> Iterator[Opened]:
    """Open ``path`` for decoding; the CPU stands in when the GPU will not.

    Raises:
        FFmpegError: not a video of an accepted kind.
        TaskFailed: no picture in it, or pictures beyond measure.
    """
    container, note = _open_on_gpu(path) if on_gpu else (None, "")
    if container is None:
        container = av.open(str(path), options=dict(_OPTIONS))
    with container:
        stream = _picture_stream(container)
        stream.thread_type = "AUTO"
        hardware = on_gpu and not note and stream.codec_context.is_hwaccel
        if on_gpu and not note and not hardware:
            note = f"the GPU does not decode {stream.codec_context.name}"
        yield Opened(
            container=container,
            stream=stream,
            decoder="cuda" if hardware else "cpu",
            note=note,
            path=path,
        )


def describe(opened: Opened, path: Path) -> tuple[Source, VideoStream, AudioStream | None]:
    """What the headers say."""
    container, stream = opened.container, opened.stream
    context = stream.codec_context
    source = Source(
        container=container.format.name,
        size_bytes=path.stat().st_size,
        duration_s=_duration_s(opened),
        bit_rate_bps=container.bit_rate or None,
    )
    rate = stream.average_rate or stream.guessed_rate
    video = VideoStream(
        codec=context.name,
        profile=context.profile,
        width=context.width,
        height=context.height,
        pixel_format=context.pix_fmt,
        frame_rate=None if rate is None else round(float(rate), 3),
    )
    return source, video, _sound(container)


def _duration_s(opened: Opened) -> float | None:
    stream = opened.stream
    if stream.duration is not None:
        return float(round(stream.duration * stream.time_base, 3))
    if opened.container.duration is not None:
        return float(round(opened.container.duration / av.time_base, 3))
    return None


def _open_on_gpu(path: Path) -> tuple[InputContainer | None, str]:
    try:
        # CUDA_VISIBLE_DEVICES leaves only the assigned device to be "the first".
        accelerator = HWAccel("cuda", allow_software_fallback=True)
        return av.open(str(path), options=dict(_OPTIONS), hwaccel=accelerator), ""
    except (av.FFmpegError, OSError, RuntimeError, ValueError, NotImplementedError) as error:
        return None, f"the GPU's decoder could not be opened: {error}"


def _picture_stream(container: InputContainer) -> AvVideoStream:
    if not container.streams.video:
        raise TaskFailed("the file has no picture stream")
    stream = container.streams.video[0]
    context = stream.codec_context
    if context is None:
        raise TaskFailed("the picture is in a format that cannot be decoded")
    if context.width * context.height > LARGEST_PIXELS:
        raise TaskFailed(f"pictures of {context.width}x{context.height} are too large")
    return stream


def _sound(container: InputContainer) -> AudioStream | None:
    if not container.streams.audio:
        return None
    context = container.streams.audio[0].codec_context
    return AudioStream(
        codec=context.name, channels=context.channels, sample_rate_hz=context.sample_rate
    )
