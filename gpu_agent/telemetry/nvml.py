"""GPUs as NVML sees them: every call may fail, hang or be unknown to this driver or device.

Law: no figure is invented. "Not supported" is ``None`` and is not asked again; a device that
fell off the bus is unhealthy, not a crash; a call that hangs is given up after its timeout.
Source: NVIDIA Management Library reference, `nvmlReturn_t`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, Final, TypeVar

import pynvml
from msgspec import Struct
from msgspec.structs import replace

from domain.fleet.messages import GpuSample
from gpu_agent.telemetry.bounded_calls import BoundedCalls, CallHung
from gpu_agent.telemetry.figures import FIGURES
from gpu_agent.telemetry.readings import GpuReport
from gpu_agent.telemetry.xid_events import XidEvents

R = TypeVar("R")

CALL_TIMEOUT_S: Final = 2.0

# This driver or this device will never answer: remember it and stop asking.
_UNSUPPORTED: Final = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
    }
)
_DEVICE_GONE: Final = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "gpu_lost",
    pynvml.NVML_ERROR_RESET_REQUIRED: "gpu_reset_required",
}
# NVML must be started again before anything else works.
_SESSION_LOST: Final = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
_NO_DRIVER: Final = frozenset(
    {pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, pynvml.NVML_ERROR_DRIVER_NOT_LOADED}
)


class _Device(Struct, frozen=True):
    """A handle, and what is known of the device however it fares."""

    handle: Any
    known: GpuSample


class NvmlSampler:
    """The GPUs of this host. Made without touching the driver; each call does.

    A partitioned GPU (MIG) is seen as its instances: as a whole it takes no work. Devices are
    looked for once per driver session, so the agent is restarted after a new partition.
    """

    def __init__(self, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self._calls = BoundedCalls("nvml", timeout_s)
        self._xids = XidEvents()
        self._started = False
        self._versions: tuple[str | None, str | None] = (None, None)
        self._devices: list[_Device] = []
        self._unsupported: set[tuple[str, str, int]] = set()

    def sample(self) -> GpuReport:
        """Every device's figures; one that fell off, or hangs, is unhealthy and says why."""
        try:
            return self._calls.call(self._read)
        except CallHung as hang:
            return self._all_unhealthy(f"nvml_hung: {hang}")
        except pynvml.NVMLError as error:
            reason = "driver_missing" if error.value in _NO_DRIVER else "driver_unusable"
            return self._all_unhealthy(f"{reason}: {error}")

    def close(self) -> None:
        """Stop listening and shut NVML down, unless it hangs."""
        self._xids.close()
        if self._started:
            with contextlib.suppress(CallHung, pynvml.NVMLError):
                self._calls.call(pynvml.nvmlShutdown)
        self._calls.close()

    def _all_unhealthy(self, fault: str) -> GpuReport:
        gpus = tuple(replace(d.known, healthy=False, fault=fault) for d in self._devices)
        return GpuReport(gpus=gpus, fault=fault)

    def _start(self) -> None:
        if self._started:
            return
        pynvml.nvmlInit()
        driver = self._optional("", "driver", pynvml.nvmlSystemGetDriverVersion)
        cuda = self._optional("", "cuda", pynvml.nvmlSystemGetCudaDriverVersion_v2)
        self._versions = (driver, None if cuda is None else _cuda_version(cuda))
        self._devices = self._enumerate()
        self._xids.listen([(device.known.uuid, device.handle) for device in self._devices])
        self._started = True

    def _read(self) -> GpuReport:
        self._start()
        faults = self._xids.faults()
        try:
            gpus = tuple(self._sample(d, faults.get(d.known.uuid)) for d in self._devices)
        except pynvml.NVMLError:
            self._started = False  # only a lost session comes this far: start NVML again
            raise
        driver, cuda = self._versions
        return GpuReport(gpus=gpus, driver_version=driver, cuda_version=cuda)

    def _sample(self, device: _Device, fault: str | None) -> GpuSample:
        uuid = device.known.uuid
        try:
            figures = {name: self._figure(uuid, name, device.handle) for name in FIGURES}
        except pynvml.NVMLError as error:
            if error.value not in _DEVICE_GONE:
                raise
            reason = f"{_DEVICE_GONE[error.value]}: {error}"
            return replace(device.known, healthy=False, fault=reason)
        used, total = figures.pop("memory") or (None, device.known.memory_total_mib)
        return replace(
            device.known,
            memory_used_mib=used,
            memory_total_mib=total,
            healthy=fault is None,
            fault=fault,
            **figures,
        )

    def _figure(self, uuid: str, name: str, handle: Any) -> Any:
        for version, read in enumerate(FIGURES[name]):
            if (uuid, name, version) in self._unsupported:
                continue
            try:
                return read(handle)
            except pynvml.NVMLError as error:
                if error.value in _DEVICE_GONE or error.value in _SESSION_LOST:
                    raise
                if error.value not in _UNSUPPORTED:
                    return None  # this time only: busy, timed out, unknown
                self._unsupported.add((uuid, name, version))
        return None

    def _enumerate(self) -> list[_Device]:
        found: list[_Device] = []
        for index in range(pynvml.nvmlDeviceGetCount()):
            try:
                handle = pynvml.nvmlDeviceGetHandleByIndex(index)
                whole = self._describe(handle, index)
                instances = self._mig_instances(handle, whole)
            except pynvml.NVMLError as error:
                if error.value in _SESSION_LOST:
                    raise
                continue  # lost before we knew its name; its siblings still work
            found.extend(instances or [whole])
        return found

    def _describe(self, handle: Any, index: int) -> _Device:
        uuid = pynvml.nvmlDeviceGetUUID(handle)
        memory = self._figure(uuid, "memory", handle)
        return _Device(
            handle,
            GpuSample(
                index=index,
                uuid=uuid,
                name=pynvml.nvmlDeviceGetName(handle),
                memory_total_mib=None if memory is None else memory[1],
            ),
        )

    def _mig_instances(self, handle: Any, whole: _Device) -> list[_Device]:
        uuid = whole.known.uuid
        mode = self._optional(uuid, "mig", lambda: pynvml.nvmlDeviceGetMigMode(handle))
        if mode is None or mode[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return []
        instances: list[_Device] = []
        for slot in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with contextlib.suppress(pynvml.NVMLError_NotFound):  # an empty slot
                instance = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, slot)
                instances.append(self._describe(instance, whole.known.index))
        return instances

    def _optional(self, uuid: str, name: str, read: Callable[[], R]) -> R | None:
        if (uuid, name, 0) in self._unsupported:
            return None
        try:
            return read()
        except pynvml.NVMLError as error:
            if error.value not in _UNSUPPORTED:
                raise
            self._unsupported.add((uuid, name, 0))
            return None


def _cuda_version(packed: int) -> str:
    """NVML packs 13.1 as 13010."""
    return f"{packed // 1000}.{packed % 1000 // 10}"
