"""What only the domain can judge of a body, said beside what else is wrong with it.

A good body is judged by its command. Of a bad one nothing is commanded, so what is good in it
is put to the same rules here, with the configuration and the time of the moment.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from api.fields import as_utc
from api.messages import Fault
from api.validation import Faults
from domain.system.configuration import Configuration

Judge: TypeAlias = Callable[[Mapping[str, Any], Configuration, datetime], Faults]
"""From the good fields of a body to what is wrong with them all the same."""


def no_objection(
    _given: Mapping[str, Any], _configuration: Configuration, _now: datetime
) -> Faults:
    """Of a body that is judged by its form alone."""
    return {}


def judge_order(
    given: Mapping[str, Any], configuration: Configuration, _now: datetime
) -> Faults:
    """Of an order: that the farm runs its type."""
    enabled = configuration.prices_fen_per_minute
    if "task_type" not in given or given["task_type"] in enabled:
        return {}
    return {"task_type": [Fault("choice", {"choices": ", ".join(sorted(enabled))})]}


def judge_batch(
    given: Mapping[str, Any], _configuration: Configuration, now: datetime
) -> Faults:
    """Of recharge codes: that they are not dead from the start."""
    expires_at: datetime | None = given.get("expires_at")
    if expires_at is None or as_utc(expires_at) > now:
        return {}
    return {"expires_at": [Fault("past")]}
