"""Whatever happens, the answer is one of the two envelopes, with its headers."""

import pytest

from tests.api.live import LiveApi, Person, ok, refused


def test_a_route_that_does_not_exist(api: LiveApi) -> None:
    with api.client() as client:
        for path in ("/", "/nope", "/api/nope", "/api/tasks/x/y/z", "/docs/nope"):
            refused(client.get(path), 404, "RESOURCE_NOT_FOUND")


@pytest.mark.parametrize("language", ["zh", "en"])
def test_who_knows_no_address_is_told_where_all_are(api: LiveApi, language: str) -> None:
    with api.client(**{"Accept-Language": language}) as client:
        for path in ("/", "/api", "/api/nope"):
            answer = client.get(path)
            refused(answer, 404, "RESOURCE_NOT_FOUND")
            assert "/docs" in answer.json()["message"]


def test_health(api: LiveApi) -> None:
    with api.client() as client:
        assert ok(client.get("/health/live")) == {"status": "live"}
        ready = ok(client.get("/health/ready"))
        assert ready["postgres"] == "up"
        assert ready["nats"] == "down"


def test_me(user: Person) -> None:
    me = ok(user.client.get("/api/users/me"))
    assert me["email"] == user.email
    assert me["balance"] == 0
