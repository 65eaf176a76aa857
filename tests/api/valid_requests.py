"""For each write of the API a request that is good, and which roles every route is open to.

Both are written by hand: what is compared with a policy is not made of it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final
from uuid import uuid4

from domain.accounts.events import Role
from tests.api.live import PASSWORD, Person, ok
from tests.journeys.farm import public_key

_GROUPS: Final[tuple[tuple[tuple[Role, ...], str], ...]] = (
    (
        (),  # nobody is asked who they are
        """
        POST /api/auth/register
        POST /api/auth/login
        POST /api/gpu/servers/enroll
        GET /health/live
        GET /health/ready
        GET /openapi.json
        GET /docs
        GET /docs/{name:str}
        GET /metrics
        """,
    ),
    (
        ("user", "auditor", "admin", "super_admin"),
        """
        GET /api/users/me
        POST /api/users/change-password
        GET /api/users/stats
        GET /api/tasks
        GET /api/tasks/{task_id:uuid}
        GET /api/tasks/{task_id:uuid}/artifacts/{name:str}
        GET /api/gpu/servers
        GET /api/gpu/servers/{server_id:uuid}
        GET /api/gpu/servers/{server_id:uuid}/status
        GET /api/gpu/cluster/overview
        GET /api/recharge/records
        GET /api/logs/tasks/{task_id:uuid}
        """,
    ),
    (
        ("user", "admin", "super_admin"),
        """
        PUT /api/users/me
        POST /api/tasks
        DELETE /api/tasks/{task_id:uuid}
        POST /api/tasks/{task_id:uuid}/cancel
        POST /api/tasks/{task_id:uuid}/retry
        POST /api/recharge/redeem
        """,
    ),
    (
        ("auditor", "admin", "super_admin"),
        """
        GET /api/recharge/codes
        GET /api/admin/stats
        GET /api/admin/users
        GET /api/admin/config
        GET /api/admin/projections
        GET /api/admin/projections/{read_model:str}
        GET /api/admin/projections/{read_model:str}/plan
        GET /api/admin/projections/{read_model:str}/progress
        GET /api/admin/projections/{read_model:str}/diff
        GET /api/logs/system
        GET /api/logs/user-actions
        GET /api/logs/download
        GET /api/audit/events
        GET /api/audit/events/stream
        GET /api/audit/events/{event:str}
        GET /api/audit/events/{stream_id:uuid}/{version:str}
        GET /api/audit/entities/{kind:str}/{entity_id:uuid}
        GET /api/audit/entities/{kind:str}/{entity_id:uuid}/history
        GET /api/audit/diff
        GET /api/audit/trace/{cause:str}
        GET /api/audit/trace/{stream_id:uuid}/{version:str}
        GET /api/audit/log/key
        GET /api/audit/log/keys
        GET /api/audit/log/checkpoint
        GET /api/audit/log/checkpoints
        GET /api/audit/log/tile/{level:str}/{number:path}
        GET /api/audit/log/proof/inclusion
        GET /api/audit/log/proof/consistency
        GET /api/audit/receipts/{event:str}
        GET /api/audit/receipts/{stream_id:uuid}/{version:str}
        GET /api/audit/exports
        GET /api/audit/reconcile
        GET /api/audit/reconcile/{account:uuid}
        GET /api/audit/verify
        """,
    ),
    (
        ("admin", "super_admin"),
        """
        POST /api/gpu/servers
        PUT /api/gpu/servers/{server_id:uuid}
        DELETE /api/gpu/servers/{server_id:uuid}
        POST /api/gpu/servers/{server_id:uuid}/enrolment-token
        POST /api/gpu/servers/{server_id:uuid}/drain
        POST /api/gpu/servers/{server_id:uuid}/resume
        POST /api/recharge/codes
        POST /api/recharge/codes/{code_id:uuid}/reveal
        POST /api/recharge/codes/{code_id:uuid}/revoke
        PUT /api/admin/users/{user_id:uuid}
        PUT /api/admin/config
        POST /api/admin/projections/rebuilds
        POST /api/admin/projections/{read_model:str}/rebuilds
        POST /api/admin/projections/{read_model:str}/{act:str}
        """,
    ),
)
ROLES: Final = {
    line.strip(): frozenset(roles)
    for roles, routes in _GROUPS
    for line in routes.strip().splitlines()
}
"""Every route, and who may; for a route without a row there is no answer."""

CHANGE_PASSWORD: Final = "POST /api/users/change-password"
"""Its token ends with it."""


def _enrolment(admin: Person, said: str) -> Any:
    server = ok(admin.client.post("/api/gpu/servers", json={"name": f"s{uuid4().hex[:12]}"}))
    return {"token": server["enrolment_token"], "public_key": public_key(), "hostname": said}


def _code(admin: Person, _: str) -> Any:
    batch = ok(admin.client.post("/api/recharge/codes", json={"amount": 1}))
    return {"code": batch["codes"][0]["code"]}


BODIES: Final[Mapping[str, Callable[[Person, str], Any]]] = {
    "POST /api/auth/register": lambda _, said: {
        "email": f"{uuid4().hex}@example.com",
        "username": f"u{uuid4().hex[:12]}",
        "password": PASSWORD,
        "full_name": said,
    },
    "POST /api/auth/login": lambda admin, _: {"email": admin.email, "password": PASSWORD},
    "PUT /api/users/me": lambda _, said: {"full_name": said},
    CHANGE_PASSWORD: lambda _, said: {
        "current_password": PASSWORD,
        "new_password": f"{PASSWORD} {said}",
    },
    "POST /api/tasks": lambda _, said: {
        "title": said,
        "description": said,
        "task_type": "test",
    },
    "POST /api/gpu/servers": lambda _, said: {"name": f"{said} {uuid4().hex[:12]}"},
    "PUT /api/gpu/servers/{server_id:uuid}": lambda _, said: {
        "name": f"{said} {uuid4().hex[:12]}"
    },
    "POST /api/gpu/servers/enroll": _enrolment,
    "POST /api/recharge/codes": lambda _, said: {"amount": 1, "description": said},
    "POST /api/recharge/redeem": _code,
    "PUT /api/admin/users/{user_id:uuid}": lambda _, said: {"balance": 5, "reason": said},
    "PUT /api/admin/config": lambda _, __: {"default_task_timeout": 600},
    "POST /api/admin/projections/rebuilds": lambda _, __: {"read_models": ["users"]},
    "POST /api/admin/projections/{read_model:str}/rebuilds": lambda _, __: {
        "switching": "manual"
    },
}
"""What is sent to a write that takes a body, with some text where it takes any."""

QUERIES: Final = {
    "GET /api/audit/events/stream": "?max_seconds=1",
    "GET /api/admin/projections/{read_model:str}/progress": "?max_seconds=1",
    "GET /api/audit/diff": "?from=0",
    "GET /api/audit/log/proof/inclusion": "?position=1",
    "GET /api/audit/log/proof/consistency": "?from=1",
}
"""What has to be asked as well, so that there is an answer, and so that it ends."""
