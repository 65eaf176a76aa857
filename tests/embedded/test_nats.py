"""Who the broker lets in, and on which port."""

import base64
import hashlib
import json
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nkeys
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error
from nats.errors import TimeoutError as NatsTimeout

from api.embedded.failure import StackFailed
from api.embedded.nats import ACCOUNT, NatsAuth, is_free
from api.embedded.stack import EmbeddedStack, NatsOptions, StackConfig
from tests.stack import LiveStack, data_directory, heard

TOKEN = "join-token"


async def silent(_: Exception) -> None:
    """The refusals are what these tests want."""


async def connected(url: str, token: str | None = None) -> Client:
    client = Client()
    try:
        await client.connect(url, token=token, allow_reconnect=False, error_cb=silent)
    except (Error, OSError):
        await client.close()  # a refused client keeps its socket open otherwise
        raise
    return client


def user_jwt(user_nkey: str, seed: bytes) -> str:
    """Who signed in, and that it may use its own subjects alone."""
    rights = {"pub": {"allow": ["owl.reports.one.>"]}, "sub": {"allow": ["_INBOX.>"]}}
    unlimited = {"subs": -1, "data": -1, "payload": -1}
    return signed(
        {"sub": user_nkey, "aud": ACCOUNT, "name": "agent one"},
        {"type": "user", "version": 2, **rights, **unlimited},
        seed,
    )


def signed(claims: dict[str, str], nats_claims: dict[str, object], seed: bytes) -> str:
    """A JWT as nats-server reads it: ed25519 by an nkey, ``jti`` the hash of the rest."""
    key = nkeys.from_seed(seed)
    issued = {"iss": key.public_key.decode(), "iat": int(time.time())}
    body = {**claims, **issued, "nats": nats_claims}
    digest = hashlib.sha256(json.dumps(body).encode()).digest()
    body["jti"] = base64.b32encode(digest).decode().rstrip("=")
    parts = [encoded({"typ": "JWT", "alg": "ed25519-nkey"}), encoded(body)]
    signature = key.sign(".".join(parts).encode())
    return ".".join([*parts, base64url(signature)])


def encoded(part: object) -> str:
    return base64url(json.dumps(part).encode())


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@asynccontextmanager
async def callout(stack: LiveStack) -> AsyncIterator[Client]:
    """The platform answers sign-ins: the right token comes in, others do not."""
    platform = await connected(stack.nats_url)

    async def judge(message: Msg) -> None:
        body = message.data.split(b".")[1]
        request = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))["nats"]
        verdict: dict[str, object] = {"type": "authorization_response", "version": 2}
        if request["connect_opts"].get("auth_token") == TOKEN:
            verdict["jwt"] = user_jwt(request["user_nkey"], stack.callout_seed)
        else:
            verdict["error"] = "unknown token"
        claims = {"sub": request["user_nkey"], "aud": request["server_id"]["id"]}
        await message.respond(signed(claims, verdict, stack.callout_seed).encode())

    await platform.subscribe("$SYS.REQ.USER.AUTH", cb=judge)
    await heard(platform)
    try:
        yield platform
    finally:
        await platform.close()


@pytest.mark.anyio
async def test_the_platform_comes_in_by_its_password_and_nobody_without(
    session_stack: LiveStack,
) -> None:
    platform = await connected(session_stack.nats_url)
    await platform.jetstream().account_info()
    await platform.close()
    wrong = session_stack.nats_address.replace("//", "//owl:guess@")
    for url in (wrong, session_stack.nats_address):
        with pytest.raises((Error, OSError)):
            await connected(url)


@pytest.mark.anyio
async def test_an_agent_comes_in_by_callout_and_only_to_its_own_subjects(
    session_stack: LiveStack,
) -> None:
    async with callout(session_stack) as platform:
        own = await platform.subscribe("owl.reports.one.heartbeat")
        foreign = await platform.subscribe("owl.reports.two.heartbeat")
        await heard(platform)
        agent = await connected(session_stack.nats_address, token=TOKEN)
        await agent.publish("owl.reports.two.heartbeat", b"stolen")
        await agent.publish("owl.reports.one.heartbeat", b"alive")
        assert (await own.next_msg(15)).data == b"alive"
        with pytest.raises(NatsTimeout):
            await foreign.next_msg(0.05)
        await agent.close()
        with pytest.raises((Error, OSError)):
            await connected(session_stack.nats_address, token="guess")


def test_a_taken_port_is_named_when_asked_for_and_avoided_when_not() -> None:
    auth = NatsAuth(platform_password="password")
    with data_directory() as data_dir:
        config = StackConfig(data_dir=data_dir, postgres=None, nats=NatsOptions(auth=auth))
        with EmbeddedStack(config) as stack:
            kept = int(stack.nats_address.rpartition(":")[2])
        with socket.create_server(("127.0.0.1", kept)):
            assert not is_free(kept)
            with EmbeddedStack(config) as stack:
                assert not stack.nats_address.endswith(f":{kept}")
            asked = StackConfig(
                data_dir=data_dir, postgres=None, nats=NatsOptions(auth=auth, port=kept)
            )
            with pytest.raises(StackFailed, match=f"port {kept} for NATS is taken"):
                EmbeddedStack(asked).__enter__()


def test_a_password_that_a_url_cannot_carry_is_refused() -> None:
    with pytest.raises(StackFailed, match="only letters"):
        NatsAuth(platform_password="p@ss")
    NatsAuth(platform_password=secrets.token_urlsafe())
