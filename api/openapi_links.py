"""Which request may follow another, with an id out of its answer: the document's ``links``.

A client, or a test that plays one, follows them from what it has made to what can be done with
it. A link that its reader may not follow (it is for admins) is refused like any such request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from api.openapi_schemas import Schema


class Ids(NamedTuple):
    """``parameter`` of each of ``operations`` stands at ``place`` in an answer."""

    parameter: str
    place: str
    operations: tuple[str, ...]


_OF_TASKS: Final = (
    *("tasks_read_task", "tasks_cancel", "tasks_retry", "tasks_remove"),
    "logs_read_task_log",
)
_OF_SERVERS: Final = (
    *("gpu_read_server", "gpu_read_server_status", "fleet_change", "fleet_drain"),
    *("fleet_resume", "fleet_issue_token", "fleet_remove"),
)
_OF_CODES: Final = ("recharge_reveal", "recharge_revoke")
_OF_USERS: Final = ("admin_change_user",)
IDS: Final[dict[str, Ids]] = {
    "tasks_submit": Ids("task_id", "/data/id", _OF_TASKS),
    "tasks_list_tasks": Ids("task_id", "/data/items/0/id", _OF_TASKS),
    "tasks_read_task": Ids("task_id", "/data/id", _OF_TASKS),
    "tasks_cancel": Ids("task_id", "/data/id", _OF_TASKS),
    "tasks_retry": Ids("task_id", "/data/id", _OF_TASKS),
    "tasks_remove": Ids("task_id", "/data/id", _OF_TASKS),
    "gpu_list_servers": Ids("server_id", "/data/0/id", _OF_SERVERS),
    "fleet_register": Ids("server_id", "/data/id", _OF_SERVERS),
    "fleet_drain": Ids("server_id", "/data/id", _OF_SERVERS),
    "fleet_remove": Ids("server_id", "/data/id", _OF_SERVERS),
    "recharge_issue": Ids("code_id", "/data/codes/0/id", _OF_CODES),
    "recharge_list_codes": Ids("code_id", "/data/items/0/id", _OF_CODES),
    "recharge_revoke": Ids("code_id", "/data/id", _OF_CODES),
    "auth_register": Ids("user_id", "/data/id", _OF_USERS),
    "admin_list_users": Ids("user_id", "/data/items/0/id", _OF_USERS),
    "admin_change_user": Ids("user_id", "/data/id", _OF_USERS),
}
"""By operation: what can be done with the thing that its answer is about."""
FIELDS: Final[dict[str, Mapping[str, Mapping[str, str]]]] = {
    "recharge_issue": {"recharge_redeem": {"code": "/data/codes/0/code"}},
    "recharge_reveal": {"recharge_redeem": {"code": "/data/code"}},
    "fleet_register": {"fleet_enrol": {"token": "/data/enrolment_token"}},
    "fleet_issue_token": {"fleet_enrol": {"token": "/data/enrolment_token"}},
}
"""By operation and by the one that follows: which fields of a body come out of the answer."""


def links_of(operation: str) -> Schema:
    """What the answer of an operation links to, by the operation that follows."""
    return dict(_links(operation))


def _links(operation: str) -> Iterator[tuple[str, Schema]]:
    if ids := IDS.get(operation):
        for target in ids.operations:
            yield target, _link(target, parameters={ids.parameter: _in_answer(ids.place)})
    for target, fields in FIELDS.get(operation, {}).items():
        body = {name: _in_answer(place) for name, place in fields.items()}
        yield target, _link(target, requestBody=body)


def _link(target: str, **what: Any) -> Schema:
    return {"operationId": target, **what}


def _in_answer(place: str) -> str:
    return f"$response.body#{place}"
