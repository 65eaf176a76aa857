"""The driver's critical errors (Xid) as they happen, heard in a thread of their own.

Source: NVIDIA "Xid Errors"; NVML event sets. Where a device or a driver has no events, there is
simply nothing to hear: a lost device still shows in the samples.
"""

from __future__ import annotations

import threading
from typing import Any, Final

import pynvml

WAIT_MS: Final = 1_000

# Errors of the user's program (bad memory access, page fault, removal after them): the task
# fails, the device is well. The same list as in NVIDIA's Kubernetes device plugin.
PROGRAM_XIDS: Final = frozenset({13, 31, 43, 45, 68, 109})


class XidEvents:
    """Remembers which device has had a critical error, until the driver is started anew."""

    def __init__(self) -> None:
        self._faults: dict[str, str] = {}
        self._stop = threading.Event()
        self._listener: threading.Thread | None = None

    def listen(self, devices: list[tuple[str, Any]]) -> None:
        """Start hearing ``devices`` (uuid, handle). Called from the thread that owns NVML."""
        if self._listener is not None and self._listener.is_alive():
            return
        self._faults.clear()
        try:
            events = pynvml.nvmlEventSetCreate()
        except pynvml.NVMLError:
            return
        registered = [_register(handle, events) for _, handle in devices]
        if any(registered):
            self._listener = threading.Thread(
                target=self._hear, args=(events, devices), name="nvml-xid", daemon=True
            )
            self._listener.start()

    def faults(self) -> dict[str, str]:
        """The last critical error of each device that had one, by uuid."""
        return dict(self._faults)

    def close(self) -> None:
        """Stop hearing; the thread ends within its wait."""
        self._stop.set()
        if self._listener is not None:
            self._listener.join(2 * WAIT_MS / 1000)

    def _hear(self, events: Any, devices: list[tuple[str, Any]]) -> None:
        while not self._stop.is_set():
            try:
                event = pynvml.nvmlEventSetWait_v2(events, WAIT_MS)
            except pynvml.NVMLError_Timeout:
                continue
            except pynvml.NVMLError:
                return  # the session is gone; starting NVML again listens again
            xid = int(event.eventData)
            uuid = _uuid_of(event.device, devices)
            if uuid is not None and xid not in PROGRAM_XIDS:
                self._faults[uuid] = f"xid {xid}"


def _register(handle: Any, events: Any) -> bool:
    try:
        wanted = pynvml.nvmlEventTypeXidCriticalError
        if not pynvml.nvmlDeviceGetSupportedEventTypes(handle) & wanted:
            return False
        pynvml.nvmlDeviceRegisterEvents(handle, wanted, events)
    except pynvml.NVMLError:
        return False
    return True


def _uuid_of(handle: Any, devices: list[tuple[str, Any]]) -> str | None:
    # By the handle's address: a lost device no longer says who it is.
    return next((uuid for uuid, known in devices if bytes(known) == bytes(handle)), None)
