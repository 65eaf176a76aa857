"""Whether an answer has the shape of a printed one: every field, each of its type and form.

More fields than printed are fine, fewer or other ones are not.
"""

import re
from collections.abc import Iterator
from typing import Any

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
CODE = re.compile(r"OWL(-[0-9A-Z]{4}){3}")
PRINTED_UUID = re.compile(r"(\w+_)?uuid")

FILLED = {
    "error_code": "ERROR_CODE",
    "error_message": "失败原因",
    "completed_at": "2024-01-15T10:40:00Z",
}
"""What is printed empty, as it is where it is not: a field that is not here is a defect."""


def differences(printed: Any, given: Any, path: str = "") -> Iterator[str]:
    """What is wrong with ``given``, each with its place."""
    match printed:
        case dict():
            yield from _of_object(printed, given, path)
        case list():
            yield from _of_list(printed, given, path)
        case None:
            filled = FILLED[path.rpartition(".")[2]]
            if given is not None and not _fits(filled, given):
                yield f"{path}: neither empty nor like {filled!r} but {given!r}"
        case _:
            if not _fits(printed, given):
                yield f"{path}: {given!r} is not like {printed!r}"


def _of_object(printed: dict[str, Any], given: Any, path: str) -> Iterator[str]:
    if not isinstance(given, dict):
        yield f"{path}: no object but {given!r}"
        return
    for name, value in printed.items():
        if name in given:
            yield from differences(value, given[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: missing"


def _of_list(printed: list[Any], given: Any, path: str) -> Iterator[str]:
    if not isinstance(given, list) or (printed and not given):
        yield f"{path}: no list with items but {given!r}"
        return
    for index, item in enumerate(given if printed else []):
        yield from differences(printed[0], item, f"{path}[{index}]")


def _fits(printed: Any, given: Any) -> bool:
    match printed:
        case bool():
            return isinstance(given, bool)
        case int():
            return isinstance(given, int) and not isinstance(given, bool)
        case float():
            return isinstance(given, int | float) and not isinstance(given, bool)
        case str():
            if not isinstance(given, str):
                return False
            for form in (TIME, CODE):
                if form.fullmatch(printed):
                    return form.fullmatch(given) is not None
            if PRINTED_UUID.fullmatch(printed):
                return UUID.fullmatch(given) is not None
            return True
    raise AssertionError(f"JSON has no {printed!r}")
