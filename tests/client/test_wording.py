"""Figures and strangers' texts in a terminal."""

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console, Group
from rich.text import Text

from api.client.wording import BARS, clean, lasting, line, local, moment, size, sparkline, yuan

FIGURES = st.lists(st.floats(0, 100), min_size=1, max_size=700)


def printed(text: Text) -> str:
    console = Console(force_terminal=True, width=200, color_system=None)
    with console.capture() as capture:
        console.print(text)
    return capture.get()


@given(FIGURES, st.integers(1, 80))
def test_a_sparkline_is_never_wider_than_asked_nor_than_its_figures(
    figures: list[float], width: int
) -> None:
    bars = sparkline(figures, width, least=0, most=100)
    assert len(bars) == min(width, len(figures))
    assert set(bars) <= set(BARS)


@given(FIGURES, st.integers(1, 80))
def test_the_highest_figure_always_shows_as_the_highest_bar(
    figures: list[float], width: int
) -> None:
    peak = max(figures)
    bars = sparkline(figures, width, least=0, most=peak)
    assert (BARS[-1] in bars) == (peak > 0)


def test_bars_rise_with_their_figures() -> None:
    assert sparkline(range(8), 8, least=0, most=7) == BARS


@given(st.text())
def test_a_strangers_text_cannot_steer_the_terminal(text: str) -> None:
    shown = printed(clean(text)).replace("\n", "")
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown)


def test_a_strangers_text_is_not_read_as_markup() -> None:
    assert printed(clean("[bold]x[/bold] :owl:")).strip() == "[bold]x[/bold] :owl:"


def test_a_command_that_is_to_be_copied_is_never_folded() -> None:
    command = "owl-agent run --api-url " + "x" * 200
    console = Console(width=40)
    with console.capture() as capture:
        console.print(Group(line(command)), crop=False)
    assert capture.get() == command + "\n"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00.000"), (5.28, "0:05.280"), (59.9996, "1:00.000"), (3725.28, "1:02:05.280")],
)
def test_a_moment_rounds_into_the_next_minute(seconds: float, shown: str) -> None:
    assert moment(seconds) == shown


def test_money_is_shown_to_the_fen() -> None:
    assert yuan(5.25) == "¥5.25"
    assert yuan(1234567.8) == "¥1,234,567.80"
    assert yuan(-0.05) == "-¥0.05"
    assert yuan(None) == "–"


def test_durations_and_sizes_take_the_unit_that_fits() -> None:
    assert [lasting(s) for s in (2.126, 185, 7500)] == ["2.13 s", "3 min 05 s", "2 h 05 min"]
    assert [size(n) for n in (999, 14_541, 5_000_000)] == ["999 B", "14.2 KiB", "4.8 MiB"]


def test_a_time_on_the_readers_clock_says_how_far_it_is_from_utc() -> None:
    shown = local(datetime(2026, 3, 1, 12, tzinfo=UTC))
    assert datetime.strptime(shown, "%Y-%m-%d %H:%M:%S %z") == datetime(
        2026, 3, 1, 12, tzinfo=UTC
    )
    assert local(None) == "–"
