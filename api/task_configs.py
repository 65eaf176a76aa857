"""What ``config`` may say, for each type of task that the platform knows how to check.

A type that an operator's own plugin runs has no schema here: its config is bounded in size and
depth, and judged by the plugin. Source: the published contract, 创建任务.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal, get_type_hints

import msgspec
from msgspec import NODEFAULT, Meta, Struct

from api.fields import source_url_fault
from api.messages import Fault
from api.platform import HttpConfig
from api.validation import faults_of_fields
from domain.source_url import CHARACTERS_MAX

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


class TaskConfig(Struct, kw_only=True, forbid_unknown_fields=True):
    """The base of what a type of task takes."""

    @classmethod
    def cross_check(
        cls, _given: Mapping[str, Any], _config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """Rules with the platform's configuration; ``given`` are fields of the right kind."""
        yield from ()


class VideoAnalysisConfig(TaskConfig, kw_only=True, forbid_unknown_fields=True):
    """``video_analysis``: what to look at, and for what."""

    video_url: Annotated[
        str,
        Meta(
            min_length=1,
            max_length=CHARACTERS_MAX,
            description=(
                "https on the public internet, port 443 or 80; file, within the media directory"
                " of the farm's servers; or http, which servers refuse unless their operator"
                " allows it (--allow-http)."
            ),
            examples=["https://example.com/video.mp4"],
        ),
    ]
    analysis_type: Literal["content", "scenes", "motion"] = "content"
    timeout_seconds: Timeout | None = None

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """What no server would fetch is said at once."""
        url = given.get("video_url", "")
        if url and (fault := source_url_fault(url, config.fetch_networks)):
            yield "config.video_url", fault


class TestConfig(TaskConfig, kw_only=True, forbid_unknown_fields=True):
    """``test``: goes the whole way of a task without a workload."""

    seconds: Annotated[float, Meta(ge=0, le=3600, description="How long to run.")] = 0.0
    fail: bool = False
    output: Annotated[int, Meta(ge=0, le=1_000_000, description="Lines to write.")] = 0
    ignore_stop: bool = False
    timeout_seconds: Timeout | None = None


CONFIGS: Final[dict[str, type[TaskConfig]]] = {
    "video_analysis": VideoAnalysisConfig,
    "test": TestConfig,
}


def config_faults(
    task_type: str, config: Mapping[str, Any], http: HttpConfig
) -> Iterator[tuple[str, Fault]]:
    """Everything that is wrong with a task's config."""
    if len(msgspec.json.encode(config)) > CONFIG_BYTES_MAX:
        yield "config", Fault("too_large", {"limit": CONFIG_BYTES_MAX})
        return
    if _depth(config) > CONFIG_DEPTH_MAX:
        yield "config", Fault("too_deep", {"limit": CONFIG_DEPTH_MAX})
        return
    shape = CONFIGS.get(task_type)
    if shape is None:
        return
    if _fits(config, shape):
        yield from shape.cross_check(config, http)
        return
    found = faults_of_fields(
        config, _HINTS[shape], required=_REQUIRED[shape], strict=True, prefix="config."
    )
    for path, faults in found.items():
        for fault in faults:
            yield path, fault
    good = {name: value for name, value in config.items() if f"config.{name}" not in found}
    yield from shape.cross_check(good, http)


def _fits(config: Mapping[str, Any], shape: type[Struct]) -> bool:
    """Whether there is nothing to say, in one conversion."""
    try:
        msgspec.convert(config, shape)
    except msgspec.ValidationError:
        return False
    return True


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
