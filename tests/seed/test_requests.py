"""Every printed request, sent as printed; every printed answer, compared field by field."""

import json

import httpx
import pytest

from tests.api.opened import now
from tests.seed.document import Exchange, Request, exchanges
from tests.seed.shape import differences
from tests.seed.world import CODE_AS_PRINTED, LINE, SCENES, Scene, World

PRINTED_TOKENS = ("<token>", "<admin_token>")
FILE = "下载日志文件"
EXPIRED_YEAR = '"expires_at": "2024-'


def sent(world: World, request: Request, scene: Scene) -> httpx.Response:
    """Send it verbatim, but for its placeholders and dates that have passed since."""
    path, body = request.path, request.body
    for placeholder, value in scene.fill.items():
        path, body = path.replace(placeholder, value), body.replace(placeholder, value)
    body = body.replace(EXPIRED_YEAR, f'"expires_at": "{now().year + 1}-')
    headers = dict(request.headers)
    for printed in PRINTED_TOKENS:
        if headers.get("Authorization") == f"Bearer {printed}":
            headers["Authorization"] = f"Bearer {scene.token}"
    with world.api.client() as client:
        return client.request(
            request.method, path, headers=headers, content=body.encode() or None
        )


@pytest.mark.parametrize("exchange", exchanges(), ids=lambda exchange: exchange.heading)
def test_a_request_works_as_it_is_printed(world: World, exchange: Exchange) -> None:
    response = sent(world, exchange.request, SCENES[exchange.heading](world))
    assert response.status_code == 200, response.text
    if exchange.heading == FILE:
        assert response.headers["content-disposition"].startswith("attachment")
        [line] = [json.loads(line) for line in response.text.splitlines()]
        assert (line["timestamp"], line["message"]) == ("2024-01-15T10:30:00Z", LINE)
        return
    body = response.json()
    assert body["success"] is True
    if exchange.answer is not None:
        assert list(differences(json.loads(exchange.answer.text), body)) == []


def test_the_printed_recharge_code_is_nobodys(world: World) -> None:
    [redeem] = [exchange for exchange in exchanges() if exchange.heading == "使用充值码"]
    assert CODE_AS_PRINTED in redeem.request.body
    response = sent(world, redeem.request, Scene(world.user().token))
    assert response.status_code in {404, 422}
    assert response.json()["success"] is False
