"""充值管理: codes are issued, redeemed once a user, listed masked, revealed and revoked."""

import re
from typing import Any

import pytest

from tests.api.live import LiveApi, Person, ok, refused

CODE = re.compile(r"OWL(-[2-9A-HJ-NP-Z]{4}){3}")
BATCH = {
    "amount": 100.0,
    "description": "新用户充值码",
    "batch_size": 3,
    "expires_at": "2099-12-31T23:59:59Z",
    "max_uses": 1,
}


def issued(admin: Person, **change: Any) -> list[str]:
    data = ok(admin.client.post("/api/recharge/codes", json=BATCH | change))
    return [code["code"] for code in data["codes"]]


def test_a_batch_is_issued_as_the_contract_prints_it(admin: Person) -> None:
    data = ok(admin.client.post("/api/recharge/codes", json=BATCH | {"batch_size": 10}))
    assert data.keys() == {"codes", "total_generated", "total_amount"}
    assert data["total_generated"] == 10
    assert data["total_amount"] == 1000.0
    assert len({code["code"] for code in data["codes"]}) == 10
    for code in data["codes"]:
        assert code.keys() == {"id", "code", "amount", "expires_at"}
        assert CODE.fullmatch(code["code"])
        assert code["amount"] == 100.0
        assert code["expires_at"] == "2099-12-31T23:59:59Z"


def test_a_code_becomes_balance_and_a_record(api: LiveApi, admin: Person) -> None:
    (code,) = issued(admin, batch_size=1, amount="12.34")
    with api.someone() as user:
        typed = code.lower().replace("-", " ")
        answer = user.client.post("/api/recharge/redeem", json={"code": typed})
        data = ok(answer)
        assert data.keys() == {"amount", "new_balance", "recharge_record_id"}
        assert (data["amount"], data["new_balance"]) == (12.34, 12.34)
        assert int(answer.headers["owl-position"]) > 0
        assert user.balance() == 12.34
        records = ok(user.client.get("/api/recharge/records?page=1&page_size=20"))
        assert records.keys() == {"items", "total", "page", "page_size", "total_pages"}
        assert (records["total"], records["total_pages"]) == (1, 1)
        (record,) = records["items"]
        assert record["id"] == data["recharge_record_id"]
        assert record["code"] == f"{code[:8]}-****-****"
        assert record["amount"] == 12.34


def test_a_code_gives_nothing_twice(api: LiveApi, admin: Person) -> None:
    (code,) = issued(admin, batch_size=1, max_uses=2)
    body = {"code": code}
    with api.someone() as first, api.someone() as second, api.someone() as third:
        ok(first.client.post("/api/recharge/redeem", json=body))
        again = first.client.post("/api/recharge/redeem", json=body)
        refused(again, 409, "CODE_ALREADY_REDEEMED")
        ok(second.client.post("/api/recharge/redeem", json=body))
        late = third.client.post("/api/recharge/redeem", json=body)
        refused(late, 409, "CODE_EXHAUSTED")
        assert [person.balance() for person in (first, second, third)] == [100, 100, 0]


def test_codes_that_are_none(user: Person) -> None:
    for text in ("OWL-AAAA-BBBB", "", "OWL-AAAA-BBBB-CCC_", "x" * 64):
        answer = user.client.post("/api/recharge/redeem", json={"code": text})
        assert "code" in refused(answer, 422, "VALIDATION_ERROR")["field_errors"]
    for text in ("OWL-ABCD-2345-EFGH", "OWL-ABCD-1234-EFGH"):
        answer = user.client.post("/api/recharge/redeem", json={"code": text})
        assert refused(answer, 404, "RESOURCE_NOT_FOUND") == {}
        assert answer.json()["message"] == "充值码不存在，请核对后重新输入"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 0}, "amount"),
        ({"amount": -1}, "amount"),
        ({"amount": 100_000.01}, "amount"),
        ({"amount": 0.001}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "NaN"}, "amount"),
        ({"amount": None}, "amount"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": 1001}, "batch_size"),
        ({"max_uses": 0}, "max_uses"),
        ({"max_uses": 10_001}, "max_uses"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-10:00"}, "expires_at"),
        ({"expires_at": "soon"}, "expires_at"),
    ],
)
def test_a_batch_with_one_bad_field(admin: Person, change: dict[str, Any], field: str) -> None:
    answer = admin.client.post("/api/recharge/codes", json=BATCH | change)
    assert refused(answer, 422, "VALIDATION_ERROR")["field_errors"].keys() == {field}


def test_codes_are_listed_masked_and_by_what_became_of_them(fresh_api: LiveApi) -> None:
    with fresh_api.someone("admin") as admin, fresh_api.someone() as user:
        used, revoked, open_ = issued(admin)
        ok(user.client.post("/api/recharge/redeem", json={"code": used}))
        listed = ok(admin.client.get("/api/recharge/codes"))["items"]
        assert {item["code"] for item in listed} == {
            f"{code[:8]}-****-****" for code in (used, revoked, open_)
        }
        ids = {item["code"]: item["id"] for item in listed}
        dead = ids[f"{revoked[:8]}-****-****"]
        ok(admin.client.post(f"/api/recharge/codes/{dead}/revoke"))
        refused(
            user.client.post("/api/recharge/redeem", json={"code": revoked}),
            409,
            "CODE_REVOKED",
        )
        spent = ids[f"{used[:8]}-****-****"]
        refused(admin.client.post(f"/api/recharge/codes/{spent}/revoke"), 409, "INVALID_STATE")
        revealed = ok(admin.client.post(f"/api/recharge/codes/{dead}/reveal"))
        assert revealed == {"id": dead, "code": revoked}
        for status, count in (("active", 1), ("used", 1), ("revoked", 1), ("expired", 0)):
            page = ok(admin.client.get(f"/api/recharge/codes?status={status}"))
            assert page["total"] == len(page["items"]) == count, status
            assert all(item["status"] == status for item in page["items"])
        story = fresh_api.rows("SELECT convert_from(state, 'UTF8') FROM owl_log.events")
        assert not any(code in str(row) for row in story for code in (used, revoked, open_))


def test_a_repeated_request_gets_the_same_codes(admin: Person) -> None:
    headers = {"Idempotency-Key": "batch-of-today"}
    first = admin.client.post("/api/recharge/codes", json=BATCH, headers=headers)
    again = admin.client.post("/api/recharge/codes", json=BATCH, headers=headers)
    assert ok(first) == ok(again)
    assert "idempotent-replay" not in first.headers
    assert again.headers["idempotent-replay"] == "true"
    other = admin.client.post(
        "/api/recharge/codes", json=BATCH | {"amount": 1}, headers=headers
    )
    refused(other, 422, "IDEMPOTENCY_MISMATCH")


@pytest.mark.parametrize("key", ["x" * 256, "with space"])
def test_a_key_that_is_none(admin: Person, key: str) -> None:
    answer = admin.client.post(
        "/api/recharge/codes", json=BATCH, headers={"Idempotency-Key": key}
    )
    assert "Idempotency-Key" in refused(answer, 422, "VALIDATION_ERROR")["field_errors"]


def test_a_key_is_its_users_own(api: LiveApi, admin: Person) -> None:
    codes = issued(admin, max_uses=5)
    headers = {"Idempotency-Key": "the-same-key"}
    with api.someone() as one, api.someone() as other:
        for person in (one, other):
            body = {"code": codes[0]}
            ok(person.client.post("/api/recharge/redeem", json=body, headers=headers))
            again = person.client.post("/api/recharge/redeem", json=body, headers=headers)
            assert ok(again)["new_balance"] == 100
            assert again.headers["idempotent-replay"] == "true"
            assert person.balance() == 100


def test_who_has_too_little_for_the_hold_hears_that_it_comes_back_and_what_lowers_it(
    admin: Person, user: Person
) -> None:
    ok(admin.client.put(f"/api/admin/users/{user.user_id}", json={"balance": 9.97}))
    config = {"video_url": "https://example.com/video.mp4"}
    video = {"title": "视频", "task_type": "video_analysis", "config": config}
    answer = user.client.post("/api/tasks", json=video)
    assert refused(answer, 400, "INSUFFICIENT_BALANCE")["required"] == 10.5
    for word in ("冻结", "退还", "estimated_duration"):
        assert word in answer.json()["message"]
    english = {"Accept-Language": "en"}
    answer = user.client.post("/api/tasks", json=video, headers=english)
    for word in ("held", "unused", "estimated_duration"):
        assert word in answer.json()["message"]
    ok(user.client.post("/api/tasks", json=video | {"estimated_duration": 9}))
