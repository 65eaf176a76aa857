"""What ``owl-agent probe`` found, told to a person."""

from __future__ import annotations

from typing import Any

from gpu_agent.telemetry.readings import GpuReport


def told(report: GpuReport, seen: dict[str, Any]) -> str:
    """One line for each GPU, then executors and sandbox; ``seen`` is what ``--json`` prints."""
    lines = [
        f"{gpu.index}  {gpu.name}  {gpu.memory_total_mib or '?'} MiB  {gpu.uuid}"
        + ("" if gpu.healthy else f"  UNHEALTHY: {gpu.fault}")
        for gpu in report.gpus
    ]
    lines = lines or [f"no GPU ({report.fault or 'none found'}): tasks will run on the CPU"]
    lines.append(f"executors: {', '.join(seen['task_types']) or 'none'}")
    lines += [f"  not loaded: {name}: {why}" for name, why in seen["refused"].items()]
    lines.append(f"sandbox: {seen['sandbox']}")
    return "\n".join(lines)
