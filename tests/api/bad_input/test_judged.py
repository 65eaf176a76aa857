"""What only the domain can judge: rows of ``docs/contract/bad-input.md``."""

from typing import Any
from uuid import uuid4

import pytest

from tests.api.live import Person, field_errors, ok

TASK = {"title": "测试任务", "task_type": "test"}
PAST = "2020-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("route", "body", "named"),
    [
        ("POST /api/tasks", {"title": "", "task_type": "nope", "priority": 9},
         {"title", "task_type", "priority"}),
        ("POST /api/tasks?page=1", TASK | {"task_type": "nope"}, {"page", "task_type"}),
        ("POST /api/recharge/codes", {"amount": 0, "expires_at": PAST},
         {"amount", "expires_at"}),
        ("POST /api/recharge/codes?page=1", {"amount": 1, "expires_at": PAST[:-1]},
         {"page", "expires_at"}),
        ("PUT /api/admin/config", {"requeue_budget": 99, "suspect_after_seconds": 80_000},
         {"requeue_budget", "offline_after_seconds"}),
        ("PUT /api/admin/config",
         {"suspect_after_seconds": 80_000, "offline_after_seconds": 0, "x": 1},
         {"offline_after_seconds", "x"}),
        ("POST /api/tasks", TASK | {"title": ""}, {"title"}),
        ("POST /api/recharge/codes", {"amount": 0, "expires_at": "2099-01-01T00:00:00Z"},
         {"amount"}),
        ("POST /api/recharge/codes", {"amount": 0, "expires_at": None}, {"amount"}),
        ("PUT /api/admin/config", {"requeue_budget": 99, "suspect_after_seconds": 16},
         {"requeue_budget"}),
    ],
)  # fmt: skip
def test_what_only_the_domain_can_judge_is_named_with_the_others(
    admin: Person, route: str, body: dict[str, Any], named: set[str]
) -> None:
    """C1.07"""
    method, path = route.split()
    headers = {"Idempotency-Key": uuid4().hex} if method == "POST" else {}
    answer = admin.client.request(method, path, json=body, headers=headers)
    assert field_errors(answer).keys() == named
    again = admin.client.request(method, path, json=body, headers=headers)
    assert again.json() == answer.json()


def test_a_key_that_named_what_was_bad_is_still_free_for_what_is_good(user: Person) -> None:
    """C1.07"""
    headers = {"Idempotency-Key": uuid4().hex}
    bad = user.client.post("/api/tasks", json=TASK | {"title": ""}, headers=headers)
    assert field_errors(bad).keys() == {"title"}
    ok(user.client.post("/api/tasks", json=TASK, headers=headers))
