"""Writes the secrets that compose.yaml mounts: `.venv/bin/python deploy/make_secrets.py`.

What is there already is kept, so running it again is harmless. The folder is closed (0700) to
everyone but you; the files in it are readable (0444), because a container reads its bind mount
as another user and sees nothing of the folder around it.
"""

import os
import secrets
import sys
from pathlib import Path

from api.keys import load_keys

SECRETS = Path(__file__).resolve().parent / "secrets"
NODES = ("nats-1", "nats-2", "nats-3")


def write(path: Path, text: str) -> None:
    """Write a file once and for all; readable inside the closed folder."""
    if not path.exists():
        path.write_text(text + "\n", encoding="ascii")
        path.chmod(0o444)


def broker_rights(platform_password: str, route_password: str, issuer: str) -> str:
    """The part of the broker's configuration that is secret; deploy/nats.conf includes it."""
    routes = ", ".join(f'"nats://route:{route_password}@{node}:6222"' for node in NODES)
    return (
        f'PLATFORM_PASSWORD: "{platform_password}"\n'
        f'ROUTE_PASSWORD: "{route_password}"\n'
        f"ROUTES: [ {routes} ]\n"
        f'CALLOUT_ISSUER: "{issuer}"'
    )


def main(folder: Path = SECRETS) -> None:
    """Make the folder complete."""
    os.umask(0o077)
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    platform = folder / "platform"
    keys = load_keys(platform, make=True)
    platform.chmod(0o755)
    for key in platform.iterdir():
        key.chmod(0o444)
    write(folder / "postgres_password", secrets.token_hex(32))
    write(folder / "nats_password", keys.broker_password)
    route_password = secrets.token_hex(32)
    rights = broker_rights(keys.broker_password, route_password, keys.issuer_public_key)
    write(folder / "nats_auth", rights)
    print(f"the secrets are in {folder}: keep a copy, the database is useless without them")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
