"""How figures and other people's texts are written for a terminal. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Container, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Final

from rich.table import Table
from rich.text import Text

BARS: Final = "▁▂▃▄▅▆▇█"
NOTHING: Final = "–"
_HEADING: Final = 60
_TURNERS: Final = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e") | frozenset(
    "\u2066\u2067\u2068\u2069"
)
"""They make a line read in another direction than it is written."""
_KIB: Final = 1024
_MINUTE_S: Final = 60
_HOUR_S: Final = 3600
_STYLES: Final = {
    "completed": "green",
    "online": "green",
    "active": "green",
    "running": "cyan",
    "pending": "yellow",
    "maintenance": "yellow",
    "failed": "red",
    "error": "red",
    "cancelled": "magenta",
    "expired": "dim",
    "used": "dim",
    "revoked": "dim",
    "offline": "dim",
}


def clean(text: str, style: str = "") -> Text:
    """A text that somebody else wrote: nothing in it moves the cursor or is read as markup."""
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}" if _commands_the_terminal(character) else character
        for character in text.expandtabs(4)
    )
    return Text(shown, style=style)


def line(text: str, style: str = "") -> Text:
    """As ``clean``, but never folded by us: a path or a command that is to be copied."""
    shown = clean(text, style)
    shown.no_wrap, shown.overflow = True, "ignore"
    return shown


def heading(text: str, style: str = "") -> Text:
    """The line above a part of a page, of the same length on any page."""
    shown = clean(text, style)
    return Text.assemble(shown, (" " + "─" * max(3, _HEADING - shown.cell_len), "dim"))


def clipped(text: str, style: str = "") -> Text:
    """As ``clean``, in one line that ends in … where its column is too narrow."""
    shown = clean(text, style)
    shown.no_wrap, shown.overflow = True, "ellipsis"
    return shown


def listing(*names: str, right: Container[str] = (), narrow: Container[str] = ()) -> Table:
    """A table that fits 80 columns: those in ``narrow`` give way, the others stay whole."""
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for name in names:
        table.add_column(
            name,
            justify="right" if name in right else "left",
            no_wrap=name not in narrow,
        )
    return table


def _commands_the_terminal(character: str) -> bool:
    if character == "\n":
        return False
    return unicodedata.category(character) == "Cc" or character in _TURNERS


def status(name: str) -> Text:
    """A status in its colour."""
    return clean(name, _STYLES.get(name, ""))


def yuan(amount: float | None) -> str:
    """Money to the fen: ``¥5.25``."""
    if amount is None:
        return NOTHING
    return f"-¥{-amount:,.2f}" if amount < 0 else f"¥{amount:,.2f}"


def percent(value: float | None) -> str:
    """``45.5 %``."""
    return NOTHING if value is None else f"{value:.1f} %"


def size(count: int) -> str:
    """Bytes, in the unit that fits: ``14.2 KiB``."""
    amount = float(count)
    for unit in ("B", "KiB", "MiB"):
        if amount < _KIB:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= _KIB
    return f"{amount:.1f} GiB"


def moment(seconds: float) -> str:
    """A place in a video: ``0:05.280``, ``1:02:05.280``."""
    milliseconds = round(seconds * 1000)
    whole, rest = divmod(milliseconds, 1000)
    hours, minutes, s = whole // _HOUR_S, whole // _MINUTE_S % _MINUTE_S, whole % _MINUTE_S
    if hours:
        return f"{hours}:{minutes:02d}:{s:02d}.{rest:03d}"
    return f"{minutes}:{s:02d}.{rest:03d}"


def lasting(seconds: float) -> str:
    """How long something took: ``2.13 s``, ``3 min 05 s``."""
    if seconds < _MINUTE_S:
        return f"{seconds:.2f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    return f"{whole // _HOUR_S} h {whole // _MINUTE_S % _MINUTE_S:02d} min"


def local(at: datetime | None) -> str:
    """A time on the reader's clock, and how far that is from UTC."""
    return NOTHING if at is None else at.astimezone().strftime("%Y-%m-%d %H:%M:%S %z")


def zone_now() -> tzinfo:
    """The reader's offset from UTC at this moment: one for all times of a list."""
    return datetime.now(UTC).astimezone().tzinfo or UTC


def sparkline(values: Sequence[float], width: int, *, least: float, most: float) -> str:
    """``values`` as at most ``width`` bars between ``least`` and ``most``.

    Each bar is the greatest of its share, so that a short peak is not averaged away.
    """
    count = min(width, len(values))
    span = most - least
    bars = []
    for number in range(count):
        share = values[number * len(values) // count : (number + 1) * len(values) // count]
        height = (max(share) - least) / span if span > 0 else 0.0
        bars.append(BARS[min(len(BARS) - 1, max(0, int(height * len(BARS))))])
    return "".join(bars)
