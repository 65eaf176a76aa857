"""The machine around the GPUs, from psutil."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

import psutil

from domain.fleet.messages import HostSample

MIB: Final = 1 << 20


class HostSampler:
    """CPU, memory and the disk that holds ``workspace``."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        # psutil measures between two calls: the first answer, always 0.0, is thrown away.
        psutil.cpu_percent(None)

    def sample(self) -> HostSample:
        """The machine now; ``cpu_percent`` is the mean since the last call."""
        memory = psutil.virtual_memory()
        try:
            disk_free_mib = shutil.disk_usage(self._workspace).free // MIB
        except OSError:
            disk_free_mib = None
        try:
            load_1m = psutil.getloadavg()[0]
        except OSError:
            load_1m = None
        return HostSample(
            cpu_percent=psutil.cpu_percent(None),
            cpu_count=psutil.cpu_count(),
            memory_percent=memory.percent,
            memory_total_mib=memory.total // MIB,
            disk_free_mib=disk_free_mib,
            load_1m=load_1m,
        )
