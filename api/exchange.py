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
from api.messages import BEHIND, OK, Fault, Language, Text, language_of
from api.reading import reading
from api.rejection import InvalidRequest, Rejection
from api.security import Principal
from api.validation import Faults
from commands.networks import network_of
from domain.envelope import Actor, Context, Repeat
from domain.ids import uuid8
from domain.ports import Committed, UnitOfWork

C = TypeVar("C", bound=Struct)
R = TypeVar("R")
T = TypeVar("T")

_KEY: Final = "owl_exchange"
_REQUEST_ID = re.compile(r"[\w-]{8,64}", re.ASCII)
_IDEMPOTENCY_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_NO_COMMAND: Final = UUID(int=0)
_POSITION = re.compile(r"\d{1,18}", re.ASCII)


class Exchange:
    """``principal`` is who asks, once the policy has let them pass.

    ``place`` is what it has in the crowd until it is over. ``body`` is what was sent.
    ``recorded_at`` and ``command_id`` are of the last command, and of the one that it repeats
    if ``is_replay``: what an answer is made of beside the receipt. ``head_faults`` (of headers
    and query) wait for those of the body, to be named with them.
    """

    def __init__(self, desk: Desk, scope: HTTPScope) -> None:
        self.desk = desk
        self.platform = platform = desk.platform
        self.scope = scope
        self.began = time.perf_counter()
        self.principal: Principal | None = None
        self.token_is_void = False
        self.place: str | None = None
        self.body = b""
        self.recorded_at: datetime | None = None
        self.command_id = _NO_COMMAND
        self.is_replay = False
        self.head_faults: Faults = {}
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
    def idempotency_key(self) -> str | None:
        """The client's name for this request, if it gave one.

        Raises:
            InvalidRequest: it is empty, too long, not printable, or one of several.
        """
        if self.scope["method"] != "POST":
            return None
        match list(self.given("idempotency-key")):
            case []:
                return None
            case [key] if _IDEMPOTENCY_KEY.fullmatch(key):
                return key
            case _:
                raise InvalidRequest({"Idempotency-Key": [Fault("idempotency_key")]})

    @property
    def min_position(self) -> int:
        """The position that a read must have passed; 0 for any.

        Raises:
            InvalidRequest: it is no position.
        """
        wanted = self.header("owl-min-position") if self.scope["method"] == "GET" else ""
        if wanted and not _POSITION.fullmatch(wanted):
            raise InvalidRequest({"Owl-Min-Position": [Fault("want_int")]})
        return int(wanted or 0)

    @property
    def client_address(self) -> str | None:
        """Where the request came from, as the server behind the trusted proxies saw it."""
        client = self.scope.get("client")
        return str(client[0]) if client else None

    @property
    def caller(self) -> str:
        """Whose request it is, to count by: a user's, or else a network's."""
        if self.principal is not None:
            return str(self.principal.user_id)
        return network_of(self.client_address)

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

    def leave(self) -> None:
        """Give back what it has in the crowd, if it has anything."""
        place, self.place = self.place, None
        if place is not None:
            self.desk.crowd.leave(place)

    def end(self) -> None:
        """It is answered: let go of the scope, whose cycle only the collector would find."""
        cast("dict[str, Any]", self.scope).pop(_KEY, None)

    def reading(self) -> AbstractAsyncContextManager[AsyncConnection[Any]]:
        """A connection to the read models, until the deadline.

        Raises:
            OutOfReach: Postgres did not answer in time.
        """
        return reading(self.platform.pool, self.deadline_s)

    def repeat(self, claimant: UUID | None) -> Repeat | None:
        """What makes this request repeatable; nothing without an idempotency key.

        A key belongs to who is signed in, or to whoever the body says it is. What is kept of
        the request is keyed: a body may hold a password, and a bare digest could be guessed.
        """
        key = self.idempotency_key
        if key is None:
            return None
        owner = claimant or self.user.user_id
        path = self.scope["path"].rstrip("/").lower()
        return Repeat(
            uuid8(self._digest(b"key", f"{owner} {key}".encode())),
            self._digest(b"request", path.encode(), self.body),
        )

    def _digest(self, *parts: bytes) -> bytes:
        secret = self.platform.config.request_key
        return hmac.digest(secret, b"\n".join(parts), hashlib.sha256)

    async def run(
        self,
        handler: Callable[[C, UnitOfWork], R],
        command: C,
        receipt: type[T],
        *,
        actor: Actor | None = None,
        command_id: UUID | None = None,
        claimant: UUID | None = None,
    ) -> T:
        """Commit a command, wait until it can be read, and return its receipt.

        ``claimant`` is whose idempotency key it is on a public route.

        Raises:
            Refused: the domain said no.
            OutOfReach: the log did not answer in time.
        """
        platform = self.platform
        repeat = self.repeat(claimant)
        committed = await self._commit(handler, command, actor, command_id, repeat)
        if committed.position:
            await platform.position.wait(committed.position, platform.config.position_wait_s)
        if self.is_replay:
            self.headers.append((b"idempotent-replay", b"true"))
        return _as(receipt, committed)

    async def ask(
        self, handler: Callable[[C, UnitOfWork], R], command: C, receipt: type[T]
    ) -> T:
        """The receipt of a command that records nothing, beside the request's own.

        Raises:
            OutOfReach: the log did not answer in time.
        """
        return _as(receipt, await self._commit(handler, command, None, None, None))

    async def note(
        self,
        handler: Callable[[C, UnitOfWork], R],
        command: C,
        *,
        actor: Actor | None = None,
    ) -> int:
        """Commit what nobody is going to read at once; its position.

        Raises:
            OutOfReach: the log did not answer in time.
        """
        return (await self._commit(handler, command, actor, None, None)).position

    async def _commit(
        self,
        handler: Callable[[C, UnitOfWork], R],
        command: C,
        actor: Actor | None,
        command_id: UUID | None,
        repeat: Repeat | None,
    ) -> Committed:
        context = Context(
            command_id=command_id or self.platform.ids(),
            actor=actor or self.user.actor,
            correlation_id=self.request_id,
            repeat=repeat,
        )
        committed = await self.platform.writer.run(handler, command, context)
        self.recorded_at = committed.recorded_at
        self.is_replay = committed.replay_of is not None
        self.command_id = committed.replay_of or context.command_id
        if committed.position:
            self.headers.append((b"owl-position", b"%d" % committed.position))
        return committed

    def token_of(self, user_id: UUID, token_version: int) -> str:
        """The token that the command just run stands for; a repeat gets the same."""
        return self.desk.tokens.issue(
            user_id,
            token_version,
            now=self.recorded_at or self.platform.clock(),
            token_id=self.command_id,
        )

    def reply(self, data: T, message: Text = OK) -> Envelope[T]:
        """The success envelope in the client's language."""
        return Envelope(message=message.in_language(self.language), data=data)

    async def wait_for(self, position: int) -> None:
        """Wait until the read models have passed what the client has seen.

        Raises:
            Rejection: they have not passed it in time.
        """
        wait_s = self.platform.config.position_wait_s
        if not await self.platform.position.wait(position, wait_s):
            raise Rejection("SERVER_UNAVAILABLE", message=BEHIND, headers={"Retry-After": "1"})


def _as(receipt: type[T], committed: Committed) -> T:
    if isinstance(committed.result, receipt):
        return committed.result
    return msgspec.convert(committed.result, receipt)
