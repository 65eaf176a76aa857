"""Queries, addresses and headers at any endpoint: rows of ``docs/contract/bad-input.md``."""

import json
from uuid import UUID, uuid4

import httpx
import pytest

from tests.api.live import LiveApi, Person, field_errors, ok, refused
from tests.api.test_addresses_and_tokens import TOKENS, raw
from tests.house.tree import ROOT

TASK = {"title": "x", "task_type": "test"}


@pytest.mark.parametrize(
    "query", ["status=%00", "search=%00", "task_type=%ff", "%ff=1", "a=%c0%80"]
)
def test_nul_and_what_is_not_utf_8_in_a_query(admin: Person, query: str) -> None:
    """C1.09"""
    field_errors(admin.client.get(f"/api/tasks?{query}"))
    field_errors(admin.client.get(f"/api/logs/system?{query}"))


@pytest.mark.parametrize("name", ["%00", "%ff", "a%00b", "%ed%a0%80", "%0a"])
def test_nul_and_what_is_not_utf_8_in_a_path(user: Person, name: str) -> None:
    """C1.09"""
    for path in (
        f"/api/tasks/{name}",
        f"/api/{name}",
        f"/api/tasks/{uuid4()}/artifacts/{name}",
    ):
        refused(user.client.get(path), 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize(
    "query", ['{"page":1}', "%7B%22page%22:1%7D", "page[]=1", "page={}", "page[$gt]=1"]
)
def test_json_and_operators_in_a_query(user: Person, query: str) -> None:
    """C1.09"""
    field_errors(user.client.get(f"/api/tasks?{query}"))


PAGES = (
    "0",
    "-1",
    "abc",
    "1000000000",
    "10001",
    "1.0",
    "1e1",
    "",
    "+",
    "%D9%A1",
    "9" * 400,
    "null",
)


@pytest.mark.parametrize("page", PAGES)
def test_pages(user: Person, admin: Person, page: str) -> None:
    """C1.13"""
    assert list(field_errors(user.client.get(f"/api/tasks?page={page}"))) == ["page"]
    for path in (
        "/api/tasks",
        "/api/logs/user-actions",
        "/api/recharge/codes",
        "/api/admin/users",
    ):
        found = field_errors(admin.client.get(f"{path}?page_size={page}&page={page}"))
        assert found.keys() == {"page", "page_size"}, path


def test_the_limits_of_a_page_are_told(user: Person) -> None:
    """C1.13"""
    found = field_errors(user.client.get("/api/tasks?page=10001&page_size=101"))
    assert found == {"page": ["页码不能大于10000"], "page_size": ["每页数量不能大于100"]}
    assert ok(user.client.get("/api/tasks?page=10000&page_size=100"))["items"] == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("page=1&page=1", "page"),
        ("x=1", "x"),
        ("Page=1", "Page"),
        ("page%20=1", "page "),
        ("=1", ""),
    ],
)
def test_parameters_that_are_repeated_or_unknown(user: Person, query: str, field: str) -> None:
    """C1.14"""
    assert list(field_errors(user.client.get(f"/api/tasks?{query}"))) == [field]


def test_who_sends_an_unknown_parameter_is_told_which_are_known(user: Person) -> None:
    said = field_errors(user.client.get("/api/recharge/records?limit=1"))
    assert said == {"limit": ["未知的查询参数，请删除；此处可用：page, page_size"]}
    assert field_errors(user.client.get("/api/users/me?full=1")) == {
        "full": ["此处不接受查询参数，请删除"]
    }


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/api/tasks", "status"),
        ("/api/tasks", "sort_by"),
        ("/api/tasks", "sort_order"),
        ("/api/recharge/codes", "status"),
        ("/api/admin/users", "role"),
        ("/api/admin/users", "is_active"),
        ("/api/logs/system", "level"),
        ("/api/logs/download", "log_type"),
        ("/api/logs/download", "format"),
    ],
)
def test_enumerations(admin: Person, path: str, name: str) -> None:
    """C1.15"""
    for value in ("nope", "", "PENDING", "cost;DROP TABLE users--", "null", "1"):
        if (name, value) == ("is_active", "1"):
            continue
        found = field_errors(admin.client.get(path, params={name: value}))
        assert name in found, value


FORMS = {
    "braces": "{{{0}}}",
    "urn": "urn:uuid:{0}",
    "no dashes": "{0.hex}",
    "spaces": " {0} ",
    "dashes elsewhere": "{0.hex:.4}-{0}",
    "cut": "{0!s:.35}",
    "more": "{0}0",
    "traversal": "../{0}",
}


@pytest.fixture(scope="module")
def task_id(admin: Person) -> UUID:
    return UUID(ok(admin.client.post("/api/tasks", json=TASK))["id"])


@pytest.mark.parametrize("form", FORMS)
def test_ids_in_another_form(admin: Person, task_id: UUID, form: str) -> None:
    """C1.16"""
    text = FORMS[form].format(task_id)
    refused(admin.client.get(f"/api/tasks/{text}"), 404, "RESOURCE_NOT_FOUND")
    user_id = FORMS[form].format(admin.user_id)
    queries = [
        ("/api/tasks", {"user_id": user_id}, "user_id"),
        ("/api/logs/user-actions", {"user_id": user_id}, "user_id"),
        ("/api/logs/download", {"log_type": "tasks", "task_id": text}, "task_id"),
    ]
    for path, query, field in queries:
        found = field_errors(admin.client.get(path, params=query))
        assert list(found) == [field], path
        assert len(found[field]) == 1


def test_an_id_in_capitals_is_the_same_id(admin: Person, task_id: UUID) -> None:
    """C1.16"""
    capitals = str(task_id).upper()
    assert ok(admin.client.get(f"/api/tasks/{capitals}"))["id"] == str(task_id)
    query = {"user_id": str(admin.user_id).upper()}
    assert ok(admin.client.get("/api/tasks", params=query))["items"]
    assert ok(admin.client.get("/api/logs/user-actions", params=query))["items"]


def test_methods(user: Person) -> None:
    """C1.17"""
    for method, path, allowed in [
        ("PATCH", "/api/users/me", {"GET", "PUT"}),
        ("DELETE", "/api/tasks", {"GET", "POST"}),
        ("PUT", f"/api/tasks/{uuid4()}", {"GET", "DELETE"}),
        ("TRACE", "/api/tasks", {"GET", "POST"}),
        ("GET", "/api/auth/login", {"POST"}),
    ]:
        answer = user.client.request(method, path)
        refused(answer, 405, "METHOD_NOT_ALLOWED")
        assert allowed <= set(answer.headers["allow"].replace(" ", "").split(","))


@pytest.mark.parametrize(
    "target",
    [
        *("//api/users/me", "/api//users/me", "/api/../api/users/me", "/api/./users/me"),
        *("/api/users/%2e%2e/me", "/api/users%2fme/..", "/api\\users\\me", "/API/users/me"),
        *("/api/users/me;x=1", "/api%00"),
    ],
)
def test_paths_that_are_not_canonical(api: LiveApi, user: Person, target: str) -> None:
    """C1.17"""
    refused(raw(api, target, Authorization=f"Bearer {user.token}"), 404, "RESOURCE_NOT_FOUND")


def test_a_trailing_slash_changes_nothing(user: Person) -> None:
    """C1.17"""
    assert ok(user.client.get("/api/users/me/")) == ok(user.client.get("/api/users/me"))


@pytest.mark.parametrize("kind", TOKENS)
def test_tokens(api: LiveApi, user: Person, kind: str) -> None:
    """C1.18"""
    with api.client(TOKENS[kind](user)) as client:
        for method, path in [
            ("GET", "/api/users/me"),
            ("POST", "/api/tasks"),
            ("GET", "/api/admin/stats"),
        ]:
            answer = client.request(method, path)
            assert refused(answer, 401, "INVALID_CREDENTIALS") == {}
            assert answer.headers["www-authenticate"] == "Bearer"
            assert answer.json()["message"] == "无效的认证凭据，请重新登录"


@pytest.mark.parametrize(
    "values",
    [[], ["Basic YTpi"], ["Bearer"], ["Bearer ."], ["Bearer a b"], ["Token {0}"], ["{0}"],
     ["Bearer {0}", "Bearer {0}"], ["Bearer {0}, Bearer {0}"], ["Bearer\t{0}"]],
)  # fmt: skip
def test_headers_that_show_no_token(api: LiveApi, user: Person, values: list[str]) -> None:
    """C1.18"""
    headers = [("Authorization", value.format(user.token)) for value in values]
    with api.client() as client:
        refused(client.get("/api/users/me", headers=headers), 401, "INVALID_CREDENTIALS")


@pytest.mark.parametrize(
    "given", ["a\r\nSet-Cookie: x=1", "a b c d e f", "é" * 8, "x" * 65, "short", "<script>"]
)
def test_what_is_echoed_in_a_header(api: LiveApi, given: str) -> None:
    """C1.19"""
    target = "/api/users/me"
    answer = raw(api, target, **{"X-Request-ID": given})
    assert answer.headers["x-request-id"] != given
    assert answer.headers["x-request-id"].isalnum()
    assert "set-cookie" not in answer.headers
    target = "/api/logs/download?log_type=system%0d%0aSet-Cookie:%20x=1"
    assert "set-cookie" not in raw(api, target).headers


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8000"])
def test_other_origins(user: Person, origin: str) -> None:
    """C1.20"""
    asked = {
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization",
    }
    for answer in (
        user.client.get("/api/users/me", headers={"Origin": origin}),
        user.client.options("/api/tasks", headers={"Origin": origin} | asked),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_repeats(api: LiveApi, user: Person) -> None:
    """C1.21"""
    key = {"Idempotency-Key": f"k-{uuid4()}"}
    first = user.client.post("/api/tasks", json=TASK, headers=key)
    again = user.client.post("/api/tasks", json=TASK, headers=key)
    assert ok(again)["id"] == ok(first)["id"]
    assert again.headers["idempotent-replay"] == "true"
    other = user.client.post("/api/tasks", json=TASK | {"title": "y"}, headers=key)
    refused(other, 422, "IDEMPOTENCY_MISMATCH")
    with api.someone() as somebody:
        theirs = ok(somebody.client.post("/api/tasks", json=TASK, headers=key))
    assert theirs["id"] != ok(first)["id"]
    assert "idempotent-replay" not in user.client.post("/api/tasks", json=TASK).headers


@pytest.mark.parametrize("key", ["k" * 256, "a b", "é"])
def test_keys_that_are_none(user: Person, key: str) -> None:
    """C1.21"""
    headers = httpx.Headers({"Idempotency-Key": key}, encoding="latin-1")
    headers["Content-Type"] = "application/json"
    answer = user.client.post("/api/tasks", content=json.dumps(TASK), headers=headers)
    assert list(field_errors(answer)) == ["Idempotency-Key"]


def test_nobody_is_refused_for_asking_often(api: LiveApi, user: Person) -> None:
    """C1.25"""
    with api.client() as nobody:
        for _ in range(100):  # more than a bucket of 40 at 20 a second would take
            assert user.client.get("/api/users/me").status_code == 200
            assert nobody.get("/api/users/me").status_code == 401
    decided = (ROOT / "docs/contract/decisions.md").read_text(encoding="utf-8")
    assert "**Floods.** There is no bound on requests per second" in decided
