"""Commands about GPU servers: register, enrol, seen, silent, drain, resume, change, remove."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from msgspec import Struct

from domain.errors import NotFound
from domain.facts import Fact
from domain.fleet import server as servers
from domain.fleet.events import EnrolmentTokenIssued, ServerRegistered
from domain.fleet.liveness import seen, silent
from domain.fleet.messages import Heartbeat
from domain.fleet.server import SERVER, Server, TokenInvalid, existing
from domain.ports import Loaded, UnitOfWork


class ServerReceipt(Struct, frozen=True):
    """``changed`` is false when the server was already so, or is not there to be seen."""

    server_id: UUID
    changed: bool


class TokenIssued(Struct, frozen=True):
    """The server may enrol with its new token until then."""

    server_id: UUID
    token_expires_at: datetime


class RegisterServer(Struct, frozen=True, kw_only=True):
    """Make room for a server; ``token_digest`` is of the token it may enrol with, once."""

    server_id: UUID
    name: str
    max_concurrent_tasks: int
    token_digest: str
    token_expires_at: datetime


def register_server(command: RegisterServer, work: UnitOfWork) -> TokenIssued:
    """Add a server to the farm, not yet enrolled."""
    work.create(SERVER, command.server_id).append(
        ServerRegistered(
            server_id=command.server_id,
            name=command.name,
            max_concurrent_tasks=command.max_concurrent_tasks,
            token_digest=command.token_digest,
            token_expires_at=command.token_expires_at,
        )
    )
    return TokenIssued(command.server_id, command.token_expires_at)


class IssueEnrolmentToken(Struct, frozen=True, kw_only=True):
    """Let a server enrol anew; the token before this one is dead."""

    server_id: UUID
    token_digest: str
    token_expires_at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.server_id,)


def issue_enrolment_token(command: IssueEnrolmentToken, work: UnitOfWork) -> TokenIssued:
    """Replace the enrolment token; the key enrolled before works until the new one is there.

    Raises:
        NotFound: there is no such server.
    """
    server = work.load(SERVER, command.server_id)
    existing(server.state)
    server.append(
        EnrolmentTokenIssued(
            server_id=command.server_id,
            token_digest=command.token_digest,
            token_expires_at=command.token_expires_at,
        )
    )
    return TokenIssued(command.server_id, command.token_expires_at)


class EnrolServer(Struct, frozen=True, kw_only=True):
    """An agent shows its token and leaves its public key; ``host`` is how it calls itself."""

    server_id: UUID
    token_digest: str
    public_key: str
    host: str
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.server_id,)


class Enrolled(Struct, frozen=True):
    """The server may sign in with its key."""

    server_id: UUID
    name: str
    max_concurrent_tasks: int


def enrol_server(command: EnrolServer, work: UnitOfWork) -> Enrolled:
    """Accept a server's key against its token; again with the same key changes nothing.

    Raises:
        TokenInvalid: no such server, or the token is wrong, used or too old.
    """
    try:
        server = work.load(SERVER, command.server_id)
    except NotFound:  # a stranger learns no more of it than of an id that nothing has
        raise TokenInvalid from None
    enrolled = servers.enrol(
        server.state,
        token_digest=command.token_digest,
        public_key=command.public_key,
        host=command.host,
        now=command.at,
    )
    if enrolled is not None:
        server.append(enrolled)
    state = existing(server.state)
    return Enrolled(state.server_id, state.name, state.max_concurrent_tasks)


class NoteServerSeen(Struct, frozen=True, kw_only=True):
    """A heartbeat came; ``at`` is when, by the platform's clock."""

    heartbeat: Heartbeat
    at: datetime

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.heartbeat.server_id,)


def note_server_seen(command: NoteServerSeen, work: UnitOfWork) -> ServerReceipt:
    """Record what a heartbeat changes: online, GPUs failed or well again; mostly nothing."""
    server_id = command.heartbeat.server_id
    server = work.load(SERVER, server_id)
    if server.state is None or server.state.removed:
        return ServerReceipt(server_id, changed=False)
    facts = seen(server.state, command.heartbeat, now=command.at)
    return _append(server, server_id, *facts)


class NoteServerSilent(Struct, frozen=True, kw_only=True):
    """No heartbeat came for too long; ``last_seen_at`` was the last."""

    server_id: UUID
    last_seen_at: datetime
    reason: Literal["silent", "stopped"] = "silent"

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.server_id,)


def note_server_silent(command: NoteServerSilent, work: UnitOfWork) -> ServerReceipt:
    """Record that a server went offline."""
    server = work.load(SERVER, command.server_id)
    if server.state is None:
        return ServerReceipt(command.server_id, changed=False)
    facts = silent(server.state, last_seen_at=command.last_seen_at, reason=command.reason)
    return _append(server, command.server_id, *facts)


class DrainServer(Struct, frozen=True, kw_only=True):
    """Give a server no new work."""

    server_id: UUID

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.server_id,)


def drain_server(command: DrainServer, work: UnitOfWork) -> ServerReceipt:
    """Take a server out of service; what runs may end.

    Raises:
        NotFound: there is no such server.
    """
    server = work.load(SERVER, command.server_id)
    return _append(server, command.server_id, *servers.drain(existing(server.state)))


class ResumeServer(Struct, frozen=True, kw_only=True):
    """Give a drained server work again."""

    server_id: UUID

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.server_id,)


def resume_server(command: ResumeServer, work: UnitOfWork) -> ServerReceipt:
    """Put a server back into service.

    Raises:
        NotFound: there is no such server.
    """
    server = work.load(SERVER, command.server_id)
    return _append(server, command.server_id, *servers.resume(existing(server.state)))


class ChangeServer(Struct, frozen=True, kw_only=True):
    """Rename a server, or change how much it may run at once; ``None`` leaves as it is."""

    server_id: UUID
    name: str | None = None
    max_concurrent_tasks: int | None = None

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.server_id,)


def change_server(command: ChangeServer, work: UnitOfWork) -> ServerReceipt:
    """Change what an operator may change.

    Raises:
        NotFound: there is no such server.
    """
    server = work.load(SERVER, command.server_id)
    facts = servers.change(
        existing(server.state),
        name=command.name,
        max_concurrent_tasks=command.max_concurrent_tasks,
    )
    return _append(server, command.server_id, *facts)


class RemoveServer(Struct, frozen=True, kw_only=True):
    """Take a server out of the farm; ``running_tasks`` is what the read side counts on it."""

    server_id: UUID
    running_tasks: int

    def streams(self) -> tuple[UUID, ...]:
        """What to fetch ahead."""
        return (self.server_id,)


def remove_server(command: RemoveServer, work: UnitOfWork) -> ServerReceipt:
    """Remove a server and void its credential.

    An attempt assigned in the same moment is lost and requeued like any other.

    Raises:
        NotFound: there is no such server.
        InvalidState: tasks still run on it.
    """
    server = work.load(SERVER, command.server_id)
    fact = servers.remove(existing(server.state), running_tasks=command.running_tasks)
    return _append(server, command.server_id, fact)


def _append(server: Loaded[Server | None], server_id: UUID, *facts: Fact) -> ServerReceipt:
    server.append(*facts)
    return ServerReceipt(server_id, changed=bool(facts))
