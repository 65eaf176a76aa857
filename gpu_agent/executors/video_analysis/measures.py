"""Measures every frame of a video: how bright it is, and how it differs from the one before."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, Final

import av
import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from gpu_agent.executors.video_analysis.opening import Opened

WIDTH, HEIGHT = 64, 36
"""Small enough to be cheap, and to be blind to noise and compression."""
TIMELINE_POINTS: Final = 600
REPORT_EVERY: Final = 12
"""Frames between two looks at the clock and at a wish to stop."""
MOST_DAMAGED: Final = 1_000
"""Packets that could not be decoded before the rest is given up."""
BLACK, WHITE = 16, 235
"""Luma's range in video; what lies outside is clipped."""


class Measures:
    """One entry a frame, in the order they are shown. Times are from the first frame."""

    def __init__(self) -> None:
        self.times_s = array("d")
        self.brightness = array("f")
        self.motion = array("f")
        """Mean change of luma from the frame before, 0–255."""
        self.change = array("f")
        """The same over luma and both colours: a cut between equally bright pictures shows."""
        self.damaged = 0
        self.rotation_degrees = 0
        """How far a player turns the pictures, as the first one says."""
        self._before: NDArray[np.int16] | None = None
        self._first_s: float | None = None

    @property
    def end_s(self) -> float:
        """When the last frame ends, by the mean distance of frames."""
        if len(self.times_s) < 2:  # noqa: PLR2004 - a distance needs two
            return self.times_s[-1] if self.times_s else 0.0
        return self.times_s[-1] + self.times_s[-1] / (len(self.times_s) - 1)

    def add(self, at_s: float, planes: NDArray[Any]) -> None:
        """Add a frame: its planes (Y, U, V), each HEIGHT x WIDTH."""
        if self._first_s is None:
            self._first_s = at_s
        now = planes.astype(np.int16)
        if self._before is None:
            changes = np.zeros(3)
        else:
            changes = np.abs(now - self._before).mean(axis=(1, 2))
        self._before = now
        self.times_s.append(at_s - self._first_s)
        self.brightness.append(float(now[0].mean()))
        self.motion.append(float(changes[0]))
        self.change.append(float(changes.mean()))

    def timeline(self) -> dict[str, tuple[float, ...]]:
        """The measures as at most `TIMELINE_POINTS` points, each the mean of its share."""
        parts = min(TIMELINE_POINTS, len(self.times_s))
        bright = (np.asarray(self.brightness) - BLACK) / (WHITE - BLACK) * 100
        return {
            "times_s": _means(np.asarray(self.times_s), parts, 3),
            "brightness_percent": _means(np.clip(bright, 0, 100), parts, 1),
            "motion_percent": _means(np.asarray(self.motion) / 255 * 100, parts, 2),
        }


def measure(opened: Opened, measures: Measures) -> Iterator[float]:
    """Decode everything into ``measures``; yields the share done, 0–1, now and then."""
    shrink = VideoReformatter()
    duration_s = _duration_s(opened)
    for count, frame in enumerate(_frames(opened, measures), start=1):
        small = shrink.reformat(
            frame, WIDTH, HEIGHT, "yuv444p", interpolation=Interpolation.AREA
        )
        if count == 1:
            measures.rotation_degrees = frame.rotation % 360
        at_s = frame.time if frame.time is not None else count / _rate(opened)
        measures.add(at_s, small.to_ndarray())
        if count % REPORT_EVERY == 0:
            yield min(1.0, measures.times_s[-1] / duration_s) if duration_s else 0.0


def _frames(opened: Opened, measures: Measures) -> Iterator[Any]:
    """Frames in order; a damaged packet is counted and left out, as a player would."""
    for packet in opened.container.demux(opened.stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            measures.damaged += 1
            if measures.damaged > MOST_DAMAGED:
                return


def _duration_s(opened: Opened) -> float:
    stream = opened.stream
    if stream.duration is not None:
        return float(stream.duration * stream.time_base)
    return (opened.container.duration or 0) / av.time_base


def _rate(opened: Opened) -> float:
    return float(opened.stream.average_rate or 25)


def _means(values: NDArray[Any], parts: int, digits: int) -> tuple[float, ...]:
    return tuple(round(float(part.mean()), digits) for part in np.array_split(values, parts))
