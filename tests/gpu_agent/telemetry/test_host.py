"""The host's figures, and the GPUs that do not exist."""

from __future__ import annotations

from pathlib import Path

from gpu_agent.telemetry.host import HostSampler
from gpu_agent.telemetry.simulated import SimulatedSampler


def test_the_host_says_what_is_used_of_what(tmp_path: Path) -> None:
    sample = HostSampler(tmp_path).sample()
    assert sample.memory_percent is not None
    assert 0 < sample.memory_percent < 100
    assert sample.cpu_percent is not None
    assert 0 <= sample.cpu_percent <= 100
    assert sample.memory_total_mib
    assert sample.disk_free_mib is not None


def test_a_vanished_workspace_is_an_absent_figure(tmp_path: Path) -> None:
    assert HostSampler(tmp_path / "gone").sample().disk_free_mib is None


def test_simulated_devices_are_labelled_in_every_place() -> None:
    report = SimulatedSampler(2, clock=lambda: 12.0).sample()
    assert report.simulated
    assert report.driver_version is None
    assert [gpu.uuid for gpu in report.gpus] == ["SIM-00000000", "SIM-00000001"]
    assert all(gpu.simulated and "Simulated" in gpu.name for gpu in report.gpus)


def test_simulated_figures_move_and_stay_within_the_device() -> None:
    now = [0.0]
    sampler = SimulatedSampler(3, clock=lambda: now[0])
    seen = set()
    for now[0] in range(0, 200, 5):
        for gpu in sampler.sample().gpus:
            assert gpu.usage_percent is not None
            assert gpu.memory_used_mib is not None
            assert gpu.memory_total_mib is not None
            assert 0 <= gpu.usage_percent <= 100
            assert 0 < gpu.memory_used_mib < gpu.memory_total_mib
            seen.add(gpu.usage_percent)
    assert len(seen) > 20
