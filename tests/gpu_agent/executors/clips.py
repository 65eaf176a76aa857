"""Clips whose truth is known, and a task's context without an agent."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import msgspec
import numpy as np

from gpu_agent.executors import Level, TaskStopped
from gpu_agent.executors.video_analysis import EXECUTOR
from gpu_agent.executors.video_analysis.report import VideoReport

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
