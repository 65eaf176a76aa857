"""Contexts of what the platform does by itself, and of what agents report."""

from __future__ import annotations

from typing import Final
from uuid import UUID, uuid5

from domain.envelope import Actor, Context, Fence

_DECISIONS: Final = UUID("8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a11")
_REPORTS: Final = UUID("8f0c6f0e-6a39-5d0c-9a53-0b1f6c6d7a12")


def of_policy(
    policy: str,
    decision: str,
    *,
    correlation_id: str,
    causation_id: int | None = None,
    fence: Fence,
) -> Context:
    """The context of a decision; ``decision`` names it for ever, so a repeat is the same.

    With the fence of the team that leads: who was overtaken commits nothing.
    """
    return Context(
        command_id=uuid5(_DECISIONS, f"{policy}/{decision}"),
        actor=Actor("policy", policy),
        correlation_id=correlation_id or f"{policy}/{decision}",
        causation_id=causation_id,
        fence=fence,
    )


def of_report(
    server_id: UUID, report_id: UUID, *, correlation_id: str, causation_id: int | None = None
) -> Context:
    """The context of an agent's report; redelivered, it is the same command."""
    return Context(
        command_id=uuid5(_REPORTS, f"{server_id}/{report_id}"),
        actor=Actor("agent", str(server_id)),
        correlation_id=correlation_id or f"report/{report_id}",
        causation_id=causation_id,
    )
