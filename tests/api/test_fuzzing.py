"""Schemathesis from our own document: good and bad requests to every operation, over HTTP.

No 5xx, no status or field that is not documented, nothing outside the envelope, bad data
refused; by everybody, one request at a time and in stories that follow the document's links.
Half of the ids are of things that are there, so that requests get past the 404; who asks stays
signed in, and what was answered is counted, so that none of it is a test of 401 alone.
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
ROLES = ("admin", "user", "auditor", "anonymous")
COSTLY = {f"GET /api/audit/{name}" for name in ("reconcile", "verify", "events/stream")}
"""They read the whole log, or wait for more: of their good requests one in four is sent."""
ANSWERED = 4
"""Answers of each operation to somebody who may ask, at the least."""
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
CHANGE_PASSWORD = "POST /api/users/change-password"
SENSIBLE: dict[str, dict[str, Any]] = {
    "POST /api/tasks": {"task_type": "test", "config": {}, "title": "x", "description": ""},
    "POST /api/recharge/codes": {"amount": 1, "batch_size": 2, "max_uses": 3}
    | {"expires_at": None, "description": ""},
    CHANGE_PASSWORD: {"current_password": PASSWORD, "new_password": f"new {PASSWORD}"},
    "PUT /api/admin/users/{user_id}": {"balance": 1_000, "reason": "x"},
    "PUT /api/admin/config": {"default_task_timeout": 600},
    "PUT /api/users/me": {"full_name": "x"},
}
"""What no drawn value hits, and without which nothing is made that a story could go on with."""
TASKS = (
    "POST /api/tasks",
    "GET /api/tasks/{task_id}",
    "DELETE /api/tasks/{task_id}",
    *(f"POST /api/tasks/{{task_id}}/{act}" for act in ("cancel", "retry")),
)
CODES = (
    "POST /api/recharge/codes",
    "POST /api/recharge/redeem",
    *(f"POST /api/recharge/codes/{{code_id}}/{act}" for act in ("reveal", "revoke")),
)
DONE = {*TASKS, *CODES, *SENSIBLE}
"""Each has to succeed at least once, in all tests together."""
DOCUMENT = described(bare_application())
SCHEMA = schemathesis.openapi.from_dict(DOCUMENT)
SCHEMA.config.generation.update(modes=[GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
SCHEMA.config.phases.coverage.unexpected_methods = {"PATCH"}  # the others: test_methods.py
STORY = schemathesis.openapi.from_dict(DOCUMENT)
STORY.config.generation.update(modes=[GenerationMode.POSITIVE])
TOLD = {
    "admin": (STORY, "admin", 4),
    "user": (STORY, "user", 8),
    "auditor": (STORY, "auditor", 4),
    "anonymous": (STORY, "anonymous", 2),
    "tasks": (STORY.include(name=list(TASKS)), "admin", 8),
    "codes": (STORY.include(name=list(CODES)), "admin", 8),
}
"""Out of which operations, by whom, how many."""
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
    answers: Counter[tuple[str, int]]


@pytest.fixture(scope="module")
def cast(api: LiveApi, admin: Person) -> Iterator[Cast]:
    tails = api.app.state.tails
    tails.config = replace(tails.config, most_s=0.05)
    server = Server(api, admin, name="fuzzed")
    server.enrol()
    server.beat()
    let_work(admin)
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
            Counter(),
        )


def let_work(admin: Person) -> None:
    """Tasks are taken, as many as come, and cost nothing."""
    open_to_all = {"max_concurrent_tasks_per_user": 1000, "prices_per_minute": {"test": 0}}
    ok(admin.client.put("/api/admin/config", json=open_to_all))


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
    """Not what makes all answers after it the same: each has its own tests."""
    if str(case.headers.get("Owl-Min-Position", "")).isdigit():
        del case.headers["Owl-Min-Position"]  # of the future it is a 503, as described
    if isinstance(case.body, dict):
        if case.body.get("maintenance_mode") is True:
            case.body["maintenance_mode"] = False
        if case.body.get("current_password") == PASSWORD:
            case.body["current_password"] = f"not {PASSWORD}"  # it ends the token


def broken(case: Case[Any]) -> set[str | None]:
    """The parameters that a bad case is bad by, so that nothing good is put in their place."""
    assert case.meta is not None
    data = case.meta.phase.data
    if not case.meta.generation.mode.is_negative:
        return set()
    pointed_at = {each.schema_pointer.rpartition("/")[2] for each in data.mutations}
    return {data.parameter, *(each.parameter for each in data.mutations), *pointed_at}


@SCHEMA.parametrize()
@settings(SETTINGS, max_examples=EXAMPLES)
def test_an_operation_keeps_to_its_description(
    case: Case[Any], api: LiveApi, cast: Cast
) -> None:
    label, bad = case.operation.label, broken(case)
    drawn = crc32(repr((case.body, case.query, case.path_parameters)).encode())
    if label in COSTLY and not bad and drawn % 4:
        return
    for name in case.path_parameters or {}:
        if name in cast.ids and drawn % 2 == 0 and name not in bad:
            case.path_parameters[name] = cast.ids[name]
    kept_usable(case)
    turn = sum(n for (asked, _), n in cast.answers.items() if asked == label) + len(label)
    role = "admin" if turn % 4 else ROLES[turn // 4 % len(ROLES)]  # they get furthest
    headers = {}
    if role != "anonymous" and "Authorization" not in bad:
        headers["Authorization"] = f"Bearer {cast.people[role].token}"
    if label == CHANGE_PASSWORD and not bad and isinstance(case.body, dict):
        with api.someone() as somebody:  # their token ends with it
            headers["Authorization"] = f"Bearer {somebody.token}"
        case.body = {**case.body, "current_password": PASSWORD}
    response = case.call(base_url=api.url, headers=headers, session=cast.session)
    case.validate_response(response, checks=CHECKS, headers=headers)
    enveloped(response)
    cast.answers[(label, response.status_code)] += 1


@pytest.mark.parametrize("story", TOLD)
def test_a_story_along_the_links_keeps_to_its_descriptions(
    api: LiveApi, cast: Cast, admin: Person, story: str
) -> None:
    let_work(admin)
    schema, role, stories = TOLD[story]
    before = cast.answers.total()
    with ExitStack() as stack:
        asking = Asking(api, role, stack)

        class Story(schema.as_state_machine()):  # type: ignore[misc]
            """One client's requests, each with ids out of the answers before."""

            def setup(self) -> None:
                with api.client(asking.headers.get("Authorization", "")[7:]) as client:
                    if asking.headers and not client.get("/api/users/me").is_success:
                        asking.renew()

            def before_call(self, case: Case[Any]) -> None:
                kept_usable(case)
                if "user_id" in (case.path_parameters or {}):
                    case.path_parameters["user_id"] = cast.ids["user_id"]  # not who asks
                if isinstance(case.body, dict):
                    case.body |= SENSIBLE.get(case.operation.label, {})
                    if case.operation.label == "POST /api/gpu/servers":
                        case.body["name"] = f"s{uuid4().hex[:12]}"

            def get_call_kwargs(self, case: Case[Any]) -> dict[str, Any]:
                heads = asking.headers
                return {"base_url": api.url, "headers": heads, "session": cast.session}

            def after_call(self, response: Response, case: Case[Any]) -> None:
                super().after_call(response, case)
                cast.answers[(case.operation.label, response.status_code)] += 1

            def validate_response(self, response: Response, case: Case[Any], **_: Any) -> None:
                case.validate_response(
                    response,
                    checks=CHECKS + IN_STORIES,
                    headers=asking.headers,
                    recorder=self.recorder,
                )
                enveloped(response)

        most = int(LONG or stories)
        Story.run(settings=settings(SETTINGS, max_examples=most, stateful_step_count=STEPS))
    assert cast.answers.total() - before > stories


def test_everybody_was_signed_in_and_every_operation_was_answered(
    cast: Cast, request: pytest.FixtureRequest
) -> None:
    paths = DOCUMENT["paths"].items()
    labels = {f"{method.upper()} {path}" for path, methods in paths for method in methods}
    here = [item for item in request.session.items if item.path == request.path]
    if len(here) < len(labels) + len(TOLD) + 1:
        pytest.skip("this is of what all the requests before it were answered")
    assert {label for label, _ in cast.answers} == labels
    for person in cast.people.values():  # or most of it was a test of 401 alone
        ok(person.client.get("/api/users/me"))
    answered = dict.fromkeys(labels, 0)
    for (label, status), times in cast.answers.items():
        answered[label] += times * (status not in {401, 403, 405})
    assert {name: times for name, times in answered.items() if times < ANSWERED} == {}
    assert DONE - {label for label, status in cast.answers if status == 200} == set()


def enveloped(response: Response) -> None:
    """Whatever is JSON and not a document is in the envelope, and tells no secret."""
    if response.headers.get("content-type") != ["application/json"]:
        return
    body = response.json()
    wanted = {"data"} if body["success"] else {"details"}
    assert body.keys() == {"success", "message", "error_code"} | wanted
    assert body["message"]
    assert PASSWORD not in str(body)
