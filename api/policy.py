"""Who may do what: one policy a route, checked before anything of the request is read.

A route without a policy is refused at run time and by a test that walks all routes.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.exchange import Exchange
from api.query import check_path, check_query
from api.rejection import Rejection, Unauthenticated
from api.security import Principal, bearer
from domain.accounts.events import Role

_POLICY: Final = "policy"


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
        InvalidRequest: the query string is wrong.
    """
    policy = policy_of(handler)
    scope = connection.scope
    if policy is None:
        if scope.get("method") == "OPTIONS":
            return
        raise Rejection("ACCESS_DENIED")
    exchange = Exchange.of(scope)
    if policy is not Policy.PUBLIC:
        principal = await _principal(exchange)
        if principal.role not in policy.value:
            raise Rejection("ACCESS_DENIED")
        exchange.principal = principal
    check_path(scope)
    if scope["query_string"]:
        check_query(connection, handler)
    if scope.get("method") == "GET" and (wanted := exchange.header("owl-min-position")):
        await exchange.wait_for(wanted)


async def _principal(exchange: Exchange) -> Principal:
    token = bearer(list(exchange.given("authorization")))
    claims = exchange.desk.tokens.read(token, now=exchange.platform.clock())
    standing = await exchange.desk.credentials.standing(claims.user_id)
    if (
        standing is None
        or not standing.is_active
        or standing.token_version != claims.token_version
    ):
        raise Unauthenticated
    return Principal(
        user_id=standing.user_id,
        role=standing.role,
        token_version=standing.token_version,
    )
