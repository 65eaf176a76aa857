"""What a sampler gives, whether from NVML or from the simulation."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from domain.fleet.messages import GpuSample


class GpuReport(Struct, frozen=True, kw_only=True):
    """Every device at one moment; ``fault`` says why there may be none at all.

    A host without a driver has no device and the fault ``driver_missing: …``: no error where
    there is no GPU. A device that was known and answers no more stays in ``gpus``, unhealthy.
    """

    gpus: tuple[GpuSample, ...] = ()
    driver_version: str | None = None
    cuda_version: str | None = None
    fault: str | None = None
    simulated: bool = False


class GpuSampler(Protocol):
    """What the agent asks about its GPUs. Never raises, never blocks past its timeout."""

    def sample(self) -> GpuReport:
        """Every device now."""
        ...

    def close(self) -> None:
        """Let go of the driver."""
        ...
