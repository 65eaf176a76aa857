"""What an operator sets for one agent. Read once, by ``__main__``."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from msgspec import Struct

from gpu_agent.fetch import FetchPolicy
from gpu_agent.supervisor import Limits


class Settings(Struct, frozen=True, kw_only=True):
    """One agent's settings; every one has a default but the state directory."""

    state: Path
    """Identity, spool, workspaces. Private to the agent's user."""
    nats_urls: tuple[str, ...] = ()
    """Overrides what the platform said at enrolment; may carry credentials."""
    media: tuple[Path, ...] = ()
    """Where ``file:`` addresses lead; without one there are none."""
    allow_http: bool = False
    allow_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    simulate_gpus: int = 0
    sandbox: bool = True
    """Use bubblewrap where it works."""
    most_tasks: int = 256
    standby: int = 2
    memory_mib: int | None = None
    heartbeat_s: float = 5.0
    """Until the first receipt says the platform's own."""
    lease_s: float = 120.0
    """Likewise."""
    grace_s: float = 5.0
    """From telling a task to stop to killing it."""
    shutdown_s: float = 30.0
    """How long running tasks may go on when the agent is asked to stop."""

    def fetch_policy(self) -> FetchPolicy:
        """What strangers' URLs may lead to."""
        return FetchPolicy(allow_http=self.allow_http, allow_networks=self.allow_networks)

    def limits(self) -> Limits:
        """Bounds on each task."""
        return Limits(grace_s=self.grace_s)
