"""Decisions about a running task's money: whether what is held lasts, and what to do if not."""

from __future__ import annotations

from datetime import datetime
from typing import Final, TypeAlias

from msgspec import Struct

from domain.money import Fen
from domain.tasks.task import Task, cost_of, run_ms_of

LEAD_MS: Final = 60_000
"""More is set aside while the hold still lasts for this long."""


class Enough(Struct, frozen=True):
    """The hold lasts, or there is nothing to pay."""


class Extend(Struct, frozen=True):
    """Set ``amount_fen`` more aside."""

    amount_fen: Fen


class Exhausted(Struct, frozen=True):
    """Every held fen has been used and nothing more may be spent: the task must stop."""


Review: TypeAlias = Enough | Extend | Exhausted


def review(
    task: Task, *, held_fen: Fen, available_fen: Fen, extension_min: int, now: datetime
) -> Review:
    """Judge a task's hold.

    Another ``extension_min`` minutes are wanted, and whatever is owed already; if the user
    cannot pay all of it, what they have buys the seconds that it buys.
    """
    if task.phase != "running" or task.price_fen_per_minute == 0:
        return Enough()
    run_ms = run_ms_of(task, now)
    if cost_of(task, run_ms + LEAD_MS) <= held_fen:
        return Enough()
    owed = max(0, cost_of(task, run_ms) - held_fen)
    wanted = owed + task.price_fen_per_minute * extension_min
    if available_fen > 0:
        return Extend(min(wanted, available_fen))
    return Exhausted() if cost_of(task, run_ms) >= held_fen else Enough()
