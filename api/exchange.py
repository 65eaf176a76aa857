"""One request on its way to an answer: who asks, in which language, and what the platform did.

A route has one of these and nothing else. It runs commands and reads through it, so that
request id, actor, idempotency, positions and deadlines are the same everywhere.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Final, TypeVar, cast
from uuid import UUID

import msgspec
from litestar.types import HTTPScope
from msgspec import Struct
from psycopg import AsyncConnection

from api.desk import Desk
from api.envelope import Envelope
from api.messages import OK, Fault, Language, Text, language_of
from api.reading import reading
from api.rejection import InvalidRequest
from api.security import Principal
from domain.envelope import Actor, Context
from domain.ids import uuid8
from domain.ports import OutOfReach, UnitOfWork

C = TypeVar("C", bound=Struct)
R = TypeVar("R")
T = TypeVar("T")

_KEY: Final = "owl_exchange"
_REQUEST_ID = re.compile(r"[\w-]{8,64}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_POSITION = re.compile(r"\d{1,18}", re.ASCII)
_NO_BODY: Final = hashlib.sha256(b"").digest()


class Exchange:
    """``principal`` is who asks, once the policy has let them pass.

    ``recorded_at`` is what the events of the last command bear, if the writer knows.
    """

    def __init__(self, desk: Desk, scope: HTTPScope) -> None:
        self.desk = desk
        self.platform = platform = desk.platform
        self.scope = scope
        self.began = time.perf_counter()
        self.principal: Principal | None = None
        self.body_digest = _NO_BODY
        self.recorded_at: datetime | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        given = self.header("x-request-id")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else platform.ids().hex
        cast("dict[str, Any]", scope)[_KEY] = self

    @staticmethod
    def of(scope: Any) -> Exchange:
        """The exchange of a request that came through the door."""
        exchange: Exchange = scope[_KEY]
        return exchange

    def given(self, name: str) -> Iterator[str]:
        """Every value of a request header; ``name`` in lower case."""
        wanted = name.encode()
        return (
            value.decode("latin-1") for key, value in self.scope["headers"] if key == wanted
        )

    def header(self, name: str) -> str:
        """The first value of a request header, or nothing."""
        return next(self.given(name), "")

    @property
    def language(self) -> Language:
        """What the client wants to read."""
        return language_of(self.header("accept-language"))

    @property
    def idempotency_key(self) -> str:
        """The client's name for this request, or nothing."""
        return self.header("idempotency-key") if self.scope["method"] == "POST" else ""

    @property
    def client_address(self) -> str | None:
        """Where the request came from, as the server behind the trusted proxies saw it."""
        client = self.scope.get("client")
        return str(client[0]) if client else None

    @property
    def user(self) -> Principal:
        """Who asks, on a route that is not public."""
        assert self.principal is not None, "a public route has no user"
        return self.principal

    @property
    def deadline_s(self) -> float:
        """The seconds that are left for reading."""
        spent = time.perf_counter() - self.began
        return max(0.05, self.platform.config.read_deadline_s - spent)

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        """A connection to the read models, until the deadline.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        return reading(self.platform.pool, self.deadline_s)

    def command_id(self) -> UUID:
        """A fresh id, or the same one for the same idempotency key of the same user and route.

        Raises:
            InvalidRequest: the key is empty, too long or not printable.
        """
        key = self.idempotency_key
        if not key:
            return self.platform.ids()
        if not _IDEMPOTENCY_KEY.fullmatch(key):
            raise InvalidRequest({"Idempotency-Key": [Fault("format")]})
        user = str(self.principal.user_id) if self.principal else "-"
        text = f"{user}\n{self.scope['method']} {self.scope['path']}\n{key}"
        return uuid8(
            hmac.digest(self.platform.config.request_key, text.encode(), hashlib.sha256)
        )

    async def run(
        self,
        handler: Callable[[C, UnitOfWork], R],
        command: C,
        receipt: type[T],
        *,
        actor: Actor | None = None,
        command_id: UUID | None = None,
    ) -> T:
        """Commit a command, wait until it can be read, and return its receipt.

        Raises:
            Refused: the domain said no.
            OutOfReach: the log did not answer in time.
        """
        platform = self.platform
        context = Context(
            command_id=command_id or self.command_id(),
            actor=actor or self.user.actor,
            correlation_id=self.request_id,
            request_digest=self.body_digest if self.idempotency_key else None,
        )
        committed = await platform.writer.run(handler, command, context)
        self.recorded_at = committed.recorded_at
        if committed.position:
            self.headers.append((b"owl-position", b"%d" % committed.position))
            await platform.position.wait(committed.position, platform.config.position_wait_s)
        if committed.replayed:
            self.headers.append((b"idempotent-replay", b"true"))
        if isinstance(committed.result, receipt):
            return committed.result
        return msgspec.convert(committed.result, receipt)

    def reply(self, data: T, message: Text = OK) -> Envelope[T]:
        """The success envelope in the client's language."""
        return Envelope(message=message.in_language(self.language), data=data)

    async def wait_for(self, position: str) -> None:
        """Wait until the read models have passed what the client has seen.

        Raises:
            InvalidRequest: it is no position.
            OutOfReach: they have not passed it in time.
        """
        if not _POSITION.fullmatch(position):
            raise InvalidRequest({"Owl-Min-Position": [Fault("want_int")]})
        wait_s = self.platform.config.position_wait_s
        if not await self.platform.position.wait(int(position), wait_s):
            raise OutOfReach("the read models have not passed the wanted position")
