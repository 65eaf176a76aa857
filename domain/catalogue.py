"""Every fact by its permanent tag: bytes to fact and back, and which fields are personal.

A tag that is not here stops whoever reads it: an unknown event is never skipped.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Final, TypeAlias, get_args, get_type_hints

import msgspec

from domain.accounts.events import AdminFact, ClaimFact, UserFact
from domain.facts import Fact, is_personal, is_private, tag_of
from domain.fleet.events import ServerFact
from domain.recharge.events import CodeFact
from domain.system.accesses import AccessFact
from domain.system.events import SystemFact
from domain.system.log_keys import LogKeyFact
from domain.system.read_models import ReadModelFact
from domain.tasks.events import TaskFact
from domain.telemetry.events import TelemetryFact
from domain.wallet.events import WalletFact

BusinessFact: TypeAlias = (
    UserFact
    | ClaimFact
    | AdminFact
    | WalletFact
    | CodeFact
    | TaskFact
    | ServerFact
    | SystemFact
    | ReadModelFact
    | AccessFact
    | LogKeyFact
)

BUSINESS: Final[tuple[type[Fact], ...]] = get_args(BusinessFact)
TELEMETRY: Final[tuple[type[Fact], ...]] = get_args(TelemetryFact)
BY_TAG: Final[dict[str, type[Fact]]] = {tag_of(fact): fact for fact in BUSINESS + TELEMETRY}

_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(BusinessFact | TelemetryFact)


def encode(fact: Fact) -> bytes:
    """The fact as JSON, its tag under ``type``."""
    return _ENCODER.encode(fact)


def decode(state: bytes) -> Any:
    """The fact that ``state`` says.

    Raises:
        msgspec.ValidationError: an unknown tag, or bytes that do not fit it.
    """
    return _DECODER.decode(state)


def decode_lines(states: bytes) -> list[Any]:
    """The facts of several states, a line each.

    Raises:
        msgspec.ValidationError: as ``decode``, for any of them.
    """
    return _DECODER.decode_lines(states)


@cache
def personal_fields(fact: type[Fact]) -> tuple[str, ...]:
    """The names of the fields that are stored encrypted, and read in the clear."""
    return _marked(fact, is_personal)


@cache
def private_fields(fact: type[Fact]) -> tuple[str, ...]:
    """The names of those that are stored encrypted too, and read as they are stored."""
    return _marked(fact, is_private)


def _marked(fact: type[Fact], mark: Callable[[tuple[object, ...]], bool]) -> tuple[str, ...]:
    hints = get_type_hints(fact, include_extras=True)
    return tuple(
        name
        for name in fact.__struct_fields__
        if any(
            mark(getattr(part, "__metadata__", ()))
            for part in (hints[name], *get_args(hints[name]))
        )
    )


def subject_of(tag: str) -> str:
    """The NATS subject under which an event with this tag is published."""
    name, _, version = tag.partition("/")
    return f"owl.events.{name}" if version == "1" else f"owl.events.{name}_v{version}"
