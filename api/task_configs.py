"""What ``config`` may say, for each type of task that the platform knows how to check.

A type that an operator's own plugin runs has no schema here: its config is bounded in size and
depth, and judged by the plugin. Source: the published contract, 创建任务.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from api.fields import URL_MAX, address_with
from api.messages import Fault
from api.validation import check_of, checked, faults_of_fields

CONFIG_BYTES_MAX: Final = 32 * 1024
CONFIG_DEPTH_MAX: Final = 8

Timeout = Annotated[
    int,
    Meta(
        ge=1,
        le=86_400,
        description="Seconds after which the task is killed; may only lower the default.",
    ),
]


class VideoAnalysisConfig(Struct, kw_only=True, forbid_unknown_fields=True):
    """``video_analysis``: what to look at, and for what."""

    video_url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=URL_MAX,
            description=(
                "https; file, within the media directory of the farm's servers; or http, "
                "which servers refuse unless their operator allows it (--allow-http)."
            ),
            examples=["https://example.com/video.mp4"],
        ),
        checked(address_with("http", "https", "file")),
    ]
    analysis_type: Literal["content", "scenes", "motion"] = "content"
    timeout_seconds: Timeout | None = None


class TestConfig(Struct, kw_only=True, forbid_unknown_fields=True):
    """``test``: goes the whole way of a task without a workload."""

    seconds: Annotated[float, Meta(ge=0, le=3600, description="How long to run.")] = 0.0
    fail: bool = False
    output: Annotated[int, Meta(ge=0, le=1_000_000, description="Lines to write.")] = 0
    ignore_stop: bool = False
    timeout_seconds: Timeout | None = None


CONFIGS: Final[dict[str, type[Struct]]] = {
    "video_analysis": VideoAnalysisConfig,
    "test": TestConfig,
}


def config_faults(task_type: str, config: Mapping[str, Any]) -> Iterator[tuple[str, Fault]]:
    """Everything that is wrong with a task's config."""
    if len(msgspec.json.encode(config)) > CONFIG_BYTES_MAX:
        yield "config", Fault("too_large", {"limit": CONFIG_BYTES_MAX})
        return
    if _depth(config) > CONFIG_DEPTH_MAX:
        yield "config", Fault("too_deep", {"limit": CONFIG_DEPTH_MAX})
        return
    shape = CONFIGS.get(task_type)
    if shape is None or _fits(config, shape):
        return
    found = faults_of_fields(
        config, _HINTS[shape], required=_REQUIRED[shape], strict=True, prefix="config."
    )
    for path, faults in found.items():
        for fault in faults:
            yield path, fault


def _fits(config: Mapping[str, Any], shape: type[Struct]) -> bool:
    """Whether there is nothing to say, in one conversion."""
    try:
        value = msgspec.convert(config, shape)
    except msgspec.ValidationError:
        return False
    return not any(check(getattr(value, name)) for name, check in _CHECKS[shape].items())


def _depth(value: Any) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
        case _:
            return 0


_HINTS: Final = {
    shape: get_type_hints(shape, include_extras=True) for shape in CONFIGS.values()
}
_REQUIRED: Final = {
    shape: frozenset(
        field.name
        for field in msgspec.structs.fields(shape)
        if field.default is NODEFAULT and field.default_factory is NODEFAULT
    )
    for shape in CONFIGS.values()
}
_CHECKS: Final = {
    shape: {
        name: check
        for name, annotation in _HINTS[shape].items()
        if (check := check_of(annotation)) is not None
    }
    for shape in CONFIGS.values()
}
