"""What is wrong with a value: msgspec's word for it, put into a ``Fault`` that has a sentence.

The fast path never comes here: a valid request is one decode. After a failure each field is
converted by itself, so that the answer names all of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import Meta

from api.messages import Fault

Faults = dict[str, list[Fault]]
Check = Callable[[Any], Fault | None]

_CHECK: Final = "check"
_LINES: Final = "lines"
_WRITTEN: Final = "written"

_PATH = re.compile(r" - at `\$?\.?([^`]*)`\Z")
_WANTED = re.compile(r"Expected `([\w.]+)(?: \| null)?`(?:, got `.*`)?\Z")
_BOUND = re.compile(r"Expected `\w+` (of length )?(>=|<=|>|<|that's a multiple of) (\S+)\Z")
_ITEMS = re.compile(r"Expected `(?:array|object)` of length (>=|<=) (\d+)\Z")
_FIELD = re.compile(r"Object (missing required|contains unknown) field `([^`]*)`\Z")
_BOUNDS: Final = {
    ">=": "at_least",
    "<=": "at_most",
    ">": "above",
    "<": "below",
    "that's a multiple of": "multiple",
}
_WANTS: Final = {
    "str": "want_str",
    "int": "want_int",
    "float": "want_float",
    "decimal": "want_float",
    "bool": "want_bool",
    "object": "want_object",
    "array": "want_array",
    "datetime": "time",
    "date": "date",
    "uuid": "uuid",
}
_EXACT: Final = {
    "Invalid RFC3339 encoded datetime": "time",
    "Invalid RFC3339 encoded date": "date",
    "Invalid UUID": "uuid",
    "Invalid decimal string": "want_float",
    "Number out of range": "number_range",
    "Integer value out of range": "number_range",
}
_CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]"
)
"""Controls, line separators, bidirectional controls, halves of characters, what is none."""
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
_BREAKS = re.compile(r"[\n\t]")


def checked(check: Check) -> Meta:
    """Marks a field with a rule of our own, one that msgspec cannot express."""
    return Meta(extra={_CHECK: check})


MULTILINE: Final = Meta(extra={_LINES: True})
"""Marks a text that may hold line breaks and tabs."""


def written_as(pattern: re.Pattern[str], fault: Fault) -> Meta:
    """Marks a field whose texts are judged as they were sent, before anything converts them."""
    return Meta(extra={_WRITTEN: (pattern, fault)})


def is_judged_as_written(annotation: Any) -> bool:
    """Whether what was sent must be seen, because a conversion takes more than is allowed."""
    return extra_of(annotation, _WRITTEN) is not None


def faults_of_fields(
    given: Mapping[str, Any],
    fields: Mapping[str, Any],
    *,
    required: frozenset[str],
    strict: bool,
    prefix: str = "",
) -> Faults:
    """Everything that is wrong with ``given``, field by field.

    ``fields`` maps each field to its annotation; ``strict`` is off for text from a URL.
    """
    found: Faults = {}
    for name, annotation in fields.items():
        if name not in given:
            if name in required:
                _add(found, prefix + name, Fault("missing"))
            continue
        for path, fault in faults_of(given[name], annotation, strict=strict):
            _add(found, prefix + name + path, fault)
    for name in given:
        if name not in fields:
            _add(found, prefix + name, Fault("unknown"))
    return found


def faults_of(value: Any, annotation: Any, *, strict: bool) -> Iterator[tuple[str, Fault]]:
    """What is wrong with one value; each with the path inside it, empty for itself."""
    unclean = list(unclean_texts(value, lines=extra_of(annotation, _LINES) is not None))
    if unclean:
        yield from ((path, Fault("characters")) for path in unclean)
        return
    if written := extra_of(annotation, _WRITTEN):
        pattern, fault = written
        if not all(pattern.fullmatch(text) for text in _texts(value)):
            yield ("", fault)
            return
    if not strict and isinstance(value, str) and (misread := misread_as(value, annotation)):
        yield ("", misread)
        return
    try:
        converted = msgspec.convert(value, annotation, strict=strict)
    except msgspec.ValidationError as error:
        path, fault = explained(str(error), annotation)
        yield (path, fault)
        return
    check: Check | None = extra_of(annotation, _CHECK)
    if check is not None and converted is not None and (fault_found := check(converted)):
        yield ("", fault_found)


def id_of(text: str) -> UUID | None:
    """The id in its one form, 8-4-4-4-12 digits in either case; braces or ``urn:`` are none."""
    return UUID(text) if _UUID.fullmatch(text) else None


def misread_as(text: str, annotation: Any) -> Fault | None:
    """What a lax conversion of a text from a URL would take though it is not written so."""
    kinds = _kinds(annotation)
    if UUID in kinds and id_of(text) is None:
        return Fault("uuid")
    return Fault("want_int") if int in kinds and not _INTEGER.fullmatch(text) else None


def _kinds(annotation: Any) -> set[Any]:
    """The types in it, however wrapped."""
    parts = get_args(annotation)
    if get_origin(annotation) is Literal or not parts:
        return {annotation} if isinstance(annotation, type) else set()
    return {kind for part in parts for kind in _kinds(part)}


def unclean_texts(value: Any, *, lines: bool, path: str = "") -> Iterator[str]:
    """The paths of texts with NUL, control or bidirectional characters or lone surrogates."""
    match value:
        case str():
            if _CONTROL.search(value) or (not lines and _BREAKS.search(value)):
                yield path
        case dict():
            for key, item in value.items():
                if _CONTROL.search(key) or _BREAKS.search(key):
                    yield path
                yield from unclean_texts(item, lines=lines, path=f"{path}.{key}")
        case list():
            for index, item in enumerate(value):
                yield from unclean_texts(item, lines=lines, path=f"{path}[{index}]")


def _texts(value: Any) -> Iterator[str]:
    """Every text in it, keys aside."""
    match value:
        case str():
            yield value
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)


def explained(message: str, annotation: Any = None) -> tuple[str, Fault]:
    """The path and the fault that a message of msgspec speaks of."""
    path, text = "", message
    if place := _PATH.search(message):
        inner = place.group(1)
        path, text = (
            (inner if inner.startswith("[") else f".{inner}") if inner else "",
            message[: place.start()],
        )
    if field := _FIELD.match(text):
        kind = "missing" if field.group(1).startswith("missing") else "unknown"
        return f"{path}.{field.group(2)}", Fault(kind)
    return path, _fault(text, annotation)


def _fault(text: str, annotation: Any) -> Fault:
    if kind := _EXACT.get(text):
        return Fault(kind)
    if text.startswith("Invalid enum value"):
        return Fault("choice", {"choices": ", ".join(map(str, choices_of(annotation)))})
    if items := _ITEMS.match(text):
        return Fault(
            "too_few" if items.group(1) == ">=" else "too_many", {"limit": items.group(2)}
        )
    if bound := _BOUND.match(text):
        length, sign, limit = bound.groups()
        if length:
            return Fault("too_short" if sign == ">=" else "too_long", {"limit": limit})
        return Fault(_BOUNDS[sign], {"limit": limit})
    if "matching regex" in text:
        return Fault("format")
    if wanted := _WANTED.match(text):
        return Fault(_WANTS.get(wanted.group(1), "invalid"))
    return Fault("invalid")


def choices_of(annotation: Any) -> tuple[Any, ...]:
    """The values of a ``Literal``, however wrapped."""
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(choice for part in get_args(annotation) for choice in choices_of(part))


def extra_of(annotation: Any, key: str) -> Any:
    """What ``Annotated`` metadata says under ``key``, however the annotation is wrapped."""
    for item in getattr(annotation, "__metadata__", ()):
        if isinstance(item, Meta) and item.extra and key in item.extra:
            return item.extra[key]
    for part in get_args(annotation):
        if not isinstance(part, Meta) and (found := extra_of(part, key)) is not None:
            return found
    return None


def check_of(annotation: Any) -> Check | None:
    """The field's own rule, if it has one."""
    check: Check | None = extra_of(annotation, _CHECK)
    return check


def _add(found: Faults, field: str, fault: Fault) -> None:
    found.setdefault(field, []).append(fault)
