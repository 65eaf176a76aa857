"""The frame of every benchmark: interleaved rounds, ratios, one line about the machine.

Each round measures every contestant once, one after the other, so that a noisy minute hits all
alike; what is stated is the median over the rounds of the ratios within a round.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct


class Options(Struct, frozen=True, kw_only=True):
    """From the command line."""

    rounds: int
    seconds: float
    as_json: bool
    events: int = 0
    only: str = ""
    load: float = 1.0


class Ratio(Struct, frozen=True, kw_only=True):
    """A promise: ours over the limit's or peer's, or the other way where less is better."""

    row: int
    name: str
    ours: str
    other: str
    target: float
    moonshot: float
    less_is_better: bool = False


class Verdict(Struct, frozen=True, kw_only=True):
    """How a promise came out."""

    row: int
    name: str
    ratio: float
    lowest: float
    highest: float
    target: float
    moonshot: float
    kept: bool


class Report(Struct, frozen=True, kw_only=True):
    """All that one benchmark says."""

    machine: str
    rounds: int
    medians: dict[str, float]
    verdicts: list[Verdict]


def options(
    description: str,
    *,
    rounds: int = 5,
    seconds: float = 2.0,
    events: int | None = None,
    only: str | None = None,
    load: float | None = None,
) -> Options:
    """Read the command line; ``rounds`` of fewer than five prove little.

    ``events``: how long the history is, where the benchmark lets one choose.
    ``only``: what its contestants are called, where it can measure some of them.
    ``load``: the share of the time in which a rebuild works, where one chooses.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=rounds, help="default %(default)s")
    parser.add_argument(
        "--seconds",
        type=float,
        default=seconds,
        help="of each figure, default %(default)s",
    )
    if events is not None:
        parser.add_argument("--events", type=int, default=events, help="default %(default)s")
    if only is not None:
        parser.add_argument("--only", metavar="TEXT", default="", help=only)
    if load is not None:
        parser.add_argument("--load", type=float, default=load, help="default %(default)s")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    chosen = parser.parse_args()
    return Options(
        rounds=chosen.rounds,
        seconds=chosen.seconds,
        as_json=chosen.json,
        events=getattr(chosen, "events", 0),
        only=getattr(chosen, "only", ""),
        load=getattr(chosen, "load", 1.0),
    )


def measure(
    contestants: Mapping[str, Callable[[], float]], ratios: Sequence[Ratio], chosen: Options
) -> Report:
    """Run the rounds; a contestant returns its one number each time it is called."""
    found: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(1, chosen.rounds + 1):
        for name, contestant in contestants.items():
            value = contestant()
            found[name].append(value)
            print(f"round {number}  {name}: {shown(value)}", file=sys.stderr)
    return Report(
        machine=machine(),
        rounds=chosen.rounds,
        medians={name: statistics.median(values) for name, values in found.items()},
        verdicts=[verdict(ratio, found[ratio.ours], found[ratio.other]) for ratio in ratios],
    )


def verdict(ratio: Ratio, ours: Sequence[float], others: Sequence[float]) -> Verdict:
    """Judge a promise by the ratios within each round."""
    each = [mine / theirs for mine, theirs in zip(ours, others, strict=True)]
    middle = statistics.median(each)
    return Verdict(
        row=ratio.row,
        name=ratio.name,
        ratio=middle,
        lowest=min(each),
        highest=max(each),
        target=ratio.target,
        moonshot=ratio.moonshot,
        kept=middle <= ratio.target if ratio.less_is_better else middle >= ratio.target,
    )


def tell(report: Report, chosen: Options) -> None:
    """Print the report, for a person or for a program."""
    if chosen.as_json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    print(report.machine)
    print(f"medians of {report.rounds} interleaved rounds:")
    for name, value in report.medians.items():
        print(f"  {name:<58} {shown(value):>12}")
    for found in report.verdicts:
        print(
            f"row {found.row}: {found.name}: {found.ratio:.2f}"
            f"  [{found.lowest:.2f} … {found.highest:.2f}]"
            f"  target {found.target:g} {'kept' if found.kept else 'MISSED'},"
            f" moonshot {found.moonshot:g}"
        )


def shown(value: float) -> str:
    """A number with as many digits as mean something."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def machine() -> str:
    """Where the numbers come from; alone they mean little."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return (
        f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()},"
        f" Python {platform.python_version()}, load before {load:.1f}"
    )


def processor() -> str:
    """The processor's name, where the system tells it."""
    described = Path("/proc/cpuinfo")
    if described.exists():
        for line in described.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
