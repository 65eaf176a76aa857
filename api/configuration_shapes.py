"""The configuration as the contract prints it: its three keys, and ours with units in names.

``KEYS`` pairs each published name with the domain's; money is yuan outside and fen inside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from api.body import ChangeBody
from api.fields import fen_of, money_schema, yuan_between, yuan_text
from api.judging import by_configuration
from api.messages import Fault
from api.validation import Faults, checked
from domain.errors import InvalidInput
from domain.money import to_yuan
from domain.system.configuration import (
    LEASE_ORDER,
    TOO_MANY_TYPES,
    TYPES_MAX,
    Configuration,
    change,
)

_TASK_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")
_affordable = yuan_between("0.00", "10000.00")

KEYS: Final[dict[str, str]] = {
    "max_concurrent_tasks_per_user": "max_concurrent_tasks_per_user",
    "default_task_timeout": "default_task_timeout_s",
    "maintenance_mode": "maintenance_mode",
    "prices_per_minute": "prices_fen_per_minute",
    "default_hold_minutes": "default_hold_min",
    "hold_extension_minutes": "hold_extension_min",
    "heartbeat_interval_seconds": "heartbeat_interval_s",
    "suspect_after_seconds": "suspect_after_s",
    "offline_after_seconds": "offline_after_s",
    "lease_lost_after_seconds": "lease_lost_after_s",
    "start_deadline_seconds": "start_deadline_s",
    "cancel_deadline_seconds": "cancel_deadline_s",
    "timeout_grace_seconds": "timeout_grace_s",
    "requeue_budget": "requeue_budget",
    "aging_minutes_per_step": "aging_minutes_per_step",
    "aging_steps_max": "aging_steps_max",
    "system_log_retention_days": "system_log_days",
}
_PUBLISHED: Final = {inside: outside for outside, inside in KEYS.items()}


def _prices(prices: Mapping[str, Decimal | None]) -> Fault | None:
    if not all(_TASK_TYPE.fullmatch(task_type) for task_type in prices):
        return Fault("task_types")
    given = (price for price in prices.values() if price is not None)
    return next((fault for price in given if (fault := _affordable(price))), None)


Price: TypeAlias = Annotated[Decimal, Meta(extra_json_schema=money_schema(0, 10_000))]
Seconds: TypeAlias = Annotated[int, Meta(ge=1, le=86_400)]
Minutes: TypeAlias = Annotated[int, Meta(ge=1, le=1_440)]
_OPEN = "每位用户最多同时未完结的任务数。How many open tasks a user may have at once."
_TIMEOUT = (
    "未指定超时的任务的超时，单位秒。"
    "Seconds after which a task is killed that names no timeout of its own."
)
_MAINTENANCE = (
    "维护模式，开启时仅管理员可写。"
    "While true, only admins write; reading, login and cancelling go on."
)
_PRICES = (
    "每分钟价格，单位元，未列出的类型不变，null 为停用。"
    "Yuan per minute of the task types that are named; the others keep their price, and a type"
    " whose price is null is not taken any more."
)
_HOLD = (
    "无预计时长的任务冻结多久的费用，单位分钟。"
    "Minutes that are set aside for a task without an estimate."
)
_EXTENSION = (
    "运行中每次追加冻结多久的费用，单位分钟。"
    "Minutes by which the hold of a running task is extended."
)
_HEARTBEAT = "服务器心跳间隔，单位秒。Seconds between two heartbeats of a server."
_SUSPECT = (
    "无心跳多久后不再分配任务，单位秒。"
    "Seconds of silence after which a server gets no new work."
)
_OFFLINE = "无心跳多久后视为离线，单位秒。Seconds of silence after which a server is offline."
_LOST = (
    "无心跳多久后任务改派，单位秒。"
    "Seconds of silence after which a server's tasks are given to others."
)
_START = (
    "分配后须在多久内开始，单位秒。"
    "Seconds within which a server must begin a task that was assigned to it."
)
_CANCEL = (
    "代理须在多久内确认取消，单位秒。Seconds within which an agent must confirm a cancellation."
)
_TIMEOUT_GRACE = (
    "超时后再过多久由平台终止，单位秒。"
    "Seconds past its timeout after which the platform ends a task itself."
)
_REQUEUE = (
    "因平台故障最多重新排队几次。How often a task is queued again after faults of the platform."
)
_AGING = (
    "每等待多久提升一级优先级，单位分钟。"
    "Minutes of waiting that raise a task by one step of priority."
)
_STEPS = "等待最多提升几级优先级。By how many steps waiting may raise a task's priority."
_SYSTEM_LOG = "系统日志保留天数。For how many days lines of the system log are kept."


@by_configuration
def _judge(given: Mapping[str, Any], configuration: Configuration, _now: datetime) -> Faults:
    """That the times of a lease stand in order, as far as they are, and a price is left."""
    try:
        change(configuration, _inside(given))
    except InvalidInput as refusal:
        return faults_of_whole(refusal)
    return {}


class ConfigurationRequest(ChangeBody):
    """The keys to change; at least one."""

    judge = _judge

    max_concurrent_tasks_per_user: (
        Annotated[int, Meta(ge=1, le=1_000, description=_OPEN, examples=[5])] | None
    ) = None
    default_task_timeout: (
        Annotated[int, Meta(ge=10, le=86_400, description=_TIMEOUT, examples=[3600])] | None
    ) = None
    maintenance_mode: (
        Annotated[bool, Meta(description=_MAINTENANCE, examples=[False])] | None
    ) = None
    prices_per_minute: (
        Annotated[
            dict[str, Price | None],
            Meta(
                min_length=1,
                max_length=TYPES_MAX,
                description=_PRICES,
                examples=[{"video_analysis": 1.05}],
            ),
            checked(_prices),
            yuan_text("0.00", "10000.00"),
        ]
        | None
    ) = None
    default_hold_minutes: Annotated[Minutes, Meta(description=_HOLD, examples=[10])] | None = (
        None
    )
    hold_extension_minutes: (
        Annotated[Minutes, Meta(description=_EXTENSION, examples=[5])] | None
    ) = None
    heartbeat_interval_seconds: (
        Annotated[Seconds, Meta(description=_HEARTBEAT, examples=[5])] | None
    ) = None
    suspect_after_seconds: (
        Annotated[Seconds, Meta(description=_SUSPECT, examples=[15])] | None
    ) = None
    offline_after_seconds: (
        Annotated[Seconds, Meta(description=_OFFLINE, examples=[30])] | None
    ) = None
    lease_lost_after_seconds: (
        Annotated[Seconds, Meta(description=_LOST, examples=[120])] | None
    ) = None
    start_deadline_seconds: (
        Annotated[Seconds, Meta(description=_START, examples=[15])] | None
    ) = None
    cancel_deadline_seconds: (
        Annotated[Seconds, Meta(description=_CANCEL, examples=[30])] | None
    ) = None
    timeout_grace_seconds: (
        Annotated[Seconds, Meta(description=_TIMEOUT_GRACE, examples=[180])] | None
    ) = None
    requeue_budget: (
        Annotated[int, Meta(ge=0, le=20, description=_REQUEUE, examples=[3])] | None
    ) = None
    aging_minutes_per_step: (
        Annotated[Minutes, Meta(description=_AGING, examples=[10])] | None
    ) = None
    aging_steps_max: (
        Annotated[int, Meta(ge=0, le=10, description=_STEPS, examples=[3])] | None
    ) = None
    system_log_retention_days: (
        Annotated[int, Meta(ge=1, le=3_650, description=_SYSTEM_LOG, examples=[30])] | None
    ) = None


class ConfigurationItem(Struct, kw_only=True):
    """The whole configuration."""

    max_concurrent_tasks_per_user: Annotated[int, Meta(description=_OPEN, examples=[5])]
    default_task_timeout: Annotated[int, Meta(description=_TIMEOUT, examples=[3600])]
    maintenance_mode: Annotated[bool, Meta(description=_MAINTENANCE, examples=[False])]
    prices_per_minute: Annotated[
        dict[str, float],
        Meta(
            description="各任务类型每分钟价格，单位元。"
            "Yuan per minute of each enabled task type.",
            examples=[{"video_analysis": 1.05, "test": 0}],
        ),
    ]
    default_hold_minutes: Annotated[int, Meta(description=_HOLD, examples=[10])]
    hold_extension_minutes: Annotated[int, Meta(description=_EXTENSION, examples=[5])]
    heartbeat_interval_seconds: Annotated[int, Meta(description=_HEARTBEAT, examples=[5])]
    suspect_after_seconds: Annotated[int, Meta(description=_SUSPECT, examples=[15])]
    offline_after_seconds: Annotated[int, Meta(description=_OFFLINE, examples=[30])]
    lease_lost_after_seconds: Annotated[int, Meta(description=_LOST, examples=[120])]
    start_deadline_seconds: Annotated[int, Meta(description=_START, examples=[15])]
    cancel_deadline_seconds: Annotated[int, Meta(description=_CANCEL, examples=[30])]
    timeout_grace_seconds: Annotated[int, Meta(description=_TIMEOUT_GRACE, examples=[180])]
    requeue_budget: Annotated[int, Meta(description=_REQUEUE, examples=[3])]
    aging_minutes_per_step: Annotated[int, Meta(description=_AGING, examples=[10])]
    aging_steps_max: Annotated[int, Meta(description=_STEPS, examples=[3])]
    system_log_retention_days: Annotated[int, Meta(description=_SYSTEM_LOG, examples=[30])]


def changes_of(request: ConfigurationRequest) -> dict[str, Any]:
    """The named keys as the domain calls them."""
    return _inside(msgspec.structs.asdict(request))


def _inside(given: Mapping[str, Any]) -> dict[str, Any]:
    return {
        inside: _in_fen(value) if outside == "prices_per_minute" else value
        for outside, inside in KEYS.items()
        if (value := given.get(outside)) is not None
    }


def configuration_of(configuration: Configuration) -> ConfigurationItem:
    """The configuration in the contract's shape."""
    values = msgspec.structs.asdict(configuration)
    prices = {
        task_type: to_yuan(price)
        for task_type, price in configuration.prices_fen_per_minute.items()
    }
    return ConfigurationItem(
        **{outside: values[inside] for outside, inside in KEYS.items()}
        | {"prices_per_minute": prices}
    )


def faults_of_whole(refusal: InvalidInput) -> Faults:
    """What would be wrong with the configuration as a whole; each range was checked before."""
    errors = refusal.details["field_errors"]
    return {_PUBLISHED[key]: [_fault_of_whole(key, error)] for key, error in errors.items()}


def _fault_of_whole(key: str, error: str) -> Fault:
    if key in LEASE_ORDER:
        shorter = LEASE_ORDER[LEASE_ORDER.index(key) - 1]
        return Fault("longer_than", {"other": _PUBLISHED[shorter]})
    if error == TOO_MANY_TYPES:
        return Fault("too_many", {"limit": TYPES_MAX})
    return Fault("no_price_left")


def _in_fen(prices: Mapping[str, Decimal | None]) -> dict[str, int | None]:
    return {
        task_type: None if price is None else fen_of(price)
        for task_type, price in prices.items()
    }
