"""What only the domain can judge of a body, said beside what else is wrong with it.

A good body is judged by its command. Of a bad one nothing is commanded, so what is good in it
is put to the same rules here, with the configuration and the time of the moment.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from api.exchange import Exchange
from api.fields import as_utc
from api.messages import Fault
from api.validation import Faults
from commands.configuration import (
    ConfigurationNow,
    ReadConfiguration,
    read_configuration,
)
from domain.system.configuration import Configuration

Judge: TypeAlias = Callable[[Mapping[str, Any], Exchange], Awaitable[Faults]]
"""From the good fields of a body to what is wrong with them all the same."""
Rule: TypeAlias = Callable[[Mapping[str, Any], Configuration, datetime], Faults]
"""The same where only the configuration and the time have to be known."""


async def no_objection(_given: Mapping[str, Any], _exchange: Exchange) -> Faults:
    """Of a body that is judged by its form alone."""
    return {}


def by_configuration(rule: Rule) -> Judge:
    """The judge that hears the rule, with the configuration of the moment."""

    async def judge(given: Mapping[str, Any], exchange: Exchange) -> Faults:
        now = await exchange.ask(read_configuration, ReadConfiguration(), ConfigurationNow)
        return rule(given, now.configuration, exchange.platform.clock())

    return judge


@by_configuration
def judge_order(
    given: Mapping[str, Any], configuration: Configuration, _now: datetime
) -> Faults:
    """Of an order: that the farm runs its type."""
    enabled = configuration.prices_fen_per_minute
    if "task_type" not in given or given["task_type"] in enabled:
        return {}
    return {"task_type": [Fault("choice", {"choices": ", ".join(sorted(enabled))})]}


@by_configuration
def judge_batch(
    given: Mapping[str, Any], _configuration: Configuration, now: datetime
) -> Faults:
    """Of recharge codes: that they are not dead from the start."""
    expires_at: datetime | None = given.get("expires_at")
    if expires_at is None or as_utc(expires_at) > now:
        return {}
    return {"expires_at": [Fault("past")]}
