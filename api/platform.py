"""What the routes stand on: the write side, the read side and the platform's own secrets.

Built once by the composition root and handed to ``create_app``; no route opens anything itself.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, Protocol
from uuid import UUID

from msgspec import Struct
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

from api.passwords import Passwords
from commands.counts import WriterCounts
from commands.signatures import KeysAtHand
from commands.throttle import Throttle
from domain.accounts.claim import ClaimKind
from domain.facts import SealedText
from domain.ports import Clock, CommandWriter, Ids, Signal
from domain.public_addresses import Network
from projections.audit.snapshots import Snapshots

ReadPool = AsyncConnectionPool[AsyncConnection[Any]]


class ReadPosition(Protocol):
    """How far the read models are."""

    async def wait(self, position: int, timeout_s: float) -> bool:
        """Whether all live read models have passed ``position`` before time is up."""
        ...


class Secrets(Protocol):
    """Keyed digests and sealed texts; the keys themselves stay behind it."""

    def claim_id(self, kind: ClaimKind, value: str) -> UUID:
        """The stream of a claim on an e-mail address or username."""
        ...

    def code_id(self, symbols: str) -> UUID:
        """The stream of a recharge code, from its twelve symbols."""
        ...

    def seal(self, text: str) -> str:
        """``text``, readable only with ``unseal``."""
        ...

    def unseal(self, text: str) -> str:
        """What was sealed."""
        ...


class PrivateTexts(Protocol):
    """Opens what users wrote for themselves, for whoever is shown it."""

    async def open(
        self, connection: AsyncConnection[Any], sealed: Sequence[SealedText]
    ) -> list[str]:
        """Each in the clear; ``ERASED`` of a user who was forgotten."""
        ...


class ArtifactStore(Protocol):
    """The files that tasks made, by the SHA-256 of their bytes."""

    def get(self, sha256: str) -> AsyncIterator[bytes]:
        """The bytes, in pieces.

        Raises:
            FileNotFoundError: the store has no such file.
        """
        ...


class HttpConfig(Struct, frozen=True, kw_only=True):
    """What the HTTP side is told by the settings and the platform's keys.

    ``token_keys`` maps key ids to HS256 keys of at least 32 bytes; the first one signs.
    ``request_key`` keys what is derived from a request (the command id of an idempotency key,
    the codes of a batch). ``agent_nats_urls`` is what an agent is told when it enrols.
    """

    token_keys: dict[str, bytes]
    request_key: bytes
    agent_nats_urls: tuple[str, ...] = ()
    password_min_length: int = 8
    token_lifetime_s: int = 1800
    enrolment_lifetime_s: int = 3600
    read_deadline_s: float = 2.5
    """Within 3 s a request has its answer, be it a 503."""
    position_wait_s: float = 1.0
    fetch_networks: tuple[Network, ...] = ()
    """What a task's URL may name beside the public internet."""
    cross_origins: tuple[str, ...] = ()
    """The exact web origins that may call from a browser; none by default."""


class Platform(Struct, frozen=True, kw_only=True):
    """What routes need. ``broker_connected`` and ``writer_counts`` are only shown.

    ``texts`` opens what users wrote for themselves, which read models hold sealed.
    ``committed`` is a hint that the log has grown; ``notary_keys`` sign what is handed out;
    ``snapshots`` are states that were folded before, where they are kept.
    """

    writer: CommandWriter
    pool: ReadPool
    position: ReadPosition
    clock: Clock
    ids: Ids
    secrets: Secrets
    config: HttpConfig
    artifacts: ArtifactStore
    passwords: Passwords
    throttle: Throttle
    committed: Signal
    notary_keys: KeysAtHand
    writer_counts: WriterCounts
    broker_connected: Callable[[], bool]
    texts: PrivateTexts
    snapshots: Snapshots | None = None
