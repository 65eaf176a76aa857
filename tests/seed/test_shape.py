"""The comparison itself: a planted difference is found."""

from typing import Any

import pytest

from tests.seed.shape import differences

PRINTED: dict[str, Any] = {
    "id": "task_uuid",
    "count": 2,
    "cost": 5.25,
    "open": True,
    "at": "2024-01-15T10:30:00Z",
    "code": "OWL-ABCD-1234-EFGH",
    "completed_at": None,
    "config": {},
    "items": [{"name": "x"}],
}
GIVEN: dict[str, Any] = {
    "id": "0198c0de-0000-7000-8000-000000000001",
    "count": 0,
    "cost": 5,
    "open": False,
    "at": "2026-11-22T00:00:00Z",
    "code": "OWL-2345-6789-ABCD",
    "completed_at": "2026-11-22T00:00:00Z",
    "config": {"a": 1},
    "items": [{"name": "y", "more": 1}, {"name": "z"}],
    "more": [1],
}


def test_more_than_was_printed_is_no_difference() -> None:
    assert list(differences(PRINTED, GIVEN)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("id", "7"),
        ("count", 2.5),
        ("count", True),
        ("count", "2"),
        ("cost", "5.25"),
        ("cost", None),
        ("open", 1),
        ("at", "2026-11-22 00:00:00"),
        ("at", "2026-11-22T00:00:00+00:00"),
        ("at", None),
        ("code", "ABCD"),
        ("completed_at", {}),
        ("completed_at", 7),
        ("completed_at", "yesterday"),
        ("config", None),
        ("config", []),
        ("items", []),
        ("items", {}),
        ("items", [{"name": "y"}, {}]),
        ("items", [{"name": 1}]),
    ],
)
def test_a_planted_difference_is_found(name: str, value: Any) -> None:
    [found] = differences(PRINTED, {**GIVEN, name: value})
    assert found.startswith(f".{name}")


@pytest.mark.parametrize("name", PRINTED)
def test_a_missing_field_is_found(name: str) -> None:
    given = {key: value for key, value in GIVEN.items() if key != name}
    assert list(differences(PRINTED, given)) == [f".{name}: missing"]


def test_what_is_printed_empty_may_be_empty() -> None:
    assert list(differences(PRINTED, {**GIVEN, "completed_at": None})) == []


@pytest.mark.parametrize("value", [7, True, {}])
def test_an_error_is_told_in_words(value: Any) -> None:
    [found] = differences({"error_message": None}, {"error_message": value})
    assert found.startswith(".error_message")
