#!/usr/bin/env python3
"""Set up this tree and run it: `python3 dev.py up`, `… test`, `… --help` for the rest.

Law: standard library only, and no syntax that an older Python cannot parse, because this file
is what tells its user which Python is needed. The environment is `.venv`, installed from the
hash locks in requirements/ and stamped with what it was made from, so a second run starts at
once. Every command runs from the root of the tree.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from subprocess import PIPE, STDOUT

try:
    import fcntl
except ImportError:
    sys.exit("dev.py: runs on Linux and macOS; on Windows, use it inside WSL")

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "owl-stamp.json"

OLDEST = (3, 11)
NEWER = ("python3.13", "python3.12", "python3.11", "python3.14")

# Each level's lock holds all of the level before it.
LEVELS = ("run", "test", "bench")
SHOWN_ON_FAILURE = 25
LEVEL_OF = {"up": "run", "test": "test", "lint": "test", "soak": "test", "bench": "bench"}

USAGE = """\
usage: python3 dev.py COMMAND [ARGUMENTS]

  up [--once] [--data-dir DIR] …   the whole platform here, and one real video analysis
  test [PYTEST ARGUMENTS]          all tests, or what the arguments name
  lint                             ruff, formatting, mypy, the import contracts
  soak [PYTEST ARGUMENTS]          the tests that run for minutes to hours
  bench [NAME] [ARGUMENTS]         one benchmark; without a name, the list of them
  lock [--upgrade]                 write requirements/*.txt anew from *.in (wants uv on PATH)

Arguments go through to the program behind the command: `python3 dev.py up --help`.
"""


def say(text: str) -> None:
    """Tell the person what happens now; on stderr, so that stdout stays the program's own."""
    print(text, file=sys.stderr, flush=True)


def give_up(text: str) -> SystemExit:
    """Build the exit of a set-up that failed; ``text`` says what to do next."""
    return SystemExit(f"dev.py: {text}")


def find_newer_python() -> None:
    """Start again under a Python that is new enough, or say which one is needed."""
    for name in NEWER:
        path = shutil.which(name)
        if path is None:
            continue
        # a version manager's shim may stand on PATH for a version that it then refuses
        probe = [path, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]
        if subprocess.call(probe, stderr=subprocess.DEVNULL) == 0:
            os.execv(path, [path, str(ROOT / "dev.py"), *sys.argv[1:]])
    found = ".".join(str(part) for part in sys.version_info[:3])
    raise give_up(
        f"needs Python 3.11 or newer, and this is {found} ({sys.executable}). "
        f"Install a newer one and run: python3.11 dev.py {' '.join(sys.argv[1:])}"
    )


def environment() -> "dict[str, str]":
    """Give the variables under which our programs run: this tree's environment, no other's."""
    dropped = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "CONDA_PREFIX")
    ours = {name: value for name, value in os.environ.items() if name not in dropped}
    ours["VIRTUAL_ENV"] = str(VENV)
    ours["PATH"] = str(VENV / "bin") + os.pathsep + ours.get("PATH", os.defpath)
    ours["PIP_USER"] = "0"
    ours["PIP_DISABLE_PIP_VERSION_CHECK"] = "1"
    return ours


# ── the environment ──────────────────────────────────────────────────────────────────────────


def make_environment() -> None:
    """Create `.venv`, by whichever of three means this machine has."""
    base = [sys.executable, "-m"]
    ways = [[*base, "venv", "--clear", str(VENV)]]
    uv = shutil.which("uv")
    if uv:
        ways.append([uv, "venv", "--clear", "--seed", "--python", sys.executable, str(VENV)])
    ways.append([*base, "virtualenv", "--clear", str(VENV)])
    for way in ways:
        done = subprocess.run(way, check=False, capture_output=True, text=True)
        if done.returncode == 0 and PYTHON.exists():
            return
    raise give_up(
        "this Python cannot make virtual environments (ensurepip is missing). On Debian and "
        "Ubuntu: apt install python3-venv; or put uv on PATH; then run the same command again."
    )


def digest(content: bytes) -> str:
    """Name ``content`` by its SHA-256, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def read_stamp() -> "dict[str, str]":
    """Read what `.venv` was made from: a digest per part. Nothing or nonsense reads as new."""
    try:
        stamp = json.loads(STAMP.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(stamp: "dict[str, str]") -> None:
    """Record what `.venv` is made from, so that an interrupted set-up is taken up again."""
    STAMP.write_text(json.dumps(stamp, indent=1) + "\n", encoding="utf-8")


def prepare(level: str) -> None:
    """Bring `.venv` to ``level``: made, packages installed, this tree installed editable."""
    locks = {name: ROOT / "requirements" / f"{name}.txt" for name in LEVELS}
    wanted = {name: digest(lock.read_bytes()) for name, lock in locks.items()}
    # an environment holds absolute paths: a tree that was moved needs a new one
    place = digest(str(ROOT).encode())
    project = digest((ROOT / "pyproject.toml").read_bytes())

    with (ROOT / ".venv.guard").open("w") as guard:
        # two terminals that start at once must not install into each other
        fcntl.flock(guard, fcntl.LOCK_EX)
        stamp = read_stamp()
        if not PYTHON.exists() or stamp.get("place") != place:
            say(f"» making .venv (Python {sys.version.split()[0]})")
            make_environment()
            stamp = {"place": place}
            write_stamp(stamp)
        if stamp.get(level) != wanted[level]:
            install_packages(locks[level])
            stamp.update({name: wanted[name] for name in LEVELS[: LEVELS.index(level) + 1]})
        if stamp.get("project") != project:
            install_project()
            stamp["project"] = project
        write_stamp(stamp)


def install_packages(lock: Path) -> None:
    """Install a lock, every file checked against its hash."""
    count = sum("==" in line.split("#")[0] for line in lock.read_text().splitlines())
    started = time.monotonic()
    arguments = ["--require-hashes", "--no-deps", "-r", str(lock)]
    uv = shutil.which("uv")
    if uv:
        say(f"» installing {count} packages with uv")
        if subprocess.call([uv, "pip", "install", *arguments], env=environment()) == 0:
            return
        say("» uv could not; pip, which also reads your pip configuration, tries")
    else:
        say(f"» installing {count} packages with pip: a minute or so, once")
    run_pip(arguments, count)
    say(f"» installed in {time.monotonic() - started:.0f} s")


def install_project() -> None:
    """Install this tree editable: its two programs and its executors become known."""
    arguments = ["--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT)]
    say("» installing this tree")
    run_pip(arguments, 1)


def run_pip(arguments: "list[str]", count: int) -> None:
    """Run pip quietly with a count of what it has reached; its last lines only on failure."""
    command = [str(PYTHON), "-m", "pip", "install", "--progress-bar", "off", *arguments]
    lines = []
    reached = 0
    pip = subprocess.Popen(command, env=environment(), text=True, stdout=PIPE, stderr=STDOUT)
    assert pip.stdout is not None
    on_terminal = sys.stderr.isatty()
    for line in pip.stdout:
        lines.append(line)
        if line.startswith(("Collecting ", "Requirement already satisfied: ")):
            reached += 1
            name = line.split(": ")[-1].split("==")[0].split()[-1]
            if on_terminal:
                print(f"\r\033[K  {reached}/{count} {name} ", end="", file=sys.stderr)
            elif reached % 20 == 0:
                say(f"  {reached}/{count}")
        elif line.startswith("Installing collected"):
            say("\r\033[K  unpacking" if on_terminal else "  unpacking")
    if pip.wait() != 0:
        say("".join(lines[-SHOWN_ON_FAILURE:]))
        raise give_up(
            "the packages could not be installed (pip's words are above). If the network is "
            "the cause, name a mirror with `pip config set global.index-url …` and try again."
        )


# ── the commands ─────────────────────────────────────────────────────────────────────────────


def become(*module_and_arguments: str) -> None:
    """Replace this process by a module of `.venv`; signals and the exit status are its own."""
    command = [str(PYTHON), "-m", *module_and_arguments]
    os.execve(str(PYTHON), command, environment())


def up(arguments: "list[str]") -> None:
    """Start the platform."""
    become("api.cli", "up", *arguments)


def test(arguments: "list[str]") -> None:
    """Run the tests: the whole suite in three processes, or what the arguments name in one."""
    # on two cores one of three waits: for a server, a deadline, a program that starts
    become("pytest", *(arguments or ["-q", "-n", "3"]))


def soak(arguments: "list[str]") -> None:
    """Run the tests that are marked `soak`; each bounds its own time."""
    become("pytest", "-m", "soak", "--timeout", "0", *arguments)


def lint(arguments: "list[str]") -> None:
    """Run every check of the source, all of them even if one fails."""
    if arguments:
        raise give_up("lint takes no arguments")
    checks = (
        ("style", ["ruff", "check", "."]),
        ("format", ["ruff", "format", "--check", "."]),
        ("types", ["mypy"]),
        ("contracts", ["lint-imports", "--no-logo"]),
    )
    failed = []
    for name, (program, *rest) in checks:
        say(f"» {name}: {' '.join([program, *rest])}")
        command = [str(VENV / "bin" / program), *rest]
        if subprocess.call(command, env=environment()) != 0:
            failed.append(name)
    if failed:
        raise give_up(f"lint failed: {', '.join(failed)}")


def bench(arguments: "list[str]") -> None:
    """Run one benchmark, or list them."""
    if arguments and not arguments[0].startswith("-"):
        become(f"benchmarks.{arguments[0]}", *arguments[1:])
    for path in sorted((ROOT / "benchmarks").glob("[a-z]*.py")):
        first = path.read_text(encoding="utf-8").split('"""')[1].strip().splitlines()[0]
        print(f"{path.stem:<24} {first}")


def lock(arguments: "list[str]") -> None:
    """Resolve requirements/*.in to hash locks that name no host."""
    uv = shutil.which("uv")
    if not uv:
        raise give_up("lock wants uv on PATH (any environment of yours: pip install uv)")
    for level in LEVELS:
        say(f"» requirements/{level}.txt")
        command = [uv, "pip", "compile", "-q", "--universal", "--python-version", "3.11"]
        command += ["--generate-hashes", "--no-header", *arguments]
        command += [f"requirements/{level}.in", "-o", f"requirements/{level}.txt"]
        subprocess.run(command, check=True)


COMMANDS = {"up": up, "test": test, "lint": lint, "soak": soak, "bench": bench, "lock": lock}


def main(argv: "list[str]") -> None:
    """Run the command that ``argv`` names."""
    name, *arguments = argv or ["help"]
    asks = "-h" in argv or "--help" in argv
    explains_itself = name != "lint" and PYTHON.exists() and LEVEL_OF.get(name) in read_stamp()
    if name == "help" or (asks and not explains_itself):
        print(USAGE, end="")
        return
    if name not in COMMANDS:
        raise give_up(f"no command is called {name}\n\n{USAGE}")
    os.chdir(str(ROOT))
    if name in LEVEL_OF and not asks and argv != ["bench"]:
        prepare(LEVEL_OF[name])
    COMMANDS[name](arguments)


if __name__ == "__main__":
    if sys.version_info[:2] < OLDEST:
        find_newer_python()
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit("\ndev.py: stopped; run the same command again to go on")
