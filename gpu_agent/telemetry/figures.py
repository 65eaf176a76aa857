"""How each figure of a device is asked of NVML, newest call first.

Source: NVIDIA Management Library reference. A reader raises ``NVMLError`` when it cannot say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pynvml

MIB: Final = 1 << 20


def _memory(handle: Any) -> tuple[int, int]:
    """Used and total MiB. Version 1 of the call counts reserved memory as used."""
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2)
    return memory.used // MIB, memory.total // MIB


def _memory_v1(handle: Any) -> tuple[int, int]:
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    return memory.used // MIB, memory.total // MIB


def _temperature(handle: Any) -> float:
    return float(pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU))


def _temperature_v0(handle: Any) -> float:
    return float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))


# A field's readers in the order of preference: the later ones are for older drivers.
FIGURES: Final[dict[str, tuple[Callable[[Any], Any], ...]]] = {
    "usage_percent": (lambda h: float(pynvml.nvmlDeviceGetUtilizationRates(h).gpu),),
    "memory": (_memory, _memory_v1),
    "temperature_c": (_temperature, _temperature_v0),
    "power_w": (lambda h: pynvml.nvmlDeviceGetPowerUsage(h) / 1000,),
    "power_limit_w": (lambda h: pynvml.nvmlDeviceGetEnforcedPowerLimit(h) / 1000,),
    "encoder_percent": (lambda h: float(pynvml.nvmlDeviceGetEncoderUtilization(h)[0]),),
    "decoder_percent": (lambda h: float(pynvml.nvmlDeviceGetDecoderUtilization(h)[0]),),
}
