"""The result of a video analysis, as a person and a program will read it.

Times are seconds from the first picture, rounded to milliseconds; ``None``: not in the file.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Source(Struct, frozen=True, kw_only=True):
    """The file as a whole."""

    container: str
    size_bytes: int
    duration_s: float | None
    bit_rate_bps: int | None


class VideoStream(Struct, frozen=True, kw_only=True):
    """The first picture stream; ``width`` and ``height`` as they are stored."""

    codec: str
    profile: str | None
    width: int
    height: int
    pixel_format: str | None
    frame_rate: float | None
    rotation_degrees: int = 0


class AudioStream(Struct, frozen=True, kw_only=True):
    """The first sound stream."""

    codec: str
    channels: int
    sample_rate_hz: int


class Scene(Struct, frozen=True, kw_only=True):
    """From one cut to the next; ``thumbnail`` names an artifact."""

    index: int
    start_s: float
    end_s: float
    thumbnail: str | None = None


class Thumbnail(Struct, frozen=True, kw_only=True):
    """A JPEG among the artifacts."""

    file: str
    at_s: float
    width: int
    height: int


class Timeline(Struct, frozen=True, kw_only=True):
    """At most 600 points, evenly over the video; three lists of one length.

    Brightness: mean luma, 0 black, 100 white. Motion: mean change of luma from frame to frame,
    per cent of the full range.
    """

    times_s: tuple[float, ...]
    brightness_percent: tuple[float, ...]
    motion_percent: tuple[float, ...]


class VideoReport(Struct, frozen=True, kw_only=True):
    """What was found, and how fast: ``frames_per_second`` is of this analysis."""

    source: Source
    video: VideoStream
    audio: AudioStream | None
    duration_s: float
    scenes: tuple[Scene, ...]
    thumbnails: tuple[Thumbnail, ...]
    timeline: Timeline
    decoder: Literal["cuda", "cpu"]
    decoder_note: str
    """Why it was not the GPU, where one was assigned; else empty."""
    frames_analysed: int
    frames_damaged: int
    wall_s: float
    frames_per_second: float
