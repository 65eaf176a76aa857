"""The farm as its operators run it, and the way in for a server.

The published contract only reads servers; how one comes, changes and goes is ours.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

from litestar import Router, delete, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta, Struct

from api.body import ChangeBody, RequestBody
from api.envelope import Envelope, shown
from api.exchange import Exchange
from api.messages import Text
from api.names import blank_fault
from api.policy import ADMIN, OPEN_IN_MAINTENANCE, PUBLIC
from api.refusals import refuses
from api.validation import checked
from commands.fleet import (
    ChangeServer,
    DrainServer,
    Enrolled,
    EnrolServer,
    IssueEnrolmentToken,
    RegisterServer,
    RemoveServer,
    ResumeServer,
    ServerReceipt,
    TokenIssued,
    change_server,
    drain_server,
    enrol_server,
    issue_enrolment_token,
    register_server,
    remove_server,
    resume_server,
)
from domain.envelope import Actor
from domain.errors import NotFound
from domain.fleet.server import TokenInvalid
from projections.gpu_cluster import server_by_id

REGISTERED: Final = Text(
    "服务器已登记，请用令牌注册代理", "Server registered: enrol its agent with the token"
)
_TOKEN = re.compile(r"owl_([0-9a-f]{32})_[\w-]{43}", re.ASCII)

ServerName = Annotated[
    str,
    Meta(min_length=1, max_length=100, examples=["GPU-Server-01"]),
    checked(blank_fault),
]
Concurrency = Annotated[int, Meta(ge=1, le=64)]


class ServerRequest(RequestBody):
    """Room for a server."""

    name: ServerName
    max_concurrent_tasks: Concurrency = 1


class ChangeRequest(ChangeBody):
    """What changes of a server; at least one field."""

    name: ServerName | None = None
    max_concurrent_tasks: Concurrency | None = None


class EnrolRequest(RequestBody):
    """An agent's token and the public key that it signs in to the broker with."""

    token: Annotated[str, Meta(min_length=1, max_length=200)]
    public_key: Annotated[
        str,
        Meta(
            pattern=r"^U[A-Z2-7]{55}$(?!\n)",
            description="nkey 公钥，U 后 55 个字符。An nkey's public key: U and 55 symbols.",
        ),
    ]
    hostname: Annotated[str, Meta(max_length=255)] = ""


class RegisteredServer(Struct, kw_only=True):
    """The server and its single-use enrolment token, shown only here."""

    id: UUID
    name: str
    max_concurrent_tasks: int
    enrolment_token: str
    token_expires_at: datetime | None


class EnrolmentToken(Struct, kw_only=True):
    """Another single-use enrolment token; the one before it is dead."""

    id: UUID
    enrolment_token: str
    token_expires_at: datetime | None


class EnrolledServer(Struct, kw_only=True):
    """Who the agent is now, and where its broker is."""

    server_id: UUID
    name: str
    max_concurrent_tasks: int
    nats_urls: list[str]


class ServerChanged(Struct, kw_only=True):
    """The server after the command."""

    id: UUID
    changed: bool


@post("/servers", opt=ADMIN, status_code=200)
async def register(
    data: JSONBody[ServerRequest], exchange: NamedDependency[Exchange]
) -> Envelope[RegisteredServer]:
    """登记GPU服务器: make room for a server."""
    server_id = command_id = exchange.platform.ids()
    command = RegisterServer(
        server_id=server_id,
        name=data.name,
        max_concurrent_tasks=data.max_concurrent_tasks,
        token_digest=_digest(_new_token(exchange, server_id, command_id)),
        token_expires_at=_token_end(exchange),
    )
    issued = await exchange.run(register_server, command, TokenIssued, command_id=command_id)
    return exchange.reply(
        RegisteredServer(
            id=issued.server_id,
            name=data.name,
            max_concurrent_tasks=data.max_concurrent_tasks,
            enrolment_token=_new_token(exchange, issued.server_id, exchange.command_id),
            token_expires_at=shown(issued.token_expires_at),
        ),
        REGISTERED,
    )


@post("/servers/{server_id:uuid}/enrolment-token", opt=ADMIN, status_code=200)
async def issue_token(
    server_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[EnrolmentToken]:
    """重新签发注册令牌: let a server enrol anew."""
    command_id = exchange.platform.ids()
    command = IssueEnrolmentToken(
        server_id=server_id,
        token_digest=_digest(_new_token(exchange, server_id, command_id)),
        token_expires_at=_token_end(exchange),
    )
    issued = await exchange.run(
        issue_enrolment_token, command, TokenIssued, command_id=command_id
    )
    return exchange.reply(
        EnrolmentToken(
            id=server_id,
            enrolment_token=_new_token(exchange, server_id, exchange.command_id),
            token_expires_at=shown(issued.token_expires_at),
        )
    )


@post(
    "/servers/enroll",
    opt=PUBLIC | OPEN_IN_MAINTENANCE | refuses("INVALID_CREDENTIALS"),
    status_code=200,
)
async def enrol(
    data: JSONBody[EnrolRequest], exchange: NamedDependency[Exchange]
) -> Envelope[EnrolledServer]:
    """代理注册: an agent shows its token and leaves its key."""
    parts = _TOKEN.fullmatch(data.token)
    if parts is None:
        raise TokenInvalid
    server_id = UUID(parts.group(1))
    command = EnrolServer(
        server_id=server_id,
        token_digest=_digest(data.token),
        public_key=data.public_key,
        host=data.hostname,
        at=exchange.platform.clock(),
    )
    enrolled = await exchange.run(
        enrol_server,
        command,
        Enrolled,
        actor=Actor("agent", str(server_id)),
        claimant=server_id,
    )
    return exchange.reply(
        EnrolledServer(
            server_id=server_id,
            name=enrolled.name,
            max_concurrent_tasks=enrolled.max_concurrent_tasks,
            nats_urls=list(exchange.platform.config.agent_nats_urls),
        )
    )


@put("/servers/{server_id:uuid}", opt=ADMIN)
async def change(
    server_id: FromPath[UUID],
    data: JSONBody[ChangeRequest],
    exchange: NamedDependency[Exchange],
) -> Envelope[ServerChanged]:
    """修改GPU服务器: rename a server, or change how much it may run at once."""
    command = ChangeServer(
        server_id=server_id,
        name=data.name,
        max_concurrent_tasks=data.max_concurrent_tasks,
    )
    receipt = await exchange.run(change_server, command, ServerReceipt)
    return exchange.reply(ServerChanged(id=server_id, changed=receipt.changed))


@post("/servers/{server_id:uuid}/drain", opt=ADMIN, status_code=200)
async def drain(
    server_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[ServerChanged]:
    """排空GPU服务器: give a server no new work; what runs may end."""
    receipt = await exchange.run(drain_server, DrainServer(server_id=server_id), ServerReceipt)
    return exchange.reply(ServerChanged(id=server_id, changed=receipt.changed))


@post("/servers/{server_id:uuid}/resume", opt=ADMIN, status_code=200)
async def resume(
    server_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[ServerChanged]:
    """恢复GPU服务器: give a drained server work again."""
    receipt = await exchange.run(
        resume_server, ResumeServer(server_id=server_id), ServerReceipt
    )
    return exchange.reply(ServerChanged(id=server_id, changed=receipt.changed))


@delete("/servers/{server_id:uuid}", opt=ADMIN | refuses("INVALID_STATE"), status_code=200)
async def remove(
    server_id: FromPath[UUID], exchange: NamedDependency[Exchange]
) -> Envelope[ServerChanged]:
    """删除GPU服务器: take a server out of the farm; its credential is void."""
    async with exchange.reading() as connection:
        found = await server_by_id(connection, server_id, now=exchange.platform.clock())
    if found is None:
        raise NotFound
    command = RemoveServer(server_id=server_id, running_tasks=found.current_tasks)
    receipt = await exchange.run(remove_server, command, ServerReceipt)
    return exchange.reply(ServerChanged(id=server_id, changed=receipt.changed))


def _new_token(exchange: Exchange, server_id: UUID, command_id: UUID) -> str:
    """The token that a command issues; nobody without the platform's key can make it."""
    key, seed = exchange.platform.config.request_key, b"enrolment" + command_id.bytes
    secret = base64.urlsafe_b64encode(hmac.digest(key, seed, hashlib.sha256))
    return f"owl_{server_id.hex}_{secret.decode().rstrip('=')}"


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _token_end(exchange: Exchange) -> datetime:
    lifetime = timedelta(seconds=exchange.platform.config.enrolment_lifetime_s)
    return exchange.platform.clock() + lifetime


ROUTER = Router(
    path="/gpu",
    route_handlers=[register, issue_token, enrol, change, drain, resume, remove],
    tags=["GPU 监控 GPU farm"],
)
