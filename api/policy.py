"""Who may do what: one policy a route, checked before anything of the request is read.

A route without a policy is refused at run time and by a test that walks all routes. In
maintenance a route that changes something is for admins, unless it says otherwise. Whether it
is maintenance comes with the standing of whoever asks, as of after the request came in.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.credentials import Standing
from api.crowding import at_once_of
from api.exchange import Exchange
from api.messages import DENIED
from api.query import READS, check_path, check_query, faults_of_query
from api.rejection import InvalidRequest, Rejection, Unauthenticated
from api.security import Principal, bearer
from api.validation import Faults
from domain.accounts.events import Role
from domain.errors import Unavailable

_POLICY: Final = "policy"
_IN_MAINTENANCE: Final = "in_maintenance"
_REPEATABLE: Final = "repeatable"


class Policy(Enum):
    """Which roles a route is open to; ``PUBLIC`` needs no token."""

    PUBLIC = frozenset[Role]()
    ANYONE = frozenset[Role]({"user", "admin", "super_admin", "auditor"})
    """Whoever is signed in."""
    MEMBER = frozenset[Role]({"user", "admin", "super_admin"})
    """Whoever may change anything: an auditor reads everything and writes nothing."""
    READER = frozenset[Role]({"admin", "super_admin", "auditor"})
    """Operators, and auditors."""
    ADMIN = frozenset[Role]({"admin", "super_admin"})
    SUPER_ADMIN = frozenset[Role]({"super_admin"})


PUBLIC: Final = {_POLICY: Policy.PUBLIC}
ANYONE: Final = {_POLICY: Policy.ANYONE}
MEMBER: Final = {_POLICY: Policy.MEMBER}
READER: Final = {_POLICY: Policy.READER}
ADMIN: Final = {_POLICY: Policy.ADMIN}
SUPER_ADMIN: Final = {_POLICY: Policy.SUPER_ADMIN}

OPEN_IN_MAINTENANCE: Final = {_IN_MAINTENANCE: True}
"""Beside the policy of a write that anybody may make in maintenance too."""

REPEATABLE_WITH_ITS_TOKEN: Final = {_REPEATABLE: True}
"""Beside the policy of a write that voids the token it is made with: under its idempotency key
it may be asked again with that token. The route sees to it that nothing else is done with it:
``exchange.token_is_void``."""


def policy_of(handler: BaseRouteHandler) -> Policy | None:
    """The policy that a route declares, as ``opt=ADMIN``."""
    policy: Policy | None = handler.opt.get(_POLICY)
    return policy


async def gate(
    connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler
) -> None:
    """Let the request pass.

    Raises:
        Unauthenticated: no good token.
        Rejection: the role may not, or the address is not one.
        Unavailable: it is maintenance, and whoever writes is no admin.
        RateLimited: whoever asks has too many of these under way.
        InvalidRequest: the query string or the idempotency key is wrong.
    """
    policy = policy_of(handler)
    scope = connection.scope
    if policy is None:
        if scope.get("method") == "OPTIONS":
            return
        raise Rejection("ACCESS_DENIED")
    exchange = Exchange.of(scope)
    is_shut = scope.get("method") not in READS and not handler.opt.get(_IN_MAINTENANCE)
    if policy is not Policy.PUBLIC:
        may_repeat = bool(handler.opt.get(_REPEATABLE) and exchange.header("idempotency-key"))
        standing = await standing_of(exchange, void_too=may_repeat)
        if standing.role not in policy.value:
            raise Rejection("ACCESS_DENIED", message=DENIED[policy.name])
        exchange.principal = principal = Principal(
            user_id=standing.user_id,
            role=standing.role,
            token_version=standing.token_version,
        )
        if is_shut and standing.in_maintenance and not principal.is_operator:
            raise Unavailable
    elif is_shut and await exchange.desk.credentials.in_maintenance():
        raise Unavailable
    if most := at_once_of(handler.opt):
        exchange.place = exchange.desk.crowd.enter(exchange.caller, most)
    check_path(scope)
    _judge_head(exchange, connection, handler)
    if wanted := exchange.min_position:
        await exchange.wait_for(wanted)


def _judge_head(
    exchange: Exchange,
    connection: ASGIConnection[Any, Any, Any, Any],
    handler: BaseRouteHandler,
) -> None:
    """Refuse wrong headers and a wrong query, with the body's faults where there is a body.

    Raises:
        InvalidRequest: there is no body, so this is everything that is wrong.
    """
    faults: Faults = {}
    try:
        _ = exchange.idempotency_key, exchange.min_position
    except InvalidRequest as refusal:  # one of them: the one is of writes, the other of reads
        faults = refusal.faults | faults_of_query(connection, handler)
    if not faults and connection.scope["query_string"]:
        try:
            check_query(connection, handler)
        except InvalidRequest as refusal:
            faults = refusal.faults
    if faults and connection.scope.get("method") in READS:
        raise InvalidRequest(faults)
    exchange.head_faults = faults


async def standing_of(exchange: Exchange, *, void_too: bool = False) -> Standing:
    """What whoever asks may do at this moment; with ``void_too`` also by an older token.

    Raises:
        Unauthenticated: no good token.
    """
    token = bearer(list(exchange.given("authorization")))
    claims = exchange.desk.tokens.read(token, now=exchange.platform.clock())
    standing = await exchange.desk.credentials.standing(claims.user_id)
    if standing is None or not standing.is_active:
        raise Unauthenticated
    exchange.token_is_void = standing.token_version != claims.token_version
    if exchange.token_is_void and not void_too:
        raise Unauthenticated
    return standing
