"""Users as operators see and change them. Source: the published contract, 系统管理API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Router, put
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from msgspec import Meta
from msgspec.structs import replace

from api.body import RequestBody
from api.envelope import Envelope
from api.exchange import Exchange
from api.fields import fen_of, yuan_between
from api.messages import Fault, Text
from api.platform import HttpConfig
from api.policy import ADMIN
from api.user_shapes import Me, me_of
from api.validation import checked
from commands.administration import UpdateUser, UserNow, update_user
from domain.accounts.events import Role
from domain.ports import OutOfReach
from projections.users import user_by_id

UPDATED: Final = Text("用户已更新", "User changed")


class UserRequest(RequestBody):
    """What changes of a user; at least one of role, activity and balance."""

    role: Annotated[Role | None, Meta(description="What the user may do.")] = None
    is_active: Annotated[bool | None, Meta(description="Whether the user may log in.")] = None
    balance: (
        Annotated[
            Decimal,
            Meta(
                description="Yuan: what the balance shall be, holds included; a number or a"
                " string with at most two decimals. Recorded as the difference.",
                examples=[200.0],
            ),
            checked(yuan_between("0.00", "9999999.99")),
        ]
        | None
    ) = None
    reason: Annotated[str, Meta(max_length=200, description="Why, for the record.")] = ""

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], _config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """Something changes."""
        if all(given.get(name) is None for name in ("role", "is_active", "balance")):
            yield "body", Fault("nothing")


@put("/users/{user_id:uuid}", opt=ADMIN)
async def change_user(
    user_id: FromPath[UUID],
    data: JSONBody[UserRequest],
    exchange: NamedDependency[Exchange],
) -> Envelope[Me]:
    """更新用户信息: change a user's role, activity and balance: all that is given, or nothing.

    The last active admin stays one; who loses something is signed out.
    """
    command = UpdateUser(
        user_id=user_id,
        actor_id=exchange.user.user_id,
        role=data.role,
        is_active=data.is_active,
        balance_fen=None if data.balance is None else fen_of(data.balance),
        reason=data.reason,
    )
    now = await exchange.run(update_user, command, UserNow)
    if data.is_active:
        await exchange.platform.throttle.forgive(user_id)
    async with exchange.reading() as connection:
        user = await user_by_id(connection, user_id)
    if user is None:
        raise OutOfReach("the user is recorded but not yet readable")
    user = replace(user, role=now.role, is_active=now.is_active)
    return exchange.reply(me_of(user), UPDATED)


ROUTER = Router(path="/admin", route_handlers=[change_user], tags=["管理 Administration"])
