"""NVML through pynvml's own struct packing, against a driver made of C callbacks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Protocol

import pynvml
import pytest

from gpu_agent.telemetry.nvml import NvmlSampler
from tests.gpu_agent.telemetry.fake_nvml import GIB, FakeGpu, FakeLib


class Install(Protocol):
    def __call__(self, lib: FakeLib, timeout_s: float = ...) -> NvmlSampler: ...


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    samplers: list[NvmlSampler] = []

    def install_lib(lib: FakeLib, timeout_s: float = 2.0) -> NvmlSampler:
        monkeypatch.setattr(pynvml, "nvmlLib", lib)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        samplers.append(NvmlSampler(timeout_s))
        return samplers[-1]

    yield install_lib
    for sampler in samplers:
        sampler.close()


def test_every_device_is_named_by_uuid(install: Install) -> None:
    small = FakeGpu("GPU-b", total=24 * GIB, name="Fake L4")
    report = install(FakeLib(FakeGpu("GPU-a"), small)).sample()
    assert (report.driver_version, report.cuda_version) == ("580.65.06", "13.1")
    assert [(g.uuid, g.index, g.name, g.memory_total_mib) for g in report.gpus] == [
        ("GPU-a", 0, "Fake H100", 81_920),
        ("GPU-b", 1, "Fake L4", 24_576),
    ]
    assert not any(gpu.simulated for gpu in report.gpus)
    assert all(gpu.healthy and gpu.fault is None for gpu in report.gpus)


def test_used_memory_does_not_count_what_the_driver_reserves(install: Install) -> None:
    gpu = install(FakeLib(FakeGpu("GPU-a", used=3 * GIB))).sample().gpus[0]
    assert (gpu.memory_used_mib, gpu.memory_total_mib) == (3_072, 81_920)


def test_an_old_driver_is_asked_the_older_question(install: Install) -> None:
    lib = FakeLib(FakeGpu("GPU-a", used=3 * GIB))
    lib.missing.add("nvmlDeviceGetMemoryInfo_v2")
    gpu = install(lib).sample().gpus[0]
    assert (gpu.memory_used_mib, gpu.temperature_c) == (4_096, 61.0)


def test_what_a_device_cannot_say_is_none_and_never_zero(install: Install) -> None:
    sampler = install(FakeLib(FakeGpu("GPU-a", usage=None, milliwatt=None), FakeGpu("GPU-b")))
    without, with_all = sampler.sample().gpus
    assert (without.usage_percent, without.power_w, without.encoder_percent) == (None,) * 3
    assert (with_all.usage_percent, with_all.power_w) == (42.0, 123.456)
    assert without.healthy


def test_an_idle_device_says_zero(install: Install) -> None:
    assert install(FakeLib(FakeGpu("GPU-a", usage=0))).sample().gpus[0].usage_percent == 0.0


def test_what_is_not_supported_is_not_asked_again(install: Install) -> None:
    lib = FakeLib(FakeGpu("GPU-a", usage=None))
    sampler = install(lib)
    for _ in range(5):
        sampler.sample()
    assert lib.calls["nvmlDeviceGetUtilizationRates"] == 1
    assert lib.calls["nvmlDeviceGetPowerUsage"] == 5


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (pynvml.NVML_ERROR_GPU_IS_LOST, "gpu_lost"),
        (pynvml.NVML_ERROR_RESET_REQUIRED, "gpu_reset_required"),
    ],
)
def test_a_device_that_falls_off_the_bus_is_unhealthy_and_the_rest_go_on(
    install: Install, code: int, reason: str
) -> None:
    lib = FakeLib(FakeGpu("GPU-a"), FakeGpu("GPU-b"))
    sampler = install(lib)
    assert all(gpu.healthy for gpu in sampler.sample().gpus)
    lib.gpus[0].error = code
    lost, well = sampler.sample().gpus
    assert (lost.uuid, lost.healthy, lost.usage_percent) == ("GPU-a", False, None)
    assert lost.fault is not None
    assert lost.fault.startswith(reason)
    assert (well.uuid, well.healthy, well.usage_percent) == ("GPU-b", True, 42.0)


def test_a_call_that_hangs_does_not_hang_the_agent_and_is_reported(install: Install) -> None:
    lib = FakeLib(FakeGpu("GPU-a"))
    sampler = install(lib, timeout_s=0.5)
    assert sampler.sample().fault is None
    lib.hang = threading.Event()
    began = time.monotonic()
    reports = [sampler.sample() for _ in range(20)]
    assert all("nvml_hung" in str(report.fault) for report in reports)
    assert [(g.uuid, g.healthy) for report in reports for g in report.gpus] == (
        [("GPU-a", False)] * 20
    )
    assert time.monotonic() - began < 5, "only the first call may wait out its timeout"
    assert lib.calls["nvmlDeviceGetUtilizationRates"] == 2, "one thread hangs, not twenty"
    lib.hang.set()


def test_a_driver_that_recovers_is_heard_again(install: Install) -> None:
    lib = FakeLib(FakeGpu("GPU-a"))
    sampler = install(lib, timeout_s=0.5)
    lib.hang = threading.Event()
    assert sampler.sample().fault is not None
    hung, lib.hang = lib.hang, None
    hung.set()
    deadline = time.monotonic() + 30
    while sampler.sample().fault and time.monotonic() < deadline:
        pass
    assert sampler.sample().gpus[0].usage_percent == 42.0


def test_a_host_without_a_driver_has_no_gpus_and_says_so(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = install(FakeLib())
    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "CDLL", _no_library)
    report = sampler.sample()
    assert report.gpus == ()
    assert str(report.fault).startswith("driver_missing")


def _no_library(name: str) -> None:
    raise OSError(name)


def test_an_upgraded_driver_is_unusable_until_it_answers_again(install: Install) -> None:
    lib = FakeLib(FakeGpu("GPU-a"))
    lib.init_error = pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH
    sampler = install(lib)
    assert str(sampler.sample().fault).startswith("driver_unusable")
    lib.init_error = pynvml.NVML_SUCCESS
    assert [gpu.uuid for gpu in sampler.sample().gpus] == ["GPU-a"]


def test_a_session_lost_between_samples_is_started_again(install: Install) -> None:
    lib = FakeLib(FakeGpu("GPU-a"))
    sampler = install(lib)
    sampler.sample()
    lib.gpus[0].error = pynvml.NVML_ERROR_DRIVER_NOT_LOADED
    report = sampler.sample()
    assert str(report.fault).startswith("driver_missing")
    assert [(gpu.uuid, gpu.healthy) for gpu in report.gpus] == [("GPU-a", False)]
    lib.gpus[0].error = pynvml.NVML_SUCCESS
    assert [(gpu.uuid, gpu.healthy) for gpu in sampler.sample().gpus] == [("GPU-a", True)]
    assert lib.calls["nvmlInitWithFlags"] == 2


def test_a_partitioned_gpu_is_seen_as_its_instances(install: Install) -> None:
    instances = [FakeGpu(f"MIG-{n}", usage=None, total=10 * GIB, name="MIG 1g") for n in (1, 2)]
    gpus = install(FakeLib(FakeGpu("GPU-a", mig=instances), FakeGpu("GPU-b"))).sample().gpus
    assert [(gpu.uuid, gpu.index, gpu.usage_percent) for gpu in gpus] == [
        ("MIG-1", 0, None),
        ("MIG-2", 0, None),
        ("GPU-b", 1, 42.0),
    ]


def test_a_critical_error_makes_its_device_unhealthy_for_good(install: Install) -> None:
    sampler = install(FakeLib(FakeGpu("GPU-a", xids=[48]), FakeGpu("GPU-b")))
    deadline = time.monotonic() + 30
    while sampler.sample().gpus[0].healthy and time.monotonic() < deadline:
        pass
    broken, well = sampler.sample().gpus
    assert (broken.healthy, broken.fault, broken.usage_percent) == (False, "xid 48", 42.0)
    assert (well.healthy, well.fault) == (True, None)


def test_an_error_of_the_users_program_leaves_the_device_well(install: Install) -> None:
    lib = FakeLib(FakeGpu("GPU-a", xids=[31]), FakeGpu("GPU-b", xids=[79]))
    sampler = install(lib)
    deadline = time.monotonic() + 30
    while sampler.sample().gpus[1].healthy and time.monotonic() < deadline:
        pass
    assert [gpu.fault for gpu in sampler.sample().gpus] == [None, "xid 79"]
