"""Decisions about a running task's money: whether what is held lasts, and what to do if not.

Law: never more is held for an attempt than it may cost until its timeout, and more is set aside
by one step at a time, only when what is held runs out: the rest stays the user's to spend.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeAlias

from msgspec import Struct

from domain.money import MS_PER_MINUTE, Fen, price_of
from domain.tasks.task import Task, cost_of, most_of, run_ms_of

LEAD_MS: Final = 15_000
"""More is set aside while the hold still lasts for this long: for as long as it may take until
another process looks after the holds, and a few looks more."""


class Enough(Struct, frozen=True):
    """The hold lasts, or there is nothing to pay."""


class Extend(Struct, frozen=True):
    """Set ``amount_fen`` more aside."""

    amount_fen: Fen


class Exhausted(Struct, frozen=True):
    """Every held fen has been used and nothing more may be spent: the task must stop."""


Review: TypeAlias = Enough | Extend | Exhausted


def runs_out(*, run_ms: int, held_fen: Fen, price_fen_per_minute: Fen, timeout_s: int) -> bool:
    """Whether a hold ends soon; one that lasts until the timeout never does."""
    soon = price_of(run_ms + LEAD_MS, price_fen_per_minute=price_fen_per_minute)
    most = most_of(price_fen_per_minute=price_fen_per_minute, timeout_s=timeout_s)
    return held_fen < min(soon, most)


def lasts_ms(held_fen: Fen, price_fen_per_minute: Fen) -> int:
    """For how much of a run a hold lasts; of a task that costs something."""
    return held_fen * MS_PER_MINUTE // price_fen_per_minute


def review(
    task: Task, *, held_fen: Fen, available_fen: Fen, extension_min: int, now: datetime
) -> Review:
    """Judge a task's hold.

    Another ``extension_min`` minutes are wanted, and whatever is owed already; if the user
    cannot pay all of it, what they have buys the seconds that it buys.
    """
    price, timeout_s = task.price_fen_per_minute, task.timeout_s
    run_ms = run_ms_of(task, now)
    if task.phase != "running" or not runs_out(
        run_ms=run_ms, held_fen=held_fen, price_fen_per_minute=price, timeout_s=timeout_s
    ):
        return Enough()
    owed = max(0, cost_of(task, run_ms) - held_fen)
    room = most_of(price_fen_per_minute=price, timeout_s=timeout_s) - held_fen
    if available_fen > 0:
        return Extend(min(owed + price * extension_min, room, available_fen))
    return Exhausted() if cost_of(task, run_ms) >= held_fen else Enough()
