"""Admission: answers the broker's question whether an agent may sign in, and what it may do.

An agent signs a token with the key that it enrolled with; the broker asks the platform about it
(an "auth callout"), which answers with rights to that server's own subjects and nothing else.
A session is short, so a server that was removed is out within a minute.
Sources: https://docs.nats.io/learn/security/auth-callout, the claims of nats-io/jwt v2.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import secrets
from collections.abc import Awaitable, Callable
from typing import Any, Final
from uuid import UUID

import msgspec
import nkeys
import structlog
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct, field
from nats.aio.client import Client
from nats.aio.msg import Msg

from domain.envelope import Fence
from domain.fleet.messages import AGENTS_STREAM, artifact_bucket, work_consumer
from domain.ports import Clock

LOG = structlog.get_logger(__name__)

SUBJECT: Final = "$SYS.REQ.USER.AUTH"
QUEUE: Final = "owl-admission"
SESSION_S: Final = 300
"""A removed server's reports are refused at once; its connection ends after this at most."""
CONNECT_POLL_S: Final = 0.1
TOKEN_LIFETIME_MAX_S: Final = 120
"""A token says when it expires, at most so far ahead: one that was stolen is soon worthless."""
TOKEN_PARTS: Final = 4
TOKEN_CHARACTERS_MAX: Final = 512
PAYLOAD_BYTES_MAX: Final = 1024 * 1024
_HEADER: Final = b'{"typ":"JWT","alg":"ed25519-nkey"}'


class NotAdmitted(Exception):
    """Why not; for the log, never for the agent."""


class _Server(Struct):
    id: str


class _ConnectOptions(Struct):
    auth_token: str = ""


class _Question(Struct):
    server_id: _Server
    user_nkey: str
    connect_opts: _ConnectOptions = field(default_factory=_ConnectOptions)


class _Request(Struct):
    nats: _Question


_REQUEST_DECODER: Final = msgspec.json.Decoder(_Request)


class Admission:
    """Answers; any number of processes may, the broker asks one of them."""

    name = "admission"

    def __init__(
        self,
        client: Client,
        issuer_seed: bytes,
        public_key_of: Callable[[UUID], Awaitable[str | None]],
        *,
        clock: Clock,
        account: str = "APP",
    ) -> None:
        """``public_key_of`` tells the key of an enrolled server that was not removed."""
        self._client = client
        self._issuer = nkeys.from_seed(bytearray(issuer_seed))
        self._issuer_key: str = self._issuer.public_key.decode()
        self._public_key_of = public_key_of
        self._clock = clock
        self._account = account

    async def run(self, fence: Fence) -> None:
        """Answer until cancelled; then another process does."""
        while not self._client.is_connected:  # noqa: ASYNC110 - the client tells it so
            await asyncio.sleep(CONNECT_POLL_S)
        asked = await self._client.subscribe(SUBJECT, QUEUE, cb=self._answer)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if self._client.is_connected:
                await asked.unsubscribe()

    async def _answer(self, message: Msg) -> None:
        try:
            question = _REQUEST_DECODER.decode(_part(message.data.split(b".")[1])).nats
        except (IndexError, binascii.Error, msgspec.DecodeError) as failure:
            LOG.warning("admission.unreadable", why=str(failure))
            return
        answer: dict[str, Any] = {"type": "authorization_response", "version": 2}
        try:
            server_id = await self.admit(question.connect_opts.auth_token)
            answer["jwt"] = self._user(question.user_nkey, server_id)
        except NotAdmitted as refusal:
            LOG.warning("admission.refused", why=str(refusal))
            answer["error"] = "not admitted"
        except Exception:
            LOG.exception("admission.failed")
            answer["error"] = "not now"
        claims = {"sub": question.user_nkey, "aud": question.server_id.id, "nats": answer}
        await message.respond(self._signed(claims).encode())

    async def admit(self, token: str) -> UUID:
        """The server whose valid token this is.

        Raises:
            NotAdmitted: it is nobody's, or too old.
        """
        parts = token.split(".")
        if len(token) > TOKEN_CHARACTERS_MAX or len(parts) != TOKEN_PARTS:
            raise NotAdmitted("no token of ours")
        version, name, expires, signature = parts
        try:
            server_id, expires_at = UUID(name), int(expires)
            signed = _part(signature.encode())
        except (ValueError, binascii.Error) as failure:
            raise NotAdmitted("no token of ours") from failure
        now = self._clock().timestamp()
        if version != "owl1" or not now < expires_at <= now + TOKEN_LIFETIME_MAX_S:
            raise NotAdmitted(f"{server_id}: the token is too old, or the clock is wrong")
        public_key = await self._public_key_of(server_id)
        if public_key is None:
            raise NotAdmitted(f"{server_id}: not enrolled, or removed")
        said = token.rpartition(".")[0].encode()
        if not _is_signed_by(public_key, said, signed):
            raise NotAdmitted(f"{server_id}: signed by another key")
        return server_id

    def _user(self, user_nkey: str, server_id: UUID) -> str:
        rights = rights_of(server_id)
        claims = {
            "sub": user_nkey,
            "aud": self._account,
            "name": f"agent-{server_id}",
            "exp": round(self._clock().timestamp()) + SESSION_S,
            "nats": {
                "type": "user",
                "version": 2,
                "pub": {"allow": list(rights.publish)},
                "sub": {"allow": list(rights.subscribe)},
                "subs": 64,
                "data": -1,
                "payload": PAYLOAD_BYTES_MAX,
                "allowed_connection_types": ["STANDARD"],
            },
        }
        return self._signed(claims)

    def _signed(self, claims: dict[str, Any]) -> str:
        now = round(self._clock().timestamp())
        issued = {"iss": self._issuer_key, "iat": now, "jti": secrets.token_hex(16), **claims}
        body = b".".join(_text(part) for part in (_HEADER, msgspec.json.encode(issued)))
        return (body + b"." + _text(self._issuer.sign(body))).decode()


class Rights(Struct, frozen=True):
    """Subjects that an agent may use; every other is denied."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]


def rights_of(server_id: UUID) -> Rights:
    """Its own reports, its own consumer of work, its own bucket, its own inbox."""
    consumer = f"{AGENTS_STREAM}.{work_consumer(server_id)}"
    bucket = artifact_bucket(server_id)
    objects = f"OBJ_{bucket}"
    return Rights(
        publish=(
            f"owl.reports.{server_id}.*",
            f"$JS.API.CONSUMER.MSG.NEXT.{consumer}",
            f"$JS.ACK.{consumer}.>",
            f"$O.{bucket}.C.*",
            f"$O.{bucket}.M.*",
            f"$JS.API.STREAM.INFO.{objects}",
            f"$JS.API.STREAM.MSG.GET.{objects}",
            f"$JS.API.STREAM.PURGE.{objects}",
            f"$JS.API.DIRECT.GET.{objects}",
            f"$JS.API.DIRECT.GET.{objects}.>",
        ),
        subscribe=(f"owl.agents.{server_id}.*", f"_INBOX_{server_id}.>"),
    )


def _is_signed_by(public_key: str, said: bytes, signature: bytes) -> bool:
    """Ed25519; the key is written as nkeys are: base32 of prefix, 32 bytes and checksum."""
    try:
        raw = base64.b32decode(public_key + "=" * (-len(public_key) % 8))
        Ed25519PublicKey.from_public_bytes(raw[1:-2]).verify(signature, said)
    except (InvalidSignature, ValueError, binascii.Error):
        return False
    return True


def _part(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _text(part: bytes) -> bytes:
    return base64.urlsafe_b64encode(part).rstrip(b"=")
