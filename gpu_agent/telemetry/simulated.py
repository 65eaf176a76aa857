"""GPUs that do not exist, for demonstrations: always labelled, never mistaken for hardware."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from domain.fleet.messages import GpuSample
from gpu_agent.telemetry.readings import GpuReport

MEMORY_TOTAL_MIB: Final = 24_576
PERIOD_S: Final = 90.0


class SimulatedSampler:
    """``count`` devices whose figures breathe with ``clock`` (monotonic seconds).

    The uuid says it too (``SIM-…``), so that CUDA would refuse it and no log can be misread.
    """

    def __init__(self, count: int, clock: Callable[[], float]) -> None:
        self._count = count
        self._clock = clock

    def sample(self) -> GpuReport:
        """Figures that move slowly, each device a little behind the one before."""
        return GpuReport(gpus=tuple(map(self._device, range(self._count))), simulated=True)

    def close(self) -> None:
        """Nothing to let go of."""

    def _device(self, index: int) -> GpuSample:
        phase = 2 * math.pi * (self._clock() / PERIOD_S + index / 7)
        load = 0.5 + 0.45 * math.sin(phase)
        return GpuSample(
            index=index,
            uuid=f"SIM-{index:08d}",
            name="Simulated GPU",
            usage_percent=round(100 * load, 1),
            memory_used_mib=int(MEMORY_TOTAL_MIB * (0.1 + 0.6 * load)),
            memory_total_mib=MEMORY_TOTAL_MIB,
            temperature_c=round(35 + 40 * load, 1),
            power_w=round(60 + 240 * load, 1),
            power_limit_w=300.0,
            simulated=True,
        )
