"""Read models over the API: who may look, who may order, and that an order is an event."""

from tests.api.live import LiveApi, Person, ok, refused

PATH = "/api/admin/projections/tasks"
REBUILD = {"switching": "manual", "max_load": 0.25}


def test_operators_and_auditors_see_how_far_each_read_model_is(
    admin: Person, auditor: Person, user: Person
) -> None:
    for reader in (admin, auditor):
        told = ok(reader.client.get("/api/admin/projections"))["read_models"]
        found = {each["read_model"]: each for each in told}
        (tasks,) = found["tasks"]["generations"]
        assert (tasks["state"], tasks["condition"]) == ("live", "following")
        assert found["gpu_status"]["source"] == "telemetry"
        one = ok(reader.client.get(PATH))
        assert one["standing"]["generations"][0]["generation"] == 1
    refused(user.client.get("/api/admin/projections"), 403, "ACCESS_DENIED")
    nowhere = "/api/admin/projections/dreams"
    refused(admin.client.get(nowhere), 404, "RESOURCE_NOT_FOUND")


def test_an_order_is_recorded_with_who_gave_it_and_how(
    api: LiveApi, admin: Person, auditor: Person
) -> None:
    refused(auditor.client.post(f"{PATH}/rebuilds", json=REBUILD), 403, "ACCESS_DENIED")
    nowhere = "/api/admin/projections/dreams"
    refused(admin.client.post(f"{nowhere}/rebuilds", json=REBUILD), 404, "RESOURCE_NOT_FOUND")
    refused(admin.client.post(f"{nowhere}/verify"), 404, "RESOURCE_NOT_FOUND")
    for unknown in ("explode", "rebuild", "asked"):
        refused(admin.client.post(f"{PATH}/{unknown}"), 404, "RESOURCE_NOT_FOUND")
    wrong = {"switching": "later"}
    refused(admin.client.post(f"{PATH}/rebuilds", json=wrong), 422, "VALIDATION_ERROR")
    answer = admin.client.post(f"{PATH}/rebuilds", json=REBUILD)
    assert answer.status_code == 200
    assert int(answer.headers["owl-position"]) > 0
    assert admin.client.post(f"{PATH}/rollback").status_code == 200
    rows = api.rows(
        "SELECT actor, fact ->> 'act', fact ->> 'switching', fact -> 'max_load'"
        " FROM owl_log.story WHERE tag = 'system.read_model_act_asked/1' ORDER BY position"
    )
    who = f"admin:{admin.user_id}"
    assert rows == [(who, "rebuild", "manual", 0.25), (who, "rollback", None, 1.0)]


def test_an_order_that_no_worker_answered_says_what_became_of_it(
    api: LiveApi, admin: Person
) -> None:
    api.execute(
        "INSERT INTO owl_read.orders (position, read_model, act, asked_by, asked_at, state)"
        " VALUES (9000000000001, 'users', 'verify', 'admin:test', now(), 'interrupted'),"
        " (9000000000002, 'users', 'verify', 'admin:test', now(), 'expired')"
    )
    path = "/api/admin/projections/users"
    told = {each["state"]: each["told"] for each in ok(admin.client.get(path))["orders"]}
    assert "重新下令" in told["expired"]
    assert "重新下令" in told["interrupted"]
    english = admin.client.get(path, headers={"Accept-Language": "en"})
    told = {each["state"]: each["told"] for each in ok(english)["orders"]}
    assert told["expired"].endswith("order it again")
    assert told["interrupted"].endswith("then order again")
