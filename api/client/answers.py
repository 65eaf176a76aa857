"""What the client reads of the API's answers: the published fields that it shows, no others.

Money is yuan, times are UTC, progress is 0 to 100. A field that an answer lacks has a default,
so that an older or newer API is still shown.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Generic, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T")

ENDED: Final = frozenset({"completed", "failed", "cancelled"})


class Me(Struct, frozen=True, kw_only=True):
    """The signed-in user."""

    id: str
    email: str
    username: str
    role: str
    full_name: str = ""
    is_active: bool = True
    balance: float = 0.0
    held_balance: float = 0.0
    available_balance: float = 0.0
    total_tasks: int = 0
    created_at: datetime | None = None
    last_login: datetime | None = None


class Attempt(Struct, frozen=True, kw_only=True):
    """One try on one server."""

    attempt: int
    gpu_server_id: str
    outcome: str | None = None
    reason: str | None = None
    error_message: str | None = None
    run_seconds: float = 0.0
    cost: float = 0.0


class Artifact(Struct, frozen=True, kw_only=True):
    """A file that a task made."""

    name: str
    size_bytes: int
    sha256: str
    media_type: str = ""


class Task(Struct, frozen=True, kw_only=True):
    """A task, from a list or by itself."""

    id: str
    title: str
    task_type: str
    status: str
    progress: float
    created_at: datetime | None = None
    description: str = ""
    phase: str = ""
    reason: str | None = None
    fault: str | None = None
    priority: int = 1
    attempt: int = 0
    gpu_server_id: str | None = None
    error_message: str | None = None
    cost: float = 0.0
    estimated_duration: int | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    updated_at: datetime | None = None
    config: dict[str, Any] = {}
    result: dict[str, Any] | None = None
    attempts: tuple[Attempt, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    pending_reason: str | None = None
    queue_position: int | None = None
    eta: datetime | None = None
    price_per_minute: float | None = None
    hold: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen unless somebody asks for it."""
        return self.status in ENDED

    @property
    def run_seconds(self) -> float:
        """The seconds that all attempts ran."""
        return sum(attempt.run_seconds for attempt in self.attempts)


class Record(Struct, frozen=True, kw_only=True):
    """One redemption; ``code`` is masked."""

    id: str
    code: str
    amount: float
    description: str = ""
    created_at: datetime | None = None


class Code(Struct, frozen=True, kw_only=True):
    """A recharge code: whole when it was just made, masked in a list."""

    id: str
    code: str
    amount: float
    status: str = "active"
    max_uses: int = 1
    used_count: int = 0
    description: str = ""
    expires_at: datetime | None = None
    created_at: datetime | None = None


class Batch(Struct, frozen=True, kw_only=True):
    """Codes made together."""

    codes: tuple[Code, ...]
    total_generated: int
    total_amount: float


class Server(Struct, frozen=True, kw_only=True):
    """A GPU server. Memory is GiB of its GPUs, usage percent of its host."""

    id: str
    name: str
    status: str
    host: str = ""
    current_tasks: int = 0
    max_concurrent_tasks: int = 1
    total_memory: float | None = None
    used_memory: float | None = None
    gpu_count: int = 0
    cpu_usage: float | None = None
    memory_usage: float | None = None
    last_heartbeat: datetime | None = None


class Gpu(Struct, frozen=True, kw_only=True):
    """One GPU now: percent, GiB, degrees Celsius, watts."""

    gpu_id: int
    usage: float | None = None
    memory_used: float | None = None
    memory_total: float | None = None
    name: str = ""
    temperature: float | None = None
    power: float | None = None
    healthy: bool = True


class ServerNow(Struct, frozen=True, kw_only=True):
    """A server's newest figures and from when they are."""

    gpu_usage: tuple[Gpu, ...] = ()
    simulated: bool = False
    timestamp: datetime | None = None


class Overview(Struct, frozen=True, kw_only=True):
    """The farm at a glance."""

    total_servers: int
    online_servers: int
    total_gpus: int
    busy_gpus: int
    idle_gpus: int
    total_running_tasks: int
    queue_length: int
    average_gpu_usage: float | None = None
    total_memory: float | None = None
    used_memory: float | None = None


class Page(Struct, Generic[T], frozen=True, kw_only=True):
    """One page of a list."""

    items: tuple[T, ...]
    total: int
    page: int
    page_size: int
    total_pages: int


def read(kind: type[T], data: Any) -> T:
    """``data`` as one of the above."""
    return msgspec.convert(data, kind)
