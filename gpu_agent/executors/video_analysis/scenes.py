"""Finds cuts in the measures of a video, and the moments worth a picture. Pure.

A cut is a frame that differs much from the one before while its neighbours do not: fast motion
raises all of them together, a flash raises two. The rule is PySceneDetect's adaptive detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from gpu_agent.executors.video_analysis.measures import Measures
from gpu_agent.executors.video_analysis.report import Scene

LEAST_CHANGE: Final = 6.0
"""Of 255, over luma and colours: below, two pictures look alike."""
STANDS_OUT: Final = 3.0
"""How many times its neighbours' change a cut must have."""
NEIGHBOURS: Final = 2
"""Frames on either side."""
SHORTEST_SCENE_S: Final = 0.4
FEW_PICTURES: Final = 6
"""A video of few scenes is still shown at about this many moments."""


def find_cuts(measures: Measures) -> list[float]:
    """When each new scene begins, in seconds; the first frame is none."""
    change = np.asarray(measures.change, dtype=np.float64)
    times = measures.times_s
    cuts: list[tuple[float, float]] = []
    for at in np.flatnonzero(change >= LEAST_CHANGE):
        around = np.r_[
            change[max(1, at - NEIGHBOURS) : at], change[at + 1 : at + 1 + NEIGHBOURS]
        ]
        if at == 0 or (around.size and change[at] < STANDS_OUT * around.mean()):
            continue
        if cuts and times[at] - cuts[-1][0] < SHORTEST_SCENE_S:
            if change[at] > cuts[-1][1]:  # of two so close the stronger is the cut
                cuts[-1] = (times[at], change[at])
            continue
        cuts.append((times[at], change[at]))
    return [at_s for at_s, _ in cuts]


def scenes_between(cuts_s: Sequence[float], duration_s: float) -> tuple[Scene, ...]:
    """The scenes that the cuts leave, without a gap."""
    edges = [0.0, *cuts_s, max(duration_s, *cuts_s, 0.0)]
    return tuple(
        Scene(index=index, start_s=round(start, 3), end_s=round(end, 3))
        for index, (start, end) in enumerate(pairwise(edges), start=1)
    )


def choose_moments(scenes: Sequence[Scene], most: int) -> list[float]:
    """When to take pictures: the middle of each scene; more of long ones, fewer of many."""
    if most <= 0 or not scenes:
        return []
    if len(scenes) > most:
        chosen = np.linspace(0, len(scenes) - 1, most).round().astype(int)
        return [_middle(scenes[index]) for index in sorted(set(chosen.tolist()))]
    total_s = scenes[-1].end_s - scenes[0].start_s
    wanted = min(most, max(FEW_PICTURES, len(scenes)))
    moments: list[float] = []
    spare = wanted - len(scenes)
    for scene in scenes:
        length_s = scene.end_s - scene.start_s
        extra = round(spare * length_s / total_s) if total_s else 0
        parts = 1 + extra
        moments += [scene.start_s + length_s * (part + 0.5) / parts for part in range(parts)]
    return [round(moment, 3) for moment in moments[:most]]


def _middle(scene: Scene) -> float:
    return round((scene.start_s + scene.end_s) / 2, 3)
