"""nats-server as an engine of the embedded stack: its configuration, its port, its address.

Clients: the platform's own processes sign in as one static user; everybody else (agents) is
judged by the platform through an auth callout. https://docs.nats.io/learn/security/auth-callout
"""

import json
import re
import shutil
import signal
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from api.embedded.account import ServerAccount, make_private_directory, write_private
from api.embedded.child import Launch
from api.embedded.failure import StackFailed

ACCOUNT = (
    "APP"  # platform and agents share it; a user JWT from the callout names it as audience
)
ANY_FREE_PORT = -1
PLAIN = re.compile(r"[A-Za-z0-9._~-]+")


class NatsAuth(Struct, frozen=True, kw_only=True):
    """Who may come in. Without an issuer only the platform may; with one, it is asked.

    Raises:
        StackFailed: a name or password that a URL cannot carry as it is.
    """

    platform_password: str
    platform_user: str = "owl"
    callout_issuer_public_key: str | None = None

    def __post_init__(self) -> None:
        # nats-py sends what stands in the URL without percent-decoding it
        if not (
            PLAIN.fullmatch(self.platform_user) and PLAIN.fullmatch(self.platform_password)
        ):
            raise StackFailed(
                "the user and password for NATS may hold only letters, digits and - . _ ~"
            )


class NatsSetup(Struct, frozen=True, kw_only=True):
    """Where and how the broker runs. ``directory`` is its own; it holds the store and the log.

    ``port`` None: a free one at the first start, kept for the next ones so that agents find it.
    ``sync_interval``: how often JetStream fsyncs, a duration or "always".
    """

    directory: Path
    program: Path
    account: ServerAccount | None
    auth: NatsAuth
    port: int | None = None
    sync_interval: str = "2m"


class Nats:
    """The engine; ``Server`` runs it."""

    name = "NATS"
    process_name = "nats-server"
    stop_signal = signal.SIGTERM

    def __init__(self, setup: NatsSetup) -> None:
        self._setup = setup
        self._bound_port: int | None = None

    @property
    def directory(self) -> Path:
        """The broker's working directory."""
        return self._setup.directory

    @property
    def address(self) -> str:
        """The URL agents are told: host and port, no credentials."""
        assert self._bound_port is not None, "the address is known once the server runs"
        return f"nats://127.0.0.1:{self._bound_port}"

    @property
    def url(self) -> str:
        """The platform's own URL, credentials included."""
        auth = self._setup.auth
        credentials = f"{auth.platform_user}:{auth.platform_password}"
        return self.address.replace("//", f"//{credentials}@", 1)

    def prepare(self) -> Launch:
        """Write the configuration; keep the port of the last run if it is still free."""
        setup = self._setup
        make_private_directory(setup.directory, setup.account)
        make_private_directory(self._ports_directory, setup.account)
        for stale in self._ports_directory.glob("*.ports"):
            stale.unlink()
        configuration = render_configuration(
            setup.auth,
            port=self._choose_port(),
            store=self._store,
            ports_directory=self._ports_directory,
            sync_interval=setup.sync_interval,
        )
        path = setup.directory / "nats.conf"
        write_private(path, configuration, setup.account)
        return Launch(
            argv=(str(setup.program), "--config", str(path)),
            cwd=self.directory,
            log_path=setup.directory / "nats.log",
            stop_signal=self.stop_signal,
            account=setup.account,
        )

    def is_ready(self, pid: int) -> bool:
        """The server writes its ports file after JetStream is up and its port is open."""
        for path in self._ports_directory.glob(f"*_{pid}.ports"):
            with suppress(json.JSONDecodeError, IndexError):  # caught while being written
                self._bound_port = urlsplit(json.loads(path.read_text())["nats"][0]).port
                return True
        return False

    def settle(self) -> None:
        """Remember the port."""
        write_private(self._port_path, f"{self._bound_port}\n", self._setup.account)

    def wipe(self) -> None:
        """Delete everything JetStream holds, as a lost disk would; the server must not run."""
        shutil.rmtree(self._store, ignore_errors=True)

    @property
    def _store(self) -> Path:
        return self._setup.directory / "jetstream"

    @property
    def _ports_directory(self) -> Path:
        return self._setup.directory / "ports"

    @property
    def _port_path(self) -> Path:
        return self._setup.directory / "port"

    def _choose_port(self) -> int:
        wanted = self._setup.port
        if wanted is not None:
            if not is_free(wanted):
                raise StackFailed(
                    f"port {wanted} for NATS is taken by another program: stop it, or choose"
                    " another port."
                )
            return wanted
        with suppress(FileNotFoundError, ValueError):
            kept = int(self._port_path.read_text(encoding="ascii"))
            if is_free(kept):
                return kept
        return ANY_FREE_PORT


def is_free(port: int) -> bool:
    """Whether a server could listen on ``port`` of this machine now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def render_configuration(
    auth: NatsAuth, *, port: int, store: Path, ports_directory: Path, sync_interval: str
) -> str:
    """The server's configuration file. It opens one port and no other."""
    platform = (
        f"{{ user: {quoted(auth.platform_user)}, password: {quoted(auth.platform_password)} }}"
    )
    return f"""# Written at each start.
server_name: owl
host: 127.0.0.1
port: {port}
ports_file_dir: {quoted(str(ports_directory))}
jetstream {{
  store_dir: {quoted(str(store))}
  sync_interval: {quoted(sync_interval)}
}}
accounts {{
  {ACCOUNT} {{
    jetstream: enabled
    users: [ {platform} ]
  }}
}}
{render_callout(auth)}"""


def render_callout(auth: NatsAuth) -> str:
    """The block that sends every sign-in but the platform's own to the platform."""
    if auth.callout_issuer_public_key is None:
        return ""
    return f"""authorization {{
  auth_callout {{
    issuer: {quoted(auth.callout_issuer_public_key)}
    account: {ACCOUNT}
    auth_users: [ {quoted(auth.platform_user)} ]
  }}
}}
"""


def quoted(value: str) -> str:
    """A string as the configuration reads it; unquoted, ``$…`` would name a variable."""
    return json.dumps(value, ensure_ascii=False)
