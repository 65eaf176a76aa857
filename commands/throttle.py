"""Throttles on guessing and on opening accounts, counted in Postgres by all processes.

A try is judged after it was made, in one statement that also counts it, so its answer is given
only if it still may be: however many tries come at once, no more than the limit learn anything.
A right try on an open key changes nothing but what it had failed before.
Numbers: NIST SP 800-63B section 5.2.2, OWASP ASVS 5.0 chapter 6.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, Final, Literal, NamedTuple, Self
from uuid import UUID

import structlog
from msgspec import Struct

from commands.bounded_cache import BoundedCache
from commands.event_log.secrets import Secrets
from commands.networks import network_of
from commands.throttle_counts import Counts
from domain.errors import Excess, RateLimited
from domain.ports import Clock

LOG = structlog.get_logger(__name__)

WRONG: Final = """
    SELECT kind, subject, closed_until
    FROM owl_private.count_wrong_try(%(kinds)s, %(subjects)s, %(most)s, %(within_s)s,
        %(rules)s, %(moment)s)
"""
CLOSED: Final = """
    SELECT closed_until FROM owl_private.closed_key(%(kinds)s, %(subjects)s, %(moment)s)
"""
RIGHT_LOGIN: Final = """
    SELECT kind, subject, closed_until
    FROM owl_private.judge_right_login(%(kinds)s, %(subjects)s, %(moment)s)
"""
CODE: Final = """
    SELECT kind, subject, closed_until
    FROM owl_private.judge_code(%(code_id)s, %(kinds)s, %(subjects)s, %(most)s, %(within_s)s,
        %(rules)s, %(moment)s)
"""
ACCOUNT: Final = """
    SELECT email_claim FROM owl_private.credentials WHERE user_id = %(user_id)s
"""
FORGIVE: Final = """
    DELETE FROM owl_private.throttles
    WHERE kind = 'login.account' AND subject IN (
        SELECT email_claim FROM owl_private.credentials WHERE user_id = %(user_id)s
    )
"""
FORGET: Final = "DELETE FROM owl_private.throttles WHERE failed_at < %(before)s"

_EVERYBODY: Final = UUID(int=0)


class Limit(Struct, frozen=True):
    """So many wrong tries; the rules are explained beside ``count_wrong_try``."""

    most: int
    within_s: int
    rule: Literal["window", "quiet", "doubling"] = "window"


class Config(Struct, frozen=True, kw_only=True):
    """The limits, and the bounds of asking for them."""

    login_pair: Limit = Limit(5, 900, "doubling")
    login_address: Limit = Limit(30, 900)
    login_account: Limit = Limit(100, 30 * 86_400, "quiet")
    redeem_user: Limit = Limit(5, 3_600)
    redeem_address: Limit = Limit(20, 3_600)
    redeem_all: Limit = Limit(20, 60)
    register_address: Limit = Limit(20, 3_600)
    register_all: Limit = Limit(1_000, 3_600)
    retry_after_most_s: int = 900
    """What a login is told at most, so that a locked account looks like any other."""
    connections_max: int = 4
    deadline_s: float = 1.0
    closed_kept: int = 20_000
    closed_trusted_s: float = 30.0
    """How long a process takes a key for closed without asking again."""
    forget_every_s: float = 86_400.0
    forget_after_days: int = 31


class Key(NamedTuple):
    """What tries are counted on."""

    kind: str
    subject: UUID
    limit: Limit


class Throttle:
    """One process's door to the counts; open it on the event loop that uses it."""

    def __init__(
        self, conninfo: str, secrets: Secrets, clock: Clock, *, config: Config | None = None
    ) -> None:
        self._secrets = secrets
        self._clock = clock
        self._config = config or Config()
        self._closed: BoundedCache[tuple[str, UUID], tuple[datetime, datetime]] = BoundedCache(
            self._config.closed_kept
        )
        self._forgot_at: datetime | None = None
        self._counts = Counts(
            conninfo, most=self._config.connections_max, deadline_s=self._config.deadline_s
        )

    async def __aenter__(self) -> Self:
        await self._counts.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._counts.close()

    # ── logins ─────────────────────────────────────────────────────────────────────────────

    def check_login(self, account: UUID, address: str | None) -> None:
        """Spare the work for a key that is known here to be closed.

        ``account`` is the claim on the e-mail address, whether anybody has it or not.

        Raises:
            RateLimited: it is.
        """
        self._check(self._login_keys(account, address))

    async def judge_login(
        self, account: UUID, address: str | None, *, right: bool
    ) -> datetime | None:
        """Say whether the password was right; only then may the client be told.

        The time until which no password is taken any more, if this wrong one was too many.

        Raises:
            RateLimited: too many were wrong: tell this instead.
            OutOfReach: the counts cannot be asked.
        """
        keys = self._login_keys(account, address)
        if right:
            await self._judge(RIGHT_LOGIN, keys)
            return None
        await self._judge(WRONG, keys)
        await self._forget_old()
        row = await self._counts.row(
            CLOSED,
            {
                "kinds": [key.kind for key in keys],
                "subjects": [key.subject for key in keys],
                "moment": self._clock(),
            },
        )
        closed: datetime | None = row[0]
        return closed

    def address_id(self, address: str | None) -> UUID:
        """What stands for the network that an address is in."""
        return self._secrets.throttle_id(network_of(address))

    async def account_of(self, user_id: UUID) -> UUID:
        """The ``account`` of somebody who is signed in.

        Raises:
            OutOfReach: it cannot be asked.
        """
        row = await self._counts.row(ACCOUNT, {"user_id": user_id})
        return user_id if row is None else UUID(str(row[0]))

    async def forgive(self, user_id: UUID) -> None:
        """Open an account that was closed for too many wrong passwords.

        Raises:
            OutOfReach: it cannot be done now.
        """
        account = await self.account_of(user_id)
        await self._counts.execute(FORGIVE, {"user_id": user_id})
        self._closed.pop(("login.account", account))

    # ── recharge codes, accounts ───────────────────────────────────────────────────────────

    async def judge_code(self, code_id: UUID, user_id: UUID, address: str | None) -> None:
        """Count a code that does not exist; let one that does be redeemed.

        Raises:
            RateLimited: too many did not exist: not even a right one is redeemed now.
            OutOfReach: the counts cannot be asked.
        """
        config = self._config
        keys = [
            Key("redeem.user", user_id, config.redeem_user),
            Key("redeem.address", self.address_id(address), config.redeem_address),
            Key("redeem.all", _EVERYBODY, config.redeem_all),
        ]
        self._check(keys)
        await self._judge(CODE, keys, code_id=code_id)

    async def judge_registration(self, address: str | None) -> None:
        """Count an account that somebody wants to open, whatever becomes of it.

        Raises:
            RateLimited: too many were wanted: not even its password is hashed.
            OutOfReach: the counts cannot be asked.
        """
        keys = [
            Key("register.address", self.address_id(address), self._config.register_address),
            Key("register.all", _EVERYBODY, self._config.register_all),
        ]
        self._check(keys)
        await self._judge(WRONG, keys)
        await self._forget_old()

    # ── keys, judgements, connections ──────────────────────────────────────────────────────

    def _login_keys(self, account: UUID, address: str | None) -> list[Key]:
        config = self._config
        pair = self._secrets.throttle_id(f"{account} {network_of(address)}")
        return [
            Key("login.account", account, config.login_account),
            Key("login.address", self.address_id(address), config.login_address),
            Key("login.pair", pair, config.login_pair),
        ]

    def _check(self, keys: list[Key]) -> None:
        now = self._clock()
        for key in keys:
            known = self._closed.get((key.kind, key.subject))
            if known is not None and known[0] > now:
                raise self._limited(key.kind, known[1], now)

    async def _judge(self, statement: str, keys: list[Key], **more: Any) -> None:
        now = self._clock()
        row = await self._counts.row(
            statement,
            {
                "kinds": [key.kind for key in keys],
                "subjects": [key.subject for key in keys],
                "most": [key.limit.most for key in keys],
                "within_s": [key.limit.within_s for key in keys],
                "rules": [key.limit.rule for key in keys],
                "moment": now,
                **more,
            },
        )
        kind, subject, closed = row
        if closed is not None:
            trusted = now + timedelta(seconds=self._config.closed_trusted_s)
            self._closed.put((kind, subject), (min(closed, trusted), closed))
            LOG.warning("throttle.closed", kind=kind, until=closed.isoformat())
            raise self._limited(kind, closed, now)

    def _limited(self, kind: str, until: datetime, now: datetime) -> RateLimited:
        reason: Excess = "too many wrong tries"
        if kind.startswith("register."):
            reason = "too many registrations"
        seconds = math.ceil((until - now).total_seconds())
        if kind.startswith("login."):
            seconds = min(seconds, self._config.retry_after_most_s)
        return RateLimited(max(1, seconds), reason)

    async def _forget_old(self) -> None:
        now = self._clock()
        due = timedelta(seconds=self._config.forget_every_s)
        if self._forgot_at is not None and now - self._forgot_at < due:
            return
        self._forgot_at = now
        before = now - timedelta(days=self._config.forget_after_days)
        await self._counts.execute(FORGET, {"before": before})
