"""An enrolment token that is no good is answered with what to do about it."""

import pytest

from tests.api.live import LiveApi, refused


@pytest.mark.parametrize("token", ["nonsense", "owl_" + "0" * 32 + "_" + "x" * 43])
def test_a_bad_enrolment_token_is_not_told_to_log_in_again(api: LiveApi, token: str) -> None:
    body = {"token": token, "public_key": "U" + "A" * 55}
    for language, word in (
        ("zh", "管理员重新签发"),
        ("en", "ask an administrator for a new one"),
    ):
        with api.client() as agent:
            answer = agent.post(
                "/api/gpu/servers/enroll", json=body, headers={"Accept-Language": language}
            )
        refused(answer, 401, "INVALID_CREDENTIALS")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert word in answer.json()["message"]
