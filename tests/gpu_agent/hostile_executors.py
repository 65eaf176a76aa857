"""Executors that behave badly, offered as plugins by the fixture ``open_children``.

Law: none of them may do lasting harm where a wall is missing. A probe of the sandbox asks
whether it could; it never does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gpu_agent.executors import TaskContext, TaskFailed

Act = Callable[[dict[str, Any], TaskContext], Mapping[str, Any] | None]


class Plugin:
    reusable = False

    def __init__(self, act: Act) -> None:
        self._act = act

    def run(self, config: dict[str, Any], context: TaskContext) -> Mapping[str, Any]:
        return self._act(config, context) or {}


def _exit(config: dict[str, Any], _: TaskContext) -> None:
    os._exit(config["code"])


def _kill_itself(_: dict[str, Any], __: TaskContext) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _segfault(_: dict[str, Any], __: TaskContext) -> None:
    ctypes.string_at(1)


def _raise(_: dict[str, Any], __: TaskContext) -> None:
    raise LookupError("no such thing")


def _fail_softly(_: dict[str, Any], __: TaskContext) -> None:
    raise TaskFailed("the input is of no use")


def _allocate(_: dict[str, Any], __: TaskContext) -> None:
    bytearray(64 << 30)


def _flood(config: dict[str, Any], _: TaskContext) -> None:
    for number in range(config["lines"]):
        os.write(1, b"line %d of a flood that no one wants to keep\n" % number)


def _print_everywhere(_: dict[str, Any], context: TaskContext) -> None:
    print("by print")  # noqa: T201 - that is what is tested
    sys.stderr.write("by stderr\n")
    subprocess.run(["/bin/echo", "by a program"], check=True)
    os.write(2, b"no newline at the end")
    context.output("by the context", "WARNING")


def _ignore_everything(_: dict[str, Any], context: TaskContext) -> None:
    """Ignores SIGTERM, starts a program that does, and another that leaves the group."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for session in (False, True):
        subprocess.Popen(["/bin/sleep", "300"], start_new_session=session)
    context.output("deaf")
    while True:
        time.sleep(60)


def _leave_a_daemon(config: dict[str, Any], _: TaskContext) -> None:
    """Forks twice with a session of its own, as a daemon does, and ends well."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writing, str(os.getpid()).encode())
            time.sleep(300)
        os._exit(0)
    Path(config["pid_file"]).write_bytes(os.read(reading, 20))


def _leave_its_socket(_: dict[str, Any], context: TaskContext) -> None:
    """One that left the group holds the socket to the agent, and none heeds a stop."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        os.setsid()
        while True:
            time.sleep(60)
    context.output("left")
    while True:
        time.sleep(60)


def _leave_files(config: dict[str, Any], context: TaskContext) -> None:
    for number in range(config.get("count", 1)):
        (context.artifacts / f"{number}.txt").write_text(f"file {number}")
    (context.artifacts / "link").symlink_to("/etc/passwd")
    (context.artifacts / "folder").mkdir()


def _large_file(config: dict[str, Any], context: TaskContext) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with (context.artifacts / "big").open("wb") as file:
        file.truncate(config["size"])


def _fetch(config: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    return {"text": context.fetch(config["url"]).read_text()}


def _environment(_: dict[str, Any], __: TaskContext) -> dict[str, Any]:
    return dict(os.environ)


def _look_around(config: dict[str, Any], context: TaskContext) -> dict[str, Any]:
    """What would be open to a task with bad intentions: only asked, never done."""
    return {name: _open_to(probe) for name, probe in _probes(config, context).items()}


def _probes(config: dict[str, Any], context: TaskContext) -> dict[str, Callable[[], Any]]:
    secret, agent = Path(config["secret"]), config["agent_pid"]

    def writable(path: str) -> Callable[[], None]:
        return lambda: _deny_unless(os.access(path, os.W_OK))

    return {
        "read_secret": secret.read_text,
        "list_folder_of_secret": lambda: list(secret.parent.iterdir()),
        "read_passwd": Path("/etc/passwd").read_text,
        "read_shadow": Path("/etc/shadow").read_text,
        "read_root_home": lambda: list(Path("/root/.ssh").iterdir()),
        "write_usr": writable("/usr"),
        "write_bin": writable("/bin/sh"),
        "write_package": writable(__file__),
        "write_interpreter": writable(sys.executable),
        "see_other_workspaces": lambda: _deny_unless(
            len(list(context.workspace.parent.iterdir())) > 1
        ),
        "see_agent": lambda: os.kill(agent, 0),
        "read_agent_environment": Path(f"/proc/{agent}/environ").read_bytes,
        "read_agent_memory": lambda: Path(f"/proc/{agent}/mem").open("rb"),
        "reach_agents_port": lambda: socket.create_connection(("127.0.0.1", config["port"]), 1),
        "reach_a_socket": lambda: socket.socket(socket.AF_UNIX).connect(config["unix"]),
        "reach_by_datagram": lambda: _send_datagram("192.0.2.1"),
        "resolve_names": lambda: socket.getaddrinfo("example.com", 443),
        "raw_socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
        "make_device": lambda: os.mknod("device", 0o20600, os.makedev(1, 3)),
        "new_user_namespace": lambda: _unshare_in_a_child(0x10000000),
        "become_root": lambda: os.setuid(0),
        "hold_capabilities": lambda: _deny_unless(_capabilities() != 0),
        "read_kernel_log": lambda: Path("/dev/kmsg").open("rb"),
        "see_disks": lambda: _deny_unless(any(Path("/dev").glob("[svn][dv]*[a-z0-9]"))),
        "set_kernel_parameters": writable("/proc/sys/kernel/core_pattern"),
        "press_sysrq": writable("/proc/sysrq-trigger"),
        "steer_interrupts": writable("/proc/irq/default_smp_affinity"),
        "see_other_processes": lambda: _deny_unless(_process_count() > 6),
    }


def _open_to(probe: Callable[[], Any]) -> bool:
    try:
        probe()
    except OSError:
        return False
    return True


def _deny_unless(condition: bool) -> None:  # noqa: FBT001 - one word
    if not condition:
        raise PermissionError


def _send_datagram(host: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", (host, 9))


def _unshare_in_a_child(flags: int) -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(ctypes.CDLL(None).unshare(flags) != 0)
    _deny_unless(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0)


def _capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("CapEff"))
    return int(line.split()[1], 16)


def _process_count() -> int:
    return sum(entry.name.isdigit() for entry in Path("/proc").iterdir())


ACTS: dict[str, Act] = {
    "exit": _exit,
    "kill_itself": _kill_itself,
    "segfault": _segfault,
    "raise": _raise,
    "fail_softly": _fail_softly,
    "allocate": _allocate,
    "flood": _flood,
    "print_everywhere": _print_everywhere,
    "ignore_everything": _ignore_everything,
    "leave_a_daemon": _leave_a_daemon,
    "leave_its_socket": _leave_its_socket,
    "leave_files": _leave_files,
    "large_file": _large_file,
    "fetch": _fetch,
    "environment": _environment,
    "look_around": _look_around,
}
PLUGINS = {name: Plugin(act) for name, act in ACTS.items()}


def __getattr__(name: str) -> Plugin:
    """Each plugin is an attribute, as an entry point wants it."""
    try:
        return PLUGINS[name.removeprefix("plugin_")]
    except KeyError:
        raise AttributeError(name) from None
