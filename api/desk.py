"""What all requests share: the platform, and what is asked of it again and again."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from api.audit_proving import StoredReader
from api.credentials import Credentials
from api.crowding import Crowd
from api.few_facts import FewFacts
from api.gathering import Gathering
from api.long_looks import LongLooks
from api.metrics import Metrics
from api.platform import Platform
from api.security import Tokens
from api.tails import Tails
from projections.users import UserRow, users_by_id

Profiles: TypeAlias = Gathering[UserRow]


class Desk(Struct, frozen=True, kw_only=True):
    """Made once with the application; every exchange stands at it."""

    platform: Platform
    tokens: Tokens
    credentials: Credentials
    profiles: Profiles
    metrics: Metrics
    crowd: Crowd
    stored: StoredReader
    tails: Tails
    long_looks: LongLooks
    refused_logins: FewFacts


def open_desk(platform: Platform) -> Desk:
    """The desk of a platform."""
    config = platform.config
    deadline_s = config.read_deadline_s
    return Desk(
        platform=platform,
        tokens=Tokens(config.token_keys, lifetime_s=config.token_lifetime_s),
        credentials=Credentials(platform.pool, deadline_s=deadline_s),
        metrics=Metrics(platform.writer_counts),
        crowd=Crowd(),
        stored=StoredReader(platform),
        tails=Tails(),
        long_looks=LongLooks(platform),
        refused_logins=FewFacts(),
        profiles=Gathering(platform.pool, users_by_id, deadline_s=deadline_s),
    )
