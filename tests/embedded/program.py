"""A parent to be killed: runs a stack until its input ends, and tells where it is.

    python -m tests.embedded.program DATA_DIR [USER_ID]

With USER_ID it gives up root's rights first, as an ordinary user's program never had them.
"""

import codecs
import concurrent.futures.thread  # noqa: F401  loaded before the rights are gone
import json
import os
import sys
from pathlib import Path

import psutil
import psycopg

from api.embedded.nats import NatsAuth
from api.embedded.stack import EmbeddedStack, NatsOptions, PostgresOptions, StackConfig


def become(user: int) -> None:
    """Everything must be loaded by now: the new user may be unable to read the interpreter."""
    for encoding in ("ascii", "idna"):
        codecs.lookup(encoding)
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)


def main(data_dir: Path, user: int | None) -> None:
    if user is not None:
        become(user)
    config = StackConfig(
        data_dir=data_dir,
        postgres=PostgresOptions(profile="test"),
        nats=NatsOptions(auth=NatsAuth(platform_password="password")),
    )
    with EmbeddedStack(config) as stack:
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept (number int)")
            connection.execute("INSERT INTO kept VALUES (1)")
        servers = {server.pid for server in stack.servers.values()}
        children = {child.pid for child in psutil.Process().children()}
        told = {
            "servers": sorted(pid for pid in servers if pid is not None),
            "guardians": sorted(children - servers),
            "database_url": stack.database_url,
            "nats_url": stack.nats_url,
            "user": os.getuid(),
        }
        sys.stdout.write(f"{json.dumps(told)}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
