"""A tiny business on the real log for tests of the write side: accounts that are credited."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from uuid import UUID, uuid4

from msgspec import Struct

from commands.event_log.log import EventLog
from commands.event_log.secrets import Secrets
from commands.writer import Writer, WriterConfig
from domain.envelope import Actor, Context, Fence, Repeat
from domain.errors import Refused
from domain.ports import Signal, UnitOfWork
from domain.wallet.events import AccountRecharged
from domain.wallet.wallet import WALLET, recharge

SECRETS = Secrets(pepper=b"p" * 32, sealing_key=b"s" * 32)
SYSTEM = Actor("system", "tests")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


class TooRich(Refused):
    """The account would hold more than it may."""


class Credit(Struct, frozen=True, kw_only=True):
    """Add to an account, up to a limit."""

    account: UUID
    amount_fen: int = 1
    limit_fen: int = 10**9


def credit(command: Credit, work: UnitOfWork) -> int:
    """Returns the balance."""
    wallet = work.load(WALLET, command.account)
    if wallet.state.available_fen + command.amount_fen > command.limit_fen:
        raise TooRich
    wallet.append(credited(command.account, command.amount_fen))
    return wallet.state.available_fen


class Peek(Struct, frozen=True, kw_only=True):
    """Look at an account."""

    account: UUID


def peek(command: Peek, work: UnitOfWork) -> int:
    """Returns the balance; appends nothing."""
    return work.load(WALLET, command.account).state.available_fen


def credited(account: UUID, amount_fen: int = 1) -> AccountRecharged:
    """The fact."""
    return recharge(user_id=account, amount_fen=amount_fen, record_id=account, code_id=account)


def context(
    *,
    command_id: UUID | None = None,
    digest: bytes | None = None,
    key_id: UUID | None = None,
    fence: Fence | None = None,
    causation_id: int | None = None,
) -> Context:
    """A command's context; with a digest it may be repeated, under its own id as the key."""
    command_id = command_id or uuid4()
    return Context(
        command_id=command_id,
        actor=SYSTEM,
        correlation_id="request-1",
        causation_id=causation_id,
        repeat=None if digest is None else Repeat(key_id or command_id, digest),
        fence=fence,
    )


def clock() -> datetime:
    """The present."""
    return datetime.now(UTC)


@contextmanager
def opened(url: str) -> Iterator[EventLog]:
    """The log of a migrated test database."""
    with EventLog.open(url, secrets=SECRETS, require_durable=False) as log:
        yield log


@asynccontextmanager
async def writing(
    url: str, *, config: WriterConfig | None = None, committed: Signal | None = None
) -> AsyncIterator[Writer]:
    """A writer with a log of its own, as in a process of its own."""
    with opened(url) as log:
        async with Writer(log, clock, committed=committed, config=config) as writer:
            yield writer


def random_key() -> bytes:
    """A subject key."""
    return os.urandom(32)
