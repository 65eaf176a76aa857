"""The server aggregate: registered, enrolled by a single-use token, drained, removed.

Decisions taken from heartbeats stand in the file beside: ``liveness``.
"""

from __future__ import annotations

import hmac
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.decider import Decider
from domain.errors import InvalidState, NotFound, Refused
from domain.fleet.events import (
    EnrolmentTokenIssued,
    GpuFailed,
    GpuInventory,
    GpuRecovered,
    ServerCameOnline,
    ServerChanged,
    ServerDrained,
    ServerEnrolled,
    ServerFact,
    ServerRegistered,
    ServerRemoved,
    ServerResumed,
    ServerWentOffline,
)

FORMER_BOOTS_KEPT: Final = 8
"""Lives of the agent that a server remembers, to know a late heartbeat of one of them."""


class TokenInvalid(Refused):
    """The enrolment token is wrong, used or too old."""

    code = "INVALID_CREDENTIALS"

    def __init__(self) -> None:
        super().__init__("the enrolment token is wrong, used or too old")


class Server(Struct, frozen=True, kw_only=True):
    """What the stream says so far.

    ``token_digest`` is ``None`` once the token was used. ``former_boots`` are the lives of the
    agent before ``boot_id``, newest last.
    """

    server_id: UUID
    name: str
    max_concurrent_tasks: int
    token_digest: str | None
    token_expires_at: datetime
    public_key: str | None = None
    host: str = ""
    online: bool = False
    boot_id: UUID | None = None
    former_boots: tuple[UUID, ...] = ()
    drained: bool = False
    removed: bool = False
    gpus: tuple[GpuInventory, ...] = ()
    failed_gpus: frozenset[str] = frozenset()
    simulated: bool = False
    serves_files: bool = False

    @property
    def takes_work(self) -> bool:
        """Whether new tasks may be placed here."""
        return self.online and not self.drained and not self.removed


def evolve(server: Server | None, fact: ServerFact) -> Server:  # noqa: C901 - a case a fact
    """Fold one fact."""
    if isinstance(fact, ServerRegistered):
        return Server(
            server_id=fact.server_id,
            name=fact.name,
            max_concurrent_tasks=fact.max_concurrent_tasks,
            token_digest=fact.token_digest,
            token_expires_at=fact.token_expires_at,
        )
    assert server is not None, "a fact before the registration: the stream is corrupt"
    match fact:
        case EnrolmentTokenIssued(token_digest=digest, token_expires_at=until):
            return replace(server, token_digest=digest, token_expires_at=until)
        case ServerEnrolled(public_key=key, host=host):
            return replace(server, token_digest=None, public_key=key, host=host)
        case ServerCameOnline():
            return replace(
                server,
                online=True,
                boot_id=fact.boot_id,
                former_boots=_with_former(server, fact.boot_id),
                host=fact.host,
                gpus=fact.gpus,
                simulated=fact.simulated,
                serves_files=fact.serves_files,
                failed_gpus=frozenset(),
            )
        case ServerWentOffline():
            return replace(server, online=False)
        case GpuFailed(gpu_uuid=gpu):
            return replace(server, failed_gpus=server.failed_gpus | {gpu})
        case GpuRecovered(gpu_uuid=gpu):
            return replace(server, failed_gpus=server.failed_gpus - {gpu})
        case ServerDrained():
            return replace(server, drained=True)
        case ServerResumed():
            return replace(server, drained=False)
        case ServerChanged(name=name, max_concurrent_tasks=most):
            return replace(server, name=name, max_concurrent_tasks=most)
        case ServerRemoved():
            return replace(server, removed=True, online=False)
        case _:
            assert_never(fact)


def _with_former(server: Server, boot_id: UUID) -> tuple[UUID, ...]:
    if server.boot_id is None or server.boot_id == boot_id:
        return server.former_boots
    return (*server.former_boots, server.boot_id)[-FORMER_BOOTS_KEPT:]


SERVER: Decider[Server | None] = Decider("server", None, evolve, ServerFact)


def existing(server: Server | None) -> Server:
    """The server, unless it never was or was removed.

    Raises:
        NotFound: there is no such server.
    """
    if server is None or server.removed:
        raise NotFound
    return server


def enrol(
    server: Server | None, *, token_digest: str, public_key: str, host: str, now: datetime
) -> ServerEnrolled | None:
    """Accept a server's key against its token; ``None`` when this key is enrolled already.

    Raises:
        TokenInvalid: no such server, or the token is wrong, used or too old.
    """
    if server is None or server.removed:
        raise TokenInvalid
    if server.token_digest is None and server.public_key == public_key:
        return None
    if (
        server.token_digest is None
        or now >= server.token_expires_at
        or not hmac.compare_digest(server.token_digest, token_digest)
    ):
        raise TokenInvalid
    return ServerEnrolled(server_id=server.server_id, public_key=public_key, host=host)


def change(
    server: Server, *, name: str | None, max_concurrent_tasks: int | None
) -> tuple[ServerChanged, ...]:
    """Rename, or change how much may run at once; ``None`` leaves it as it is."""
    before = (server.name, server.max_concurrent_tasks)
    after = (
        server.name if name is None else name,
        server.max_concurrent_tasks if max_concurrent_tasks is None else max_concurrent_tasks,
    )
    if before == after:
        return ()
    return (
        ServerChanged(server_id=server.server_id, name=after[0], max_concurrent_tasks=after[1]),
    )


def drain(server: Server) -> tuple[ServerDrained, ...]:
    """Take no more work; nothing happens when it is so already."""
    return () if server.drained else (ServerDrained(server_id=server.server_id),)


def resume(server: Server) -> tuple[ServerResumed, ...]:
    """Take work again; nothing happens when it is so already."""
    return (ServerResumed(server_id=server.server_id),) if server.drained else ()


def remove(server: Server, *, running_tasks: int) -> ServerRemoved:
    """Leave the farm.

    Raises:
        InvalidState: tasks still run on it.
    """
    if running_tasks:
        message = "tasks still run on the server: drain it first"
        raise InvalidState(message, running_tasks=running_tasks)
    return ServerRemoved(server_id=server.server_id)
