"""Whose rights the servers run with, and a place on disk where those rights suffice.

PostgreSQL refuses to run as root. A root caller (a container, a fresh machine) therefore drops
both servers to ``nobody``: no account is created and no existing directory is opened up.
"""

import os
import pwd
import secrets
import shutil
import subprocess
from pathlib import Path

from msgspec import Struct

from api.embedded.failure import StackFailed

# Where the servers' files go when root's data directory lies below one that `nobody` may not
# enter, typically /root: chmod-ing somebody's home would be worse than a link.
SHARED_STATE = Path("/var/lib/owl-factory")
PROBE_DEADLINE_S = 10


class ServerAccount(Struct, frozen=True, kw_only=True):
    """Numeric rights of a server process."""

    user: int
    group: int


def server_account() -> ServerAccount | None:
    """The account to drop to, or None when the caller's own rights are already small."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")
    return ServerAccount(user=nobody.pw_uid, group=nobody.pw_gid)


def server_home(
    data_dir: Path, account: ServerAccount | None, *, fallback: Path = SHARED_STATE
) -> Path:
    """The private directory that holds the servers' files; made on the first start.

    It is ``data_dir/servers``; where the account cannot get there, that is a link elsewhere.

    Raises:
        StackFailed: the account cannot enter it even so.
    """
    home = data_dir / "servers"
    if not home.exists():
        _make_home(home, account, fallback)
    home = home.resolve()
    if not _may_enter(home, account):
        raise StackFailed(
            f"the servers run as {_name(account)}, who cannot enter {home}. Open its parents"
            " for passage (chmod o+x), or choose another data directory, e.g. /var/lib/owl."
        )
    return home


def make_private_directory(path: Path, account: ServerAccount | None) -> None:
    """Make ``path`` a 0700 directory of the account; an existing one must already be that.

    Raises:
        StackFailed: somebody else's directory or a link stands there.
    """
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        found = path.lstat()
        owner = os.geteuid() if account is None else account.user
        if not path.is_dir() or path.is_symlink() or found.st_uid != owner:
            raise StackFailed(
                f"{path} should be a directory owned by {_name(account)}, and is not:"
                " move it away, or choose another data directory."
            ) from None
        path.chmod(0o700)
    else:
        give(path, account)


def write_private(path: Path, text: str, account: ServerAccount | None) -> None:
    """Replace ``path`` by ``text``, readable by the account (or the caller) alone."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    give(draft, account)
    draft.replace(path)


def give(path: Path, account: ServerAccount | None) -> None:
    """Hand one file or directory to the account."""
    if account is not None:
        os.chown(path, account.user, account.group, follow_symlinks=False)


def _make_home(home: Path, account: ServerAccount | None, fallback: Path) -> None:
    home.parent.mkdir(parents=True, exist_ok=True)
    if _may_enter(home.parent, account):
        make_private_directory(home, account)
        return
    fallback.mkdir(mode=0o711, parents=True, exist_ok=True)
    target = fallback / secrets.token_hex(6)
    make_private_directory(target, account)
    if home.is_symlink():  # a link whose target is gone: its servers' data went with it
        home.unlink()
    home.symlink_to(target)


def _may_enter(directory: Path, account: ServerAccount | None) -> bool:
    """Asked by going there: mode bits alone would miss ACLs and mounts."""
    if account is None:
        return os.access(directory, os.X_OK)
    shell = shutil.which("sh") or "/bin/sh"
    return (
        subprocess.run(
            [shell, "-c", 'cd "$1"', shell, str(directory)],
            user=account.user,
            group=account.group,
            extra_groups=[],
            stderr=subprocess.DEVNULL,
            cwd="/",
            timeout=PROBE_DEADLINE_S,
            check=False,
        ).returncode
        == 0
    )


def _name(account: ServerAccount | None) -> str:
    return f"user {os.geteuid() if account is None else account.user}"
