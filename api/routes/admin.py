"""Users as operators see and change them. Source: the published contract, 系统管理API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

from litestar import Router, get, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Meta, Struct
from msgspec.structs import replace

from api.body import RequestBody
from api.envelope import Envelope
from api.exchange import Exchange
from api.fields import fen_of, money_schema, yuan_between, yuan_text
from api.messages import Fault, Text
from api.names import blank_fault
from api.pagination import Page, PageNumber, PageSize, page_of
from api.platform import HttpConfig
from api.policy import ADMIN, READER
from api.refusals import refuses
from api.user_shapes import Me, me_of
from api.validation import checked
from commands.administration import UpdateUser, UserNow, update_user
from domain.accounts.events import Role
from domain.money import to_yuan
from domain.ports import OutOfReach
from projections.system_stats import system_statistics
from projections.user_lists import user_page
from projections.users import user_by_id

UPDATED: Final = Text("用户已更新", "User changed")


class UserRequest(RequestBody):
    """What changes of a user; at least one of role, activity and balance."""

    role: Role | None = None
    is_active: bool | None = None
    balance: (
        Annotated[
            Decimal,
            Meta(
                description="调整后的余额，单位元，含冻结金额，至多两位小数。"
                "Yuan: what the balance shall be, holds included; a number or a"
                " string with at most two decimals. Recorded as the difference.",
                examples=[200.0],
                extra_json_schema=money_schema(0, 999_999_999.99),
            ),
            checked(yuan_between("0.00", "999999999.99")),
            yuan_text("0.00", "999999999.99"),
        ]
        | None
    ) = None
    reason: Annotated[str, Meta(max_length=200), checked(blank_fault)] = ""

    @classmethod
    def cross_check(
        cls, given: Mapping[str, Any], _config: HttpConfig
    ) -> Iterator[tuple[str, Fault]]:
        """Something changes."""
        if all(given.get(name) is None for name in ("role", "is_active", "balance")):
            yield "body", Fault("nothing")


class SystemItem(Struct, kw_only=True):
    """The platform at a glance; money in yuan.

    A top-up is no revenue until it is used: ``total_revenue`` is what was charged, net of
    refunds, and ``outstanding_balance`` what users may still use.
    """

    total_users: int
    active_users: int
    total_tasks: int
    pending_tasks: int
    running_tasks: int
    completed_tasks: int
    failed_tasks: int
    cancelled_tasks: int
    total_gpu_servers: int
    online_gpu_servers: int
    total_revenue: float
    total_recharged: float
    total_granted: float
    outstanding_balance: float


@get("/stats", opt=READER)
async def read_statistics(exchange: NamedDependency[Exchange]) -> Envelope[SystemItem]:
    """获取系统统计信息: users, tasks, servers and money of the whole platform."""
    async with exchange.reading() as connection:
        found = await system_statistics(connection, now=exchange.platform.clock())
    return exchange.reply(
        SystemItem(
            total_users=found.total_users,
            active_users=found.active_users,
            total_tasks=found.total_tasks,
            pending_tasks=found.pending_tasks,
            running_tasks=found.running_tasks,
            completed_tasks=found.completed_tasks,
            failed_tasks=found.failed_tasks,
            cancelled_tasks=found.cancelled_tasks,
            total_gpu_servers=found.total_gpu_servers,
            online_gpu_servers=found.online_gpu_servers,
            total_revenue=to_yuan(found.revenue_fen),
            total_recharged=to_yuan(found.recharged_fen),
            total_granted=to_yuan(found.granted_fen),
            outstanding_balance=to_yuan(found.outstanding_fen),
        )
    )


@get("/users", opt=READER)
async def list_users(
    exchange: NamedDependency[Exchange],
    page: FromQuery[PageNumber] = 1,
    page_size: FromQuery[PageSize] = 20,
    role: FromQuery[
        Annotated[Role | None, QueryParameter(description="Users with this role. 角色")]
    ] = None,
    is_active: FromQuery[
        Annotated[
            bool | None, QueryParameter(description="Users who may log in, or not. 启用状态")
        ]
    ] = None,
) -> Envelope[Page[Me]]:
    """获取用户列表: all users, the newest first."""
    async with exchange.reading() as connection:
        found = await user_page(
            connection, role=role, is_active=is_active, page=page, page_size=page_size
        )
    return exchange.reply(page_of(found, me_of))


@put("/users/{user_id:uuid}", opt=ADMIN | refuses("INVALID_STATE"))
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


ROUTER = Router(
    path="/admin",
    route_handlers=[read_statistics, list_users, change_user],
    tags=["管理 Administration"],
)
