"""Schemathesis from our own document: good and bad requests to every operation, over HTTP.

No 5xx, no status or field that is not documented, nothing outside the envelope, bad data
refused; by everybody, one request at a time and in stories that follow the document's links.
Half of the ids in the former are of things that are there, so that requests get past the 404.
``OWL_FUZZ_EXAMPLES=500`` makes it long, and then every run draws other requests.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple
from uuid import uuid4
from zlib import crc32

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from msgspec.structs import replace
from schemathesis import Case, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    ensure_resource_availability,
    ignored_auth,
    missing_required_header,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
    use_after_free,
)

from api.app import bare_application
from api.openapi import described
from tests.api.live import PASSWORD, LiveApi, Person, ok
from tests.journeys.farm import Server

LONG = os.environ.get("OWL_FUZZ_EXAMPLES")
EXAMPLES = int(LONG or 2)
STEPS = 16
STORIES = {"admin": 8, "user": 16, "auditor": 4, "anonymous": 2}
ROLES = tuple(STORIES)
USED = {"admin": 2, "user": 1}
"""Operations on one thing that a role's stories got through to, at the least.

What a story draws changes with the document; ``test_links.py`` shows that each link leads on.
"""
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    negative_data_rejection,
    missing_required_header,
    unsupported_method,
    allow_header_conformance,
    ignored_auth,
]
IN_STORIES = [use_after_free, ensure_resource_availability]
SENSIBLE: dict[str, dict[str, Any]] = {
    "POST /api/tasks": {"task_type": "test", "config": {}, "title": "x", "description": ""},
    "POST /api/recharge/codes": {"amount": 1, "batch_size": 2, "max_uses": 3}
    | {"expires_at": None, "description": ""},
    "POST /api/users/change-password": {"current_password": PASSWORD},
}
"""What no drawn value hits, and without which nothing is made that a story could go on with."""
DOCUMENT = described(bare_application())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
STORY = schemathesis.openapi.from_dict(DOCUMENT)
STORY.config.generation.update(modes=[GenerationMode.POSITIVE])
SETTINGS = settings(
    derandomize=LONG is None,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


class Cast(NamedTuple):
    """Who asks, by role, ids of things that are there, and the connection of them all."""

    people: dict[str, Person]
    ids: dict[str, str]
    session: requests.Session


@pytest.fixture(scope="module")
def cast(api: LiveApi, admin: Person) -> Iterator[Cast]:
    tails = api.app.state.tails
    tails.config = replace(tails.config, most_s=0.05)
    server = Server(api, admin, name="fuzzed")
    server.enrol()
    server.beat()
    many = {"max_concurrent_tasks_per_user": 1000}
    ok(admin.client.put("/api/admin/config", json=many))
    with ExitStack() as stack:
        session = stack.enter_context(requests.Session())
        session.trust_env = False  # or it reads the machine's files anew for each request
        user = stack.enter_context(api.someone())
        auditor = stack.enter_context(api.someone("auditor"))
        changed = stack.enter_context(api.someone())
        ok(admin.client.put(f"/api/admin/users/{user.user_id}", json={"balance": 1000}))
        task = ok(user.client.post("/api/tasks", json={"title": "x", "task_type": "test"}))
        code = ok(admin.client.post("/api/recharge/codes", json={"amount": 1}))["codes"][0]
        yield Cast(
            {"admin": admin, "user": user, "auditor": auditor},
            {
                "task_id": task["id"],
                "server_id": str(server.server_id),
                "code_id": code["id"],
                "user_id": str(changed.user_id),
                "account": str(user.user_id),
                "read_model": "users",
            },
            session,
        )


class Asking:
    """Whoever asks, as long as their token is good."""

    def __init__(self, api: LiveApi, role: str, stack: ExitStack) -> None:
        self.api, self.role, self._stack = api, role, stack
        self.renew()

    def renew(self) -> None:
        """Be somebody new of the same role."""
        self.headers: dict[str, str] = {}
        if self.role != "anonymous":
            person = self._stack.enter_context(self.api.someone(self.role))  # type: ignore[arg-type]
            self.headers["Authorization"] = f"Bearer {person.token}"


def kept_usable(case: Case[Any]) -> None:
    """Not the two things after which everybody is told the same: they have their own tests."""
    if str(case.headers.get("Owl-Min-Position", "")).isdigit():
        del case.headers["Owl-Min-Position"]  # of the future it is a 503, as described
    if isinstance(case.body, dict) and case.body.get("maintenance_mode") is True:
        case.body["maintenance_mode"] = False


@SCHEMA.parametrize()
@settings(SETTINGS, max_examples=EXAMPLES)
def test_an_operation_keeps_to_its_description(
    case: Case[Any], api: LiveApi, cast: Cast
) -> None:
    drawn = crc32(repr((case.body, case.query, case.path_parameters)).encode())
    for name in case.path_parameters or {}:
        if name in cast.ids and drawn % 2 == 0:
            case.path_parameters[name] = cast.ids[name]
    kept_usable(case)
    # every second request is an admin's: they get furthest
    role = "admin" if drawn & 2 else ROLES[drawn // 4 % len(ROLES)]
    headers = {}
    if role != "anonymous":
        headers["Authorization"] = f"Bearer {cast.people[role].token}"
    response = case.call(base_url=api.url, headers=headers, session=cast.session)
    case.validate_response(response, checks=CHECKS, headers=headers)
    enveloped(response)


@pytest.mark.parametrize("role", ROLES)
def test_a_story_along_the_links_keeps_to_its_descriptions(
    api: LiveApi, cast: Cast, role: str
) -> None:
    statuses: Counter[tuple[str, int]] = Counter()
    with ExitStack() as stack:
        asking = Asking(api, role, stack)

        class Story(STORY.as_state_machine()):  # type: ignore[misc]
            """One client's requests, each with ids out of the answers before."""

            def setup(self) -> None:
                with api.client(asking.headers.get("Authorization", "")[7:]) as client:
                    if asking.headers and not client.get("/api/users/me").is_success:
                        asking.renew()

            def before_call(self, case: Case[Any]) -> None:
                kept_usable(case)
                if isinstance(case.body, dict):
                    case.body |= SENSIBLE.get(case.operation.label, {})
                    if case.operation.label == "POST /api/gpu/servers":
                        case.body["name"] = f"s{uuid4().hex[:12]}"

            def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
                return {
                    "base_url": api.url,
                    "headers": asking.headers,
                    "session": cast.session,
                }

            def after_call(self, response: Response, case: Case[Any]) -> None:
                super().after_call(response, case)
                statuses[(case.operation.label, response.status_code)] += 1

            def validate_response(self, response: Response, case: Case[Any], **_: Any) -> None:
                case.validate_response(
                    response,
                    checks=CHECKS + IN_STORIES,
                    headers=asking.headers,
                    recorder=self.recorder,
                )
                enveloped(response)

        stories = int(LONG or STORIES[role])
        Story.run(settings=settings(SETTINGS, max_examples=stories, stateful_step_count=STEPS))
    assert statuses.total() > stories
    used = {label for label, status in statuses if status == 200 and "{" in label}
    if role in USED:  # the others make nothing
        assert len(used) >= USED[role], f"nothing that was made was used: {statuses}"


def enveloped(response: Response) -> None:
    """Whatever is JSON and not a document is in the envelope, and tells no secret."""
    if response.headers.get("content-type") != ["application/json"]:
        return
    body = response.json()
    wanted = {"data"} if body["success"] else {"details"}
    assert body.keys() == {"success", "message", "error_code"} | wanted
    assert body["message"]
    assert PASSWORD not in str(body)
