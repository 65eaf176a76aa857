"""The configuration that operators change while the platform runs.

Source: the published contract, 获取系统配置 and 更新系统配置. What is read is what the next
command will be decided with: the log's own state, not a read model of it.
"""

from __future__ import annotations

from typing import Final

from litestar import Router, get, put
from litestar.di import NamedDependency
from litestar.params import JSONBody

from api.configuration_shapes import (
    ConfigurationItem,
    ConfigurationRequest,
    changes_of,
    configuration_of,
    faults_of_whole,
)
from api.envelope import Envelope
from api.exchange import Exchange
from api.messages import Text
from api.policy import ADMIN, READER
from api.rejection import InvalidRequest
from commands.configuration import (
    ChangeConfiguration,
    ConfigurationNow,
    ReadConfiguration,
    change_configuration,
    read_configuration,
)
from domain.errors import InvalidInput

CHANGED: Final = Text("系统配置已更新", "Configuration changed")


@get("/config", opt=READER)
async def read_config(exchange: NamedDependency[Exchange]) -> Envelope[ConfigurationItem]:
    """获取系统配置: every key, with its unit in its name."""
    now = await exchange.run(read_configuration, ReadConfiguration(), ConfigurationNow)
    return exchange.reply(configuration_of(now.configuration))


@put("/config", opt=ADMIN)
async def change_config(
    data: JSONBody[ConfigurationRequest], exchange: NamedDependency[Exchange]
) -> Envelope[ConfigurationItem]:
    """更新系统配置: change the keys that are named, all or none; of the prices the types named.

    Open tasks keep the price that they were submitted at.
    """
    command = ChangeConfiguration(changes=changes_of(data))
    try:
        now = await exchange.run(change_configuration, command, ConfigurationNow)
    except InvalidInput as refusal:
        raise InvalidRequest(faults_of_whole(refusal)) from None
    return exchange.reply(configuration_of(now.configuration), CHANGED)


ROUTER = Router(
    path="/admin", route_handlers=[read_config, change_config], tags=["管理 Administration"]
)
