# ruff: noqa: N802 - the names are NVML's own
"""A driver made of ctypes callbacks with NVML's C signatures.

pynvml calls it as it would call ``libnvidia-ml.so``: its struct packing, its versioning and its
mapping of errors all run for real. A function that is not given here is "function not found",
as with an older driver.
"""

from __future__ import annotations

import ctypes as c
import threading
from typing import Any

import pynvml

GIB = 1 << 30
OK: int = pynvml.NVML_SUCCESS
NOT_SUPPORTED: int = pynvml.NVML_ERROR_NOT_SUPPORTED


class FakeGpu:
    """One device; ``error`` makes every call on it fail with that code."""

    def __init__(self, uuid: str, **figures: Any) -> None:
        self.uuid = uuid
        self.name = figures.pop("name", "Fake H100")
        self.usage: int | None = figures.pop("usage", 42)
        self.total: int = figures.pop("total", 80 * GIB)
        self.used: int = figures.pop("used", 3 * GIB)
        self.milliwatt: int | None = figures.pop("milliwatt", 123_456)
        self.error: int = OK
        self.mig: list[FakeGpu] = figures.pop("mig", [])
        self.xids: list[int] = figures.pop("xids", [])
        assert not figures


class FakeLib:
    """Assign to ``pynvml.nvmlLib``. ``calls`` counts; ``hang`` blocks utilisation calls."""

    def __init__(self, *gpus: FakeGpu) -> None:
        self.gpus = list(gpus)
        self.all = [*gpus, *(instance for gpu in gpus for instance in gpu.mig)]
        self.calls: dict[str, int] = {}
        self.init_error = OK
        self.hang: threading.Event | None = None
        self.missing = {"nvmlDeviceGetTemperatureV"}
        self._callbacks: dict[str, Any] = {}

    def __getattr__(self, name: str) -> Any:
        method = type(self).__dict__.get("c_" + name)
        if method is None or name in self.missing:
            raise AttributeError(name)
        if name not in self._callbacks:
            signature = c.CFUNCTYPE(c.c_uint, *SIGNATURES[name])

            def counted(*arguments: Any) -> int:
                self.calls[name] = self.calls.get(name, 0) + 1
                return int(method(self, *arguments))

            self._callbacks[name] = signature(counted)
        return self._callbacks[name]

    def gpu(self, handle: Any) -> FakeGpu:
        return self.all[int(handle) - 1]

    def c_nvmlInitWithFlags(self, _flags: int) -> int:
        return self.init_error

    def c_nvmlShutdown(self) -> int:
        return OK

    def c_nvmlDeviceGetCount_v2(self, out: Any) -> int:
        out[0] = len(self.gpus)
        return OK

    def c_nvmlDeviceGetHandleByIndex_v2(self, index: int, out: Any) -> int:
        if self.gpus[index].error:
            return self.gpus[index].error
        out[0] = _handle(index + 1)
        return OK

    def c_nvmlDeviceGetUUID(self, handle: int, out: Any, size: int) -> int:
        return self._text(self.gpu(handle), self.gpu(handle).uuid, out, size)

    def c_nvmlDeviceGetName(self, handle: int, out: Any, size: int) -> int:
        return self._text(self.gpu(handle), self.gpu(handle).name, out, size)

    def c_nvmlSystemGetDriverVersion(self, out: Any, size: int) -> int:
        return self._text(None, "580.65.06", out, size)

    def c_nvmlSystemGetCudaDriverVersion_v2(self, out: Any) -> int:
        out[0] = 13010
        return OK

    def c_nvmlDeviceGetUtilizationRates(self, handle: int, out: Any) -> int:
        if self.hang is not None:
            self.hang.wait(30)
        gpu = self.gpu(handle)
        if gpu.error or gpu.usage is None:
            return gpu.error or NOT_SUPPORTED
        out[0].gpu, out[0].memory = gpu.usage, 1
        return OK

    def c_nvmlDeviceGetMemoryInfo_v2(self, handle: int, out: Any) -> int:
        gpu = self.gpu(handle)
        assert out[0].version == pynvml.nvmlMemory_v2, "the driver checks the struct's version"
        out[0].total, out[0].used, out[0].reserved = gpu.total, gpu.used, GIB
        return gpu.error

    def c_nvmlDeviceGetMemoryInfo(self, handle: int, out: Any) -> int:
        gpu = self.gpu(handle)
        out[0].total, out[0].used = gpu.total, gpu.used + GIB
        return gpu.error

    def c_nvmlDeviceGetTemperature(self, handle: int, _sensor: int, out: Any) -> int:
        out[0] = 61
        return self.gpu(handle).error

    def c_nvmlDeviceGetPowerUsage(self, handle: int, out: Any) -> int:
        gpu = self.gpu(handle)
        if gpu.error or gpu.milliwatt is None:
            return gpu.error or NOT_SUPPORTED
        out[0] = gpu.milliwatt
        return OK

    def c_nvmlDeviceGetMigMode(self, handle: int, current: Any, pending: Any) -> int:
        current[0] = pending[0] = int(bool(self.gpu(handle).mig))
        return OK

    def c_nvmlDeviceGetMaxMigDeviceCount(self, _handle: int, out: Any) -> int:
        out[0] = 7
        return OK

    def c_nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, slot: int, out: Any) -> int:
        instances = self.gpu(handle).mig
        if slot >= len(instances):
            return int(pynvml.NVML_ERROR_NOT_FOUND)
        out[0] = _handle(self.all.index(instances[slot]) + 1)
        return OK

    def c_nvmlEventSetCreate(self, out: Any) -> int:
        out[0] = c.cast(99, pynvml.c_nvmlEventSet_t)
        return OK

    def c_nvmlDeviceGetSupportedEventTypes(self, handle: int, out: Any) -> int:
        out[0] = pynvml.nvmlEventTypeXidCriticalError if self.gpu(handle).xids else 0
        return OK

    def c_nvmlDeviceRegisterEvents(self, *_: Any) -> int:
        return OK

    def c_nvmlEventSetWait_v2(self, _events: int, out: Any, _timeout_ms: int) -> int:
        for number, gpu in enumerate(self.all, start=1):
            if gpu.xids and gpu.xids[0]:
                out[0].device = _handle(number)
                out[0].eventType = pynvml.nvmlEventTypeXidCriticalError
                out[0].eventData = gpu.xids.pop(0)
                return OK
        threading.Event().wait(0.01)
        return int(pynvml.NVML_ERROR_TIMEOUT)

    def _text(self, gpu: FakeGpu | None, text: str, out: Any, size: int) -> int:
        if gpu is not None and gpu.error:
            return gpu.error
        assert len(text) < size
        c.memmove(out, text.encode() + b"\0", len(text) + 1)
        return OK


def _handle(number: int) -> Any:
    return c.cast(number, pynvml.c_nvmlDevice_t)


_HANDLE, _UINT, _UINT_OUT = c.c_void_p, c.c_uint, c.POINTER(c.c_uint)
_HANDLE_OUT = c.POINTER(pynvml.c_nvmlDevice_t)
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "nvmlInitWithFlags": (_UINT,),
    "nvmlShutdown": (),
    "nvmlDeviceGetCount_v2": (_UINT_OUT,),
    "nvmlDeviceGetHandleByIndex_v2": (_UINT, _HANDLE_OUT),
    "nvmlDeviceGetUUID": (_HANDLE, c.c_void_p, _UINT),
    "nvmlDeviceGetName": (_HANDLE, c.c_void_p, _UINT),
    "nvmlSystemGetDriverVersion": (c.c_void_p, _UINT),
    "nvmlSystemGetCudaDriverVersion_v2": (c.POINTER(c.c_int),),
    "nvmlDeviceGetUtilizationRates": (_HANDLE, c.POINTER(pynvml.c_nvmlUtilization_t)),
    "nvmlDeviceGetMemoryInfo_v2": (_HANDLE, c.POINTER(pynvml.c_nvmlMemory_v2_t)),
    "nvmlDeviceGetMemoryInfo": (_HANDLE, c.POINTER(pynvml.c_nvmlMemory_t)),
    "nvmlDeviceGetTemperature": (_HANDLE, _UINT, _UINT_OUT),
    "nvmlDeviceGetPowerUsage": (_HANDLE, _UINT_OUT),
    "nvmlDeviceGetMigMode": (_HANDLE, _UINT_OUT, _UINT_OUT),
    "nvmlDeviceGetMaxMigDeviceCount": (_HANDLE, _UINT_OUT),
    "nvmlDeviceGetMigDeviceHandleByIndex": (_HANDLE, _UINT, _HANDLE_OUT),
    "nvmlEventSetCreate": (c.POINTER(pynvml.c_nvmlEventSet_t),),
    "nvmlDeviceGetSupportedEventTypes": (_HANDLE, c.POINTER(c.c_ulonglong)),
    "nvmlDeviceRegisterEvents": (_HANDLE, c.c_ulonglong, c.c_void_p),
    "nvmlEventSetWait_v2": (c.c_void_p, c.POINTER(pynvml.c_nvmlEventData_t), _UINT),
}
