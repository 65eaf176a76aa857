"""Every read model there is."""

from __future__ import annotations

from typing import Final

from projections.configuration import CONFIGURATION_NOW
from projections.gpu_servers import GPU_SERVERS
from projections.gpu_status import GPU_STATUS
from projections.read_model import ReadModel
from projections.recharge_codes import RECHARGE_CODES
from projections.recharge_records import RECHARGE_RECORDS
from projections.task_events import TASK_EVENTS
from projections.task_output import TASK_OUTPUT
from projections.tasks import TASKS
from projections.user_actions import USER_ACTIONS
from projections.users import USERS

READ_MODELS: Final[tuple[ReadModel, ...]] = (
    USERS,
    TASKS,
    TASK_EVENTS,
    CONFIGURATION_NOW,
    GPU_SERVERS,
    RECHARGE_CODES,
    RECHARGE_RECORDS,
    USER_ACTIONS,
    GPU_STATUS,
    TASK_OUTPUT,
)
BUSINESS: Final = tuple(model for model in READ_MODELS if model.source == "business")
TELEMETRY: Final = tuple(model for model in READ_MODELS if model.source == "telemetry")
