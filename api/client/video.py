"""The result of a video analysis as a person wants to see it.

It reads the JSON of the task's ``result`` by its documented keys. A result that lacks them,
from another version of the analysis, is no video report: the caller shows it as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from api.client.wording import NOTHING, clean, listing, moment, size, sparkline

LINE_WIDTH: Final = 50
SCENES_SHOWN: Final = 20
_WHITE: Final = 100.0


class Source(Struct, frozen=True, kw_only=True):
    """The file as a whole."""

    container: str
    size_bytes: int
    bit_rate_bps: int | None = None


class Picture(Struct, frozen=True, kw_only=True):
    """The picture stream."""

    codec: str
    width: int
    height: int
    profile: str | None = None
    pixel_format: str | None = None
    frame_rate: float | None = None
    rotation_degrees: int = 0


class Sound(Struct, frozen=True, kw_only=True):
    """The sound stream."""

    codec: str
    channels: int
    sample_rate_hz: int


class Scene(Struct, frozen=True, kw_only=True):
    """From one cut to the next; ``thumbnail`` names an artifact."""

    index: int
    start_s: float
    end_s: float
    thumbnail: str | None = None


class Timeline(Struct, frozen=True, kw_only=True):
    """Points evenly over the video: brightness 0 black to 100 white, motion from 0."""

    brightness_percent: tuple[float, ...] = ()
    motion_percent: tuple[float, ...] = ()


class VideoReport(Struct, frozen=True, kw_only=True):
    """The keys of the result that are shown."""

    source: Source
    video: Picture
    audio: Sound | None = None
    duration_s: float
    scenes: tuple[Scene, ...]
    timeline: Timeline
    decoder: str
    decoder_note: str = ""
    frames_analysed: int
    frames_damaged: int = 0
    frames_per_second: float


def video_report_of(result: Mapping[str, Any] | None) -> VideoReport | None:
    """The report in a task's result, or ``None`` when it is something else."""
    try:
        return msgspec.convert(result, VideoReport)
    except msgspec.ValidationError:
        return None


def video_view(report: VideoReport) -> RenderableType:
    """All of it, on one screen."""
    facts = Table.grid(padding=(0, 2))
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column()
    for name, text in _facts(report):
        facts.add_row(name, text)
    return Group(facts, Text(), _scenes(report.scenes))


def _facts(report: VideoReport) -> Iterator[tuple[str, Text]]:
    source, picture, sound = report.source, report.video, report.audio
    yield "Duration", Text(f"{moment(report.duration_s)}  ({report.duration_s:.2f} s)")
    profile = f" {picture.profile}" if picture.profile else ""
    yield "Codec", clean(f"{picture.codec}{profile}, {picture.pixel_format or NOTHING}")
    turned = f", turned {picture.rotation_degrees}°" if picture.rotation_degrees else ""
    yield "Resolution", Text(f"{picture.width} × {picture.height}{turned}")
    rate = NOTHING if picture.frame_rate is None else f"{picture.frame_rate:g} fps"
    yield "Frame rate", Text(rate)
    flow = f", {source.bit_rate_bps / 1000:,.0f} kbit/s" if source.bit_rate_bps else ""
    yield "File", clean(f"{source.container}, {size(source.size_bytes)}{flow}")
    if sound:
        yield (
            "Sound",
            clean(f"{sound.codec}, {sound.channels} channels, {sound.sample_rate_hz:,} Hz"),
        )
    note = f"  ({report.decoder_note})" if report.decoder_note else ""
    yield "Decoder", clean(f"{report.decoder}{note}")
    damaged = f", {report.frames_damaged:,} damaged" if report.frames_damaged else ""
    speed = f"at {report.frames_per_second:,.0f} frames a second"
    yield "Analysed", Text(f"{report.frames_analysed:,} frames {speed}{damaged}")
    yield from _lines(report.timeline)


def _lines(timeline: Timeline) -> Iterator[tuple[str, Text]]:
    motion, brightness = timeline.motion_percent, timeline.brightness_percent
    if motion:
        peak = max(motion)
        bars = sparkline(motion, LINE_WIDTH, least=0, most=peak)
        yield "Motion", Text.assemble((bars, "cyan"), f"  peak {peak:.1f} %")
    if brightness:
        bars = sparkline(brightness, LINE_WIDTH, least=0, most=_WHITE)
        yield (
            "Brightness",
            Text.assemble((bars, "yellow"), f"  {min(brightness):.0f}–{max(brightness):.0f} %"),
        )


def _scenes(scenes: Sequence[Scene]) -> RenderableType:
    numbers = ("scene", "from", "to", "length")
    table = listing(*numbers, "thumbnail", right=numbers)
    for scene in scenes[:SCENES_SHOWN]:
        table.add_row(
            str(scene.index),
            moment(scene.start_s),
            moment(scene.end_s),
            f"{scene.end_s - scene.start_s:.2f} s",
            clean(scene.thumbnail or NOTHING),
        )
    if len(scenes) <= SCENES_SHOWN:
        return table
    return Group(table, Text(f"… and {len(scenes) - SCENES_SHOWN} more scenes", style="dim"))
